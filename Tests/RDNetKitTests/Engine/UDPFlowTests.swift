import Testing

@testable import RDNetKit

@Suite("UDP from a guest")
struct UDPFlowTests {
    private let guest: ScriptedGuest

    init() throws {
        ProcessLimits.raiseDescriptors()
        guest = try ScriptedGuest()
    }

    private func alias(_ socket: HostDatagrams) -> Endpoint {
        Endpoint(address: ScriptedGuest.hostAlias, port: socket.port)
    }

    @Test(
        "datagrams go to the host and come back, empty ones too (RFC 768)",
        arguments: [0, 1, 100, 1472]
    )
    func bothWays(length: Int) throws {
        let socket = try HostDatagrams()
        let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
        guest.sendUDP(from: 5000, to: alias(socket), payload)
        try guest.turn(until: { try socket.receive() })
        expectFrames(socket.received.map { $0.payload }, equal: [payload])
        try socket.answer(payload)
        try guest.turn(until: { !guest.inbox.isEmpty })
        let answer = try #require(try guest.takeUDP().first)
        expectBytes(answer.payload, equals: payload)
        #expect(answer.ip.source == ScriptedGuest.hostAlias)
        #expect(answer.udp.sourcePort == socket.port)
        #expect(answer.udp.destinationPort == 5000)
    }

    @Test func `one guest port is one host port, whatever it sends to (RFC 4787, REQ-1)`() throws {
        let sockets = try (0..<3).map { _ in try HostDatagrams() }
        for socket in sockets { guest.sendUDP(from: 5000, to: alias(socket), [1]) }
        for socket in sockets { try guest.turn(until: { try socket.receive() }) }
        #expect(Set(sockets.flatMap { $0.received.map { $0.sender } }).count == 1)
        guest.sendUDP(from: 5001, to: alias(sockets[0]), [1])
        try guest.turn(until: {
            _ = try sockets[0].receive()
            return sockets[0].received.count == 2
        })
        #expect(Set(sockets[0].received.map { $0.sender }).count == 2)
        #expect(guest.engine.udp.count == 2)
    }

    @Test func `2,000 destinations cost one flow, which is one descriptor`() throws {
        for port in 20_000..<22_000 as Range<UInt16> {
            let remote = Endpoint(address: ScriptedGuest.hostAlias, port: port)
            guest.sendUDP(from: 5000, to: remote, [1])
        }
        try guest.settle()
        #expect(guest.engine.udp.count == 1)
    }

    @Test
    func `another port of a contacted host may answer, another host may not (RFC 4787, REQ-8)`()
        throws
    {
        let contacted = try HostDatagrams()
        let sameHost = try HostDatagrams()
        let otherHost = try HostDatagrams(IPAddress(ipv4: 0x7f00_0002))
        guest.sendUDP(from: 5000, to: alias(contacted), [1])
        try guest.turn(until: { try contacted.receive() })
        let mapped = try #require(contacted.received.first).sender
        try otherHost.send([66], to: Endpoint(address: .loopbackIPv4, port: mapped.port))
        try sameHost.send([7], to: Endpoint(address: .loopbackIPv4, port: mapped.port))
        try guest.turn(until: { !guest.inbox.isEmpty })
        try guest.settle()
        #expect(try guest.takeUDP().map { $0.payload } == [[7]])
        #expect(guest.dropped(.unsolicited) == 1)
    }

