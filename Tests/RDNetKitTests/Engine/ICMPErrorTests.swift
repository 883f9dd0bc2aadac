import Testing

@testable import RDNetKit

@Suite("ICMP errors about a guest's packets")
struct ICMPErrorTests {
    private let guest: ScriptedGuest
    private let closed: ClosedPort

    init() throws {
        ProcessLimits.raiseDescriptors()
        guest = try ScriptedGuest()
        closed = try ClosedPort()
    }

    /// A header with a distinct value in every field that an error must quote.
    private func distinctHeader(_ transport: UInt8) -> GuestWire.IPv4 {
        var header = guest.header(transport, to: ScriptedGuest.hostAlias)
        header.identification = 0x1234
        header.typeOfService = 0xb8
        header.dontFragment = true
        header.timeToLive = 57
        return header
    }

    /// The guest's packet, from its IP header on.
    private func packet(_ header: GuestWire.IPv4, _ payload: [UInt8]) -> [UInt8] {
        Array(guest.frame(header, payload)[14...])
    }

    private func takeError() throws -> (
        header: GuestWire.IPv4, message: GuestWire.ICMP, octets: [UInt8]
    ) {
        try guest.turn(until: { !guest.inbox.isEmpty }, "an ICMP error")
        return try #require(try guest.takeICMP().first)
    }

    @Test(
        "the quotation is the guest's UDP datagram, byte for byte (RFC 5508, REQ-4)",
        arguments: [0, 1, 7, 8, 9, 100, 520]
    )
    func quotesDatagram(length: Int) throws {
        let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0 * 7) }
        let datagram = guest.datagram(from: 5000, to: closed.endpoint, payload)
        let header = distinctHeader(GuestWire.Transport.udp)
        guest.send(header, datagram)
        let error = try takeError()
        #expect(error.message.kind == .destinationUnreachable(.port))
        #expect(error.header.source == ScriptedGuest.hostAlias)
        expectBytes(error.octets[8...], equals: packet(header, datagram).prefix(548))
    }

    @Test func `each of many datagrams is quoted as itself`() throws {
        let remote = closed.endpoint
        var expected: [[UInt8]] = []
        for number in 0..<6 as Range<UInt8> {
            let datagram = guest.datagram(from: 5000, to: remote, [number, 1, 2, 3])
            var header = distinctHeader(GuestWire.Transport.udp)
            header.identification = UInt16(number) << 8
            guest.send(header, datagram)
            expected.append(packet(header, datagram))
        }
        var quoted: [[UInt8]] = []
        try guest.turn(until: {
            quoted += try guest.takeICMP().map { Array($0.octets[8...]) }
            return quoted.count == expected.count
        })
        // Each was refused at both loopback addresses, not necessarily in the order of sending.
        expectFrames(quoted.sorted { $0[4] < $1[4] }, equal: expected)
    }

    @Test func `a checksum that the guest left to its network card is complete in the quotation`()
        throws
    {
        let remote = closed.endpoint
        let whole = guest.datagram(from: 5000, to: remote, [1, 2, 3])
        let header = distinctHeader(GuestWire.Transport.udp)
        var partial = whole
        (partial[6], partial[7]) = (0x12, 0x34)
        var offload = VirtioNetHeader()
        offload.needsChecksum = true
        offload.checksumStart = 34
        offload.checksumOffset = 6
        guest.send(frame: guest.frame(header, partial), offload)
        expectBytes(try takeError().octets[8...], equals: packet(header, whole))
    }

    @Test func `the gateway's own errors quote as much as fits (RFC 1812, 4.3.2.3)`() throws {
        let remote = Endpoint(address: IPAddress(ipv4: 0x0808_0808), port: 9)
        let datagram = guest.datagram(from: 5000, to: remote, [UInt8](repeating: 5, count: 1000))
        var header = guest.header(GuestWire.Transport.udp, to: remote.address)
        header.timeToLive = 1
        guest.send(header, datagram)
        let error = try takeError()
        #expect(error.message.kind == .timeExceeded(code: 0))
        #expect(error.header.source == ScriptedGuest.gateway)
        #expect(error.header.payloadLength == 556)
        expectBytes(error.octets[8...], equals: packet(header, datagram).prefix(548))
    }

    @Test func `no error is about a later fragment (RFC 1122, 3.2.2)`() throws {
        var header = guest.header(
            GuestWire.Transport.udp,
            to: IPAddress(ipv4: 0x0808_0808)
        )
        header.timeToLive = 1
        header.moreFragments = true
        for offset in [8, 0] {
            header.fragmentOffset = offset
            guest.send(header, [UInt8](repeating: 5, count: 64))
            #expect(try guest.takeICMP().count == (offset == 0 ? 1 : 0))
        }
    }

    // MARK: Hop limits

    @Test func `hop limits reach the host less one, also within one batch (RFC 1812, 5.3.1)`()
        throws
    {
        let socket = try ListeningSocket.udp(Endpoint(address: .loopbackIPv4, port: 0))
        Socket.reportHopLimits(true, isIPv4: true, on: socket)
        let port = try #require(try Socket.localAddress(socket).endpoint).port
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: port)
        let limits: [UInt8] = [64, 64, 9, 2, 1, 128, 255, 64]
        guest.batch {
            for limit in limits {
                var header = guest.header(GuestWire.Transport.udp, to: remote.address)
                header.timeToLive = limit
                guest.send(header, guest.datagram(from: 5000, to: remote, [limit]))
            }
        }
        var buffer = [UInt8](repeating: 0, count: 64)
        var arrived: [UInt8] = []
        try guest.turn(until: {
            while let datagram = try buffer.withUnsafeMutableBytes({
                try Socket.receiveWithHopLimit(socket, into: $0)
            }) {
                #expect(datagram.count == 1)
                arrived.append(try #require(datagram.hopLimit))
            }
            return arrived.count == limits.count
        })
        // The host alias is not a hop, and the kernel cannot send a hop limit of 0.
        #expect(arrived == [63, 63, 8, 1, 1, 127, 254, 63])
    }

    // MARK: Errors from the guest

    /// Reports that one of the guest's ports is closed.
    private func refuse(_ port: UInt16, from host: Endpoint) {
        var quoted = GuestWire.IPv4(
            transport: GuestWire.Transport.udp,
            source: host.address,
            destination: ScriptedGuest.address,
            payloadLength: 9
        )
        quoted.timeToLive = 63
        let ports = [host.port, port].flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] }
        let packet = packet(quoted, ports + [0, 9, 0, 0, 1])
        guest.send(
            guest.header(GuestWire.Transport.icmp, to: host.address),
            ScriptedGuest.icmp(.destinationUnreachable(.port), rest: 0, packet)
        )
    }

    @Test func `a port that the guest has closed is closed on the host, and the peer learns of it`()
        throws
    {
        let socket = try HostDatagrams()
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: socket.port)
        guest.sendUDP(from: 5000, to: remote, [1])
        try guest.turn(until: { try socket.receive() })
        try socket.answer([2])
        refuse(5000, from: remote)
        try guest.settle()
        #expect(guest.engine.udp.count == 0)
        try socket.connectToLatest()
        try socket.answer([3])
        #expect(throws: SystemError.self) { try socket.answer([4]) }
    }

    @Test func `a refusal of a datagram that the guest did not ask for closes nothing`() throws {
        let socket = try HostDatagrams()
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: socket.port)
        guest.sendUDP(from: 5000, to: remote, [1])
        try guest.turn(until: { try socket.receive() })
        // Another port of the same host, and another port of the guest.
        refuse(5000, from: Endpoint(address: remote.address, port: remote.port ^ 1))
        refuse(5001, from: remote)
        try guest.settle()
        #expect(guest.engine.udp.count == 1)
    }

    @Test func `a flow that talks to two hosts outlives the refusal of one`() throws {
        let remotes = [0x0a01_0101, 0x0a01_0102].map { (address: UInt32) in
            Endpoint(address: IPAddress(ipv4: address), port: 9)
        }
        for remote in remotes { guest.sendUDP(from: 5000, to: remote, [1]) }
        refuse(5000, from: remotes[0])
        #expect(guest.engine.udp.count == 1)
        refuse(5000, from: remotes[1])
        #expect(guest.engine.udp.count == 0)
    }
}

