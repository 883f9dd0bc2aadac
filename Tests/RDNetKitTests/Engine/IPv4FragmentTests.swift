import Testing

@testable import RDNetKit

@Suite("IPv4 fragments")
struct IPv4FragmentTests {
    private let guest: ScriptedGuest
    private let message: [UInt8]

    init() throws {
        guest = try ScriptedGuest()
        message = ScriptedGuest.icmp(
            .echoRequest,
            rest: 0x0001_0001,
            (0..<3000).map { UInt8(truncatingIfNeeded: $0) }
        )
    }

    private func send(
        _ range: Range<Int>,
        last: Bool,
        identification: UInt16 = 1,
        _ octets: [UInt8]? = nil
    ) {
        var header = guest.header(GuestWire.Transport.icmp, to: ScriptedGuest.gateway)
        header.identification = identification
        header.fragmentOffset = range.lowerBound
        header.moreFragments = !last
        guest.send(header, octets ?? Array(message[range]))
    }

    @Test(
        "fragments in any order, some twice, make the packet (RFC 791, 3.2)",
        arguments: [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 2, 0, 0, 1], [0, 2, 1]]
    )
    func order(order: [Int]) throws {
        let parts = [0..<1000, 1000..<2000, 2000..<3008]
        for index in order { send(parts[index], last: index == 2) }
        let replies = try guest.takeICMP()
        // The reply exceeds the MTU, so it arrives in fragments as well.
        #expect(replies.count == 3)
        let whole = try guest.reassemble(replies.map { ($0.header, $0.octets) })
        expectBytes(whole.dropFirst(8), equals: message.dropFirst(8))
        #expect(whole.first == 0)
        #expect(PlainChecksum.of(whole) == 0)
    }

    @Test func `an overlap ends the packet (RFC 5722)`() throws {
        send(0..<1000, last: false)
        send(992..<2000, last: false)
        send(1000..<2000, last: false)
        send(2000..<3008, last: true)
        #expect(try guest.takeICMP().isEmpty)
        #expect(guest.dropped(.fragment) == 1)
    }

    @Test func `a second last fragment, or one behind the last, ends the packet`() throws {
        send(2000..<3000, last: true)
        send(2000..<3008, last: false)
        #expect(guest.dropped(.fragment) >= 1)
        send(1000..<2000, last: true, identification: 2)
        send(2000..<3000, last: true, identification: 2)
        #expect(guest.dropped(.fragment) >= 2)
        #expect(try guest.takeICMP().isEmpty)
    }

    @Test func `packets with different identifications are kept apart`() throws {
        send(0..<1000, last: false, identification: 1)
        send(1000..<3008, last: true, identification: 2)
        #expect(try guest.takeICMP().isEmpty)
        send(0..<1000, last: false, identification: 2)
        #expect(try guest.takeICMP().count == 3)
    }

    @Test func `the rest has 30 seconds (RFC 1122, 3.3.2)`() throws {
        send(0..<1000, last: false)
        try guest.advance(.seconds(29))
        send(1000..<2000, last: false)
        try guest.advance(.milliseconds(1001))
        send(2000..<3008, last: true)
        #expect(try guest.takeICMP().map { $0.message.kind } == [.timeExceeded(code: 1)])
    }

    @Test func `a sender hears once of a packet whose rest did not come in time (RFC 792)`() throws
    {
        send(0..<1000, last: false, identification: 1)
        try guest.advance(.seconds(10))
        // The order does not matter, provided that the first fragment arrived.
        send(1000..<2000, last: false, identification: 2)
        send(0..<1000, last: false, identification: 2)
        for (wait, identification) in [(20, 1), (10, 2)] as [(Int, UInt8)] {
            try guest.advance(.seconds(wait) - .milliseconds(5))
            #expect(try guest.takeICMP().isEmpty)
            try guest.advance(.milliseconds(10))
            let errors = try guest.takeICMP()
            #expect(errors.map { $0.message.kind } == [.timeExceeded(code: 1)])
            let error = try #require(errors.first)
            #expect(error.header.source == ScriptedGuest.gateway)
            // The quote: identification, "more fragments" with offset 0, then the start of the
            // fragment's payload.
            let quote = Array(error.octets.dropFirst(8))
            #expect(Array(quote[4..<8]) == [0, identification, 0x20, 0])
            expectBytes(quote.dropFirst(20), equals: message.prefix(quote.count - 20))
            #expect(error.header.payloadLength + 20 == 576)
        }
        try guest.advance(.seconds(100))
        #expect(try guest.takeICMP().isEmpty)
        #expect(guest.dropped(.fragment) == 2)
    }

    @Test func `nobody hears of a packet without its first fragment, nor of a complete one`() throws
    {
        send(1000..<2000, last: false, identification: 1)
        send(0..<1000, last: false, identification: 2)
        send(1000..<3008, last: true, identification: 2)
        #expect(try guest.takeICMP().count == 3)
        try guest.advance(.seconds(31))
        #expect(try guest.takeICMP().isEmpty)
        #expect(guest.dropped(.fragment) == 1)
    }

    @Test func `errors about fragments are as rare as others`() throws {
        for identification in 0..<60 as Range<UInt16> {
            send(0..<1000, last: false, identification: identification)
        }
        try guest.advance(.seconds(31))
        #expect(try guest.takeICMP().count == 50)
    }

    @Test
    func `a piece that is no multiple of eight, an empty one, and one beyond 64 KiB are dropped`()
        throws
    {
        send(0..<1001, last: false)
        send(0..<0, last: false)
        send(65_528..<65_528, last: true, [UInt8](repeating: 1, count: 100))
        #expect(guest.dropped(.fragment) == 3)
    }

    @Test func `unfinished packets are bounded: the oldest goes`() throws {
        for identification in 0..<500 {
            send(0..<1000, last: false, identification: UInt16(identification))
            guest.clock.advance(.milliseconds(1))
        }
        send(1000..<3008, last: true, identification: 0)
        #expect(try guest.takeICMP().isEmpty)
        send(1000..<3008, last: true, identification: 499)
        #expect(try guest.takeICMP().count == 3)
    }

    @Test func `a packet in too many pieces is given up`() throws {
        for index in 0..<370 { send((index * 8)..<(index * 8 + 8), last: false) }
        #expect(guest.dropped(.fragment) >= 1)
    }

    @Test func `octets are bounded over all packets`() {
        var reassembler = FragmentReassembler()
        var outcomes: [FragmentReassembler.Outcome] = []
        let octets = [UInt8](repeating: 1, count: 65_000)
        for identification in 0..<64 as Range<UInt32> {
            for offset in [0, 65_000] {
                var header = IPHeader(
                    transport: IPProtocol.udp,
                    source: ScriptedGuest.address,
                    destination: ScriptedGuest.gateway,
                    payloadLength: 0,
                    identification: identification
                )
                header.fragmentOffset = offset
                header.moreFragments = true
                let part = offset == 0 ? octets : Array(octets.prefix(480))
                let outcome = part.withUnsafeBytes {
                    reassembler.receive(
                        header,
                        $0,
                        now: Instant(nanoseconds: Int64(identification))
                    )
                }
                outcomes.append(outcome)
            }
        }
        #expect(outcomes.allSatisfy { $0 == .waiting || $0 == .discarded })
    }

    @Test func `a UDP datagram of 64 KB goes and comes in fragments`() throws {
        let socket = try HostDatagrams()
        let payload = (0..<60_000).map { UInt8(truncatingIfNeeded: $0 &* 3) }
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: socket.port)
        let datagram = guest.datagram(from: 5000, to: remote, payload)
        var offset = 0
        while offset < datagram.count {
            let end = min(offset + 1480, datagram.count)
            var header = guest.header(GuestWire.Transport.udp, to: remote.address)
            header.identification = 77
            header.fragmentOffset = offset
            header.moreFragments = end < datagram.count
            guest.send(header, Array(datagram[offset..<end]))
            offset = end
        }
        try guest.turn(until: { try socket.receive() })
        expectFrames(socket.received.map { $0.payload }, equal: [payload])
        try socket.answer(payload)
        try guest.turn(until: { !guest.inbox.isEmpty })
        let whole = try guest.reassemble(try guest.takeIPv4(GuestWire.Transport.udp))
        expectBytes(whole.dropFirst(8), equals: payload)
    }
}

extension ScriptedGuest {
    /// Reassembles fragments that arrived in order.
    func reassemble(_ parts: [(header: GuestWire.IPv4, payload: [UInt8])]) throws -> [UInt8] {
        var whole: [UInt8] = []
        for (header, payload) in parts {
            #expect(header.fragmentOffset == whole.count)
            #expect(header.payloadLength + 20 <= engine.ethernet.plan.mtu)
            whole += payload
        }
        #expect(parts.last?.header.moreFragments == false)
        return whole
    }
}
