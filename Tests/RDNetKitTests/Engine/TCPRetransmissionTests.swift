import Glibc
import Testing

@testable import RDNetKit

@Suite("TCP retransmission to a guest")
struct TCPRetransmissionTests {
    private func pattern(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
    }

    @Test(
        "what is not acknowledged is sent again, each time later (RFC 6298, 5)",
        arguments: TCPSendingTests.Peeking.allCases
    )
    func retransmission(peeking: TCPSendingTests.Peeking) throws {
        let guest = try ScriptedGuest(support: peeking.support)
        let (tcp, host) = try guest.connect(to: HostListener())
        try host.write("hello".utf8)
        try tcp.expect(.ack, at: 1, text: "hello")
        var wait = Duration.seconds(1)
        for _ in 0..<6 {
            try guest.advance(wait - .milliseconds(5))
            try tcp.expectNothing()
            try guest.advance(.milliseconds(10))
            try tcp.expect(.ack, at: 1, text: "hello")
            wait *= 2
        }
        tcp.send(.ack)
        try guest.advance(.seconds(200))
        try tcp.expectNothing()
        #expect(guest.engine.tcp.counters.timeouts == 6)
    }

    @Test func `a measured round trip shortens the timeout, to 200 ms at least (RFC 6298, 2.3)`()
        throws
    {
        let guest = try ScriptedGuest()
        let (tcp, host) = try guest.connect(to: HostListener())
        for text in ["one", "two", "three"] {
            try host.write(text.utf8)
            try tcp.expect(.ack, text: text)
            try guest.advance(.milliseconds(10))
            tcp.send(.ack)
            try guest.settle()
        }
        try host.write("lost".utf8)
        try tcp.expect(.ack, text: "lost")
        try guest.advance(.milliseconds(195))
        try tcp.expectNothing()
        try guest.advance(.milliseconds(10))
        try tcp.expect(.ack, text: "lost")
    }

    @Test func `a guest that never answers is given up after 100 s or more (RFC 9293, 3.8.3)`()
        throws
    {
        let guest = try ScriptedGuest()
        let (tcp, host) = try guest.connect(to: HostListener())
        try host.write("hello".utf8)
        try guest.settle()
        var waited = 0
        while guest.engine.tcp.count > 0, waited < 2000 {
            try guest.advance(.seconds(1))
            waited += 1
        }
        #expect(waited >= 100 && waited < 1000)
        #expect(try tcp.takeAll().last?.flags == [.rst, .ack])
        #expect(host.readsReset())
    }

    @Test(
        "three duplicates bring a fast retransmit of the hole (RFC 5681, 3.2)",
        arguments: TCPSendingTests.Peeking.allCases
    )
    func fastRetransmit(peeking: TCPSendingTests.Peeking) throws {
        let guest = try ScriptedGuest(support: peeking.support)
        let (tcp, host) = try guest.connect(to: HostListener())
        let octets = pattern(14_600)
        try host.write(octets)
        try guest.settle()
        #expect(try tcp.takeAll().count == 10)
        for _ in 0..<2 { tcp.send(.ack, ack: 1461) }
        try tcp.expectNothing()
        for _ in 0..<2 { tcp.send(.ack, ack: 1461) }
        let again = try tcp.expect(.ack, at: 1461, length: 1460)
        expectBytes(again.payload, equals: octets[1460..<2920])
        try tcp.expectNothing()
        tcp.send(.ack, ack: 14_601)
        try guest.advance(.seconds(100))
        try tcp.expectNothing()
    }

    @Test(
        "only the holes between SACK blocks are sent again (RFC 6675, 5)",
        arguments: TCPSendingTests.Peeking.allCases
    )
    func onlyHoles(peeking: TCPSendingTests.Peeking) throws {
        let guest = try ScriptedGuest(support: peeking.support)
        let (tcp, host) = try guest.connect(to: HostListener())
        let octets = pattern(14_600)
        try host.write(octets)
        try guest.settle()
        #expect(try tcp.takeAll().count == 10)
        // The second, fourth and fifth segments were lost.
        tcp.acknowledge(1461, holding: [2921..<4381])
        tcp.acknowledge(1461, holding: [7301..<8761, 2921..<4381])
        tcp.acknowledge(1461, holding: [7301..<14_601, 2921..<4381])
        let again = try tcp.takeAll()
        #expect(again.map { $0.sequence } == [1461, 4381, 5841])
        for segment in again {
            let start = segment.sequence - 1
            expectBytes(segment.payload, equals: octets[start..<(start + 1460)])
        }
        tcp.acknowledge(14_601, holding: [])
        try guest.advance(.seconds(100))
        try tcp.expectNothing()
    }