@Suite("packets remembered for quotations")
struct SentPacketTests {
    private let host = Endpoint(address: IPAddress(ipv4: 0x0a00_0001), port: 53)
    private let other = Endpoint(address: IPAddress(ipv4: 0x0a00_0001), port: 54)

    private func packet(_ host: Endpoint, _ identification: UInt16, mark: UInt64) -> SentPacket {
        let header = IPHeader(
            transport: IPProtocol.udp,
            source: ScriptedGuest.address,
            destination: host.address,
            payloadLength: 8,
            identification: UInt32(identification)
        )
        return SentPacket(header, to: host, checksum: 0, mark: mark)
    }

    @Test func `the latest to the same host and port with the same start is found`() {
        var packets = SentPackets<8>()
        #expect(packets.latest(to: host, mark: 0, bits: 0) == nil)
        packets.record(packet(host, 1, mark: 0xaabb << 48))
        packets.record(packet(host, 2, mark: 0xaacc << 48))
        packets.record(packet(other, 3, mark: 0xaabb << 48))
        #expect(packets.latest(to: host, mark: 0xaabb << 48)?.identification == 1)
        #expect(packets.latest(to: host, mark: 0xaa << 56, bits: 8)?.identification == 2)
        #expect(packets.latest(to: host, mark: 0, bits: 0)?.identification == 2)
        #expect(packets.latest(to: host, mark: 0xab << 56, bits: 8) == nil)
        #expect(packets.contains(other))
    }

    @Test func `the oldest is forgotten`() {
        var packets = SentPackets<8>()
        for number in 0..<9 as Range<UInt16> {
            packets.record(packet(host, number, mark: UInt64(number)))
        }
        #expect(packets.latest(to: host, mark: 0) == nil)
        for number in 1..<9 as Range<UInt16> {
            #expect(packets.latest(to: host, mark: UInt64(number))?.identification == number)
        }
    }

    @Test("a mark is the start of the payload", arguments: 0..<10)
    func mark(length: Int) {
        let payload = [UInt8](1...10).prefix(length)
        let expected = payload.prefix(8).enumerated().reduce(0 as UInt64) {
            $0 | UInt64($1.element) << UInt64(56 - 8 * $1.offset)
        }
        #expect(payload.withUnsafeBytes { SentPacket.mark(of: $0) } == expected)
    }
}