    @Test func `a closed port of the host is reported (RFC 1122, 4.1.3.1)`() throws {
        let closed = try ClosedPort()
        guest.sendUDP(from: 5000, to: closed.endpoint, Array("anyone?".utf8))
        try withExtendedLifetime(closed) { try guest.turn(until: { !guest.inbox.isEmpty }) }
        let error = try #require(try guest.takeICMP().first)
        #expect(error.message.kind == .destinationUnreachable(.port))
        #expect(error.header.source == ScriptedGuest.hostAlias)
        // The guest's IP header follows the ICMP header, then come its ports.
        #expect(Array(error.octets[28..<30]) == [UInt8(5000 >> 8), UInt8(5000 & 255)])
        #expect(
            Array(error.octets[30..<32]) == [UInt8(closed.port >> 8), UInt8(closed.port & 255)]
        )
        #expect(Array(error.octets[20..<24]) == ScriptedGuest.address.octets)
        // The flow survives.
        let socket = try HostDatagrams()
        guest.sendUDP(from: 5000, to: alias(socket), [1])
        try guest.turn(until: { try socket.receive() })
    }

    @Test func `a flow without answers lives 120 s, one with answers 300 s (RFC 4787, REQ-5)`()
        throws
    {
        let socket = try HostDatagrams()
        guest.sendUDP(from: 5000, to: alias(socket), [1])
        guest.sendUDP(from: 5001, to: alias(socket), [2])
        try guest.turn(until: {
            _ = try socket.receive()
            return socket.received.count == 2
        })
        try socket.answer([3])
        try guest.turn(until: { !guest.inbox.isEmpty })
        try guest.advance(.seconds(119))
        #expect(guest.engine.udp.count == 2)
        try guest.advance(.seconds(2))
        #expect(guest.engine.udp.count == 1)
        try guest.advance(.seconds(170))
        #expect(guest.engine.udp.count == 1)
        try guest.advance(.seconds(20))
        #expect(guest.engine.udp.count == 0)
    }

    @Test func `use keeps a flow alive`() throws {
        let socket = try HostDatagrams()
        for _ in 0..<10 {
            guest.sendUDP(from: 5000, to: alias(socket), [1])
            try guest.advance(.seconds(119))
            #expect(guest.engine.udp.count == 1)
        }
    }

    @Test func `flows are bounded: an idle one makes room`() throws {
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: 9)
        let datagram = guest.datagram(from: 1, to: remote, [])
        for port in 1...9000 as ClosedRange<UInt16> {
            var octets = datagram
            octets[0] = UInt8(port >> 8)
            octets[1] = UInt8(port & 255)
            // RFC 768: no checksum.
            octets[6] = 0
            octets[7] = 0
            guest.send(guest.header(GuestWire.Transport.udp, to: remote.address), octets)
            if port % 500 == 0 { guest.forgetPackets() }
        }
        #expect(guest.engine.udp.count == 8192)
        let socket = try HostDatagrams()
        guest.sendUDP(from: 60_000, to: alias(socket), [1])
        try guest.turn(until: { try socket.receive() })
    }

    @Test func `no checksum is none, a wrong one is counted (RFC 768)`() throws {
        let socket = try HostDatagrams()
        var octets = guest.datagram(from: 5000, to: alias(socket), [9, 9])
        octets[7] ^= 1
        guest.send(guest.header(GuestWire.Transport.udp, to: ScriptedGuest.hostAlias), octets)
        #expect(guest.dropped(.badChecksum) == 1)
        #expect(guest.engine.udp.count == 0)
        octets[6] = 0
        octets[7] = 0
        guest.send(guest.header(GuestWire.Transport.udp, to: ScriptedGuest.hostAlias), octets)
        try guest.turn(until: { try socket.receive() })
    }

    @Test("lengths that lie are counted", arguments: [0, 7, 11, 2000, 65_535])
    func lyingLength(length: Int) throws {
        var octets = guest.datagram(
            from: 5000,
            to: Endpoint(address: ScriptedGuest.hostAlias, port: 9),
            [1, 2]
        )
        octets[4] = UInt8(length >> 8)
        octets[5] = UInt8(length & 255)
        guest.send(guest.header(GuestWire.Transport.udp, to: ScriptedGuest.hostAlias), octets)
        #expect(guest.dropped(.malformed) == 1)
        #expect(guest.engine.udp.count == 0)
    }

    @Test func `datagrams left in one piece by the guest's kernel are sent one by one`() throws {
        let socket = try HostDatagrams()
        let payload = (0..<2500).map { UInt8(truncatingIfNeeded: $0) }
        let octets = guest.datagram(from: 5000, to: alias(socket), payload)
        var offload = VirtioNetHeader()
        offload.needsChecksum = true
        offload.segmentation = .udp
        offload.segmentSize = 1000
        offload.checksumStart = 34
        offload.checksumOffset = 6
        let ip = guest.header(GuestWire.Transport.udp, to: ScriptedGuest.hostAlias)
        guest.send(frame: guest.frame(ip, octets), offload)
        try guest.turn(until: {
            _ = try socket.receive()
            return socket.received.count == 3
        })
        expectBytes(socket.received.flatMap { $0.payload }, equals: payload)
        #expect(socket.received.map { $0.payload.count } == [1000, 1000, 500])
    }

    @Test func `link-local is refused, other guests and groups have no route`() throws {
        guest.sendUDP(from: 1, to: Endpoint(address: IPAddress(ipv4: 0xa9fe_a9fe), port: 80), [1])
        #expect(guest.dropped(.refusedDestination) == 1)
        for address: UInt32 in [0xc0a8_7f50, 0xe000_0001, 0xffff_ffff, 0x7f00_0001, 0xf000_0001] {
            guest.sendUDP(from: 1, to: Endpoint(address: IPAddress(ipv4: address), port: 80), [1])
        }
        #expect(guest.dropped(.noRoute) == 5)
        #expect(guest.engine.udp.count == 0)
    }
}