    @Test func `after a timeout everything is sent again, SACKed or not (RFC 2018, 8)`() throws {
        let guest = try ScriptedGuest()
        let (tcp, host) = try guest.connect(to: HostListener())
        try host.write(pattern(7300))
        try guest.settle()
        #expect(try tcp.takeAll().count == 5)
        tcp.acknowledge(1461, holding: [2921..<4381])
        try tcp.expectNothing()
        var resent: Set<Int> = []
        for _ in 0..<4 {
            try guest.advance(.seconds(2))
            for segment in try tcp.takeAll() { resent.insert(segment.sequence) }
            if let last = resent.max() { tcp.acknowledge(last + 1460, holding: []) }
        }
        #expect(resent.contains(1461))
        #expect(resent.contains(2921))
    }

    @Test
    func `the flight after a timeout grows again while the losses are repaired (RFC 5681, 3.1)`()
        throws
    {
        let guest = try ScriptedGuest()
        let (tcp, host) = try guest.connect(to: HostListener())
        try host.write(pattern(58_400))
        try guest.settle()
        #expect(try tcp.takeAll().count == 40)
        try guest.advance(.milliseconds(1100))
        var rounds = 0
        var acknowledged = 1
        while acknowledged < 58_401, rounds < 40 {
            for segment in try tcp.takeAll() where segment.sequence == acknowledged {
                acknowledged += segment.length
            }
            tcp.acknowledge(acknowledged, holding: [])
            rounds += 1
        }
        #expect(rounds <= 8, "2, 4, 8 and 16 segments a round, not 2 for ever")
    }

    @Test func `ICMP says that packets were too long: smaller segments follow (RFC 1191, 3)`()
        throws
    {
        let guest = try ScriptedGuest()
        let (tcp, host) = try guest.connect(to: HostListener())
        let octets = pattern(14_600)
        try host.write(octets)
        try guest.settle()
        #expect(try tcp.takeAll().count == 10)
        tcp.reportTooLong(mtu: 1000, sequence: 1)
        var received: [Int: [UInt8]] = [:]
        for _ in 0..<30 {
            for segment in try tcp.takeAll() {
                #expect(segment.payload.count <= 960)
                received[segment.sequence] = segment.payload
            }
            var end = 1
            while let next = received[end] { end += next.count }
            tcp.acknowledge(end, holding: [])
        }
        var whole: [UInt8] = []
        while let next = received[1 + whole.count] { whole += next }
        expectBytes(whole, equals: octets)
    }

    @Test(
        "a forged or useless ICMP changes nothing (RFC 5927, 7.2)",
        arguments: [(900_000, 1000), (1, 9000)]
    )
    func forgedICMP(sequence: Int, mtu: Int) throws {
        let guest = try ScriptedGuest()
        let (tcp, host) = try guest.connect(to: HostListener())
        try host.write(pattern(2920))
        try guest.settle()
        #expect(try tcp.takeAll().count == 2)
        tcp.reportTooLong(mtu: mtu, sequence: sequence)
        try tcp.expectNothing()
    }
}

extension ScriptedConnection {
    /// Sends an ACK with SACK blocks, counted from the engine's SYN.
    func acknowledge(_ sequence: Int, holding blocks: [Range<Int>]) {
        var options = GuestWire.TCPOptions()
        options.sackBlocks = blocks.map {
            GuestWire.SACKBlock(
                start: peerInitial + $0.lowerBound,
                end: peerInitial + $0.upperBound
            )
        }
        send(.ack, ack: sequence, options: options)
    }

    /// Reports that a segment of the engine's was too long for a router beyond the guest.
    func reportTooLong(mtu: Int, sequence: Int) {
        reportUnreachable(.fragmentationNeeded, mtu: mtu, sequence: sequence)
    }

    /// Reports that a segment of the engine's did not reach its destination.
    func reportUnreachable(_ reason: GuestWire.ICMP.Unreachable, mtu: Int, sequence: Int) {
        let message = unreachable(reason, mtu: mtu, sequence: sequence)
        guest.send(guest.header(GuestWire.Transport.icmp, to: remote.address), message)
    }

    /// Returns the ICMP message with such a report.
    func unreachable(
        _ reason: GuestWire.ICMP.Unreachable,
        mtu: Int,
        sequence: Int
    ) -> [UInt8] {
        var ip = GuestWire.IPv4(
            transport: GuestWire.Transport.tcp,
            source: remote.address,
            destination: local.address,
            payloadLength: 1480
        )
        ip.dontFragment = true
        let segment = GuestWire.TCP(
            sourcePort: remote.port,
            destinationPort: local.port,
            sequence: peerInitial + sequence,
            acknowledgment: initial,
            flags: .ack,
            window: 0
        )
        let quoted = ip.octets + segment.octets
        let kind = GuestWire.ICMP.Kind.destinationUnreachable(reason)
        return ScriptedGuest.icmp(kind, rest: UInt32(mtu), Array(quoted.prefix(28)))
    }
}
