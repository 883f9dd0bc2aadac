import Testing

@testable import RDNetKit

@Suite("IPv6 flows of a guest")
struct IPv6FlowTests {
    private let guest: IPv6Guest

    init() throws {
        guest = try IPv6Guest()
    }

    // MARK: UDP

    private func send(_ payload: [UInt8], to remote: Endpoint, hopLimit: UInt8 = 64) {
        let source = Endpoint(address: IPv6Guest.address, port: 4000)
        let datagram = IPv6Guest.datagram(payload, from: source, to: remote)
        guest.send(17, datagram, to: remote.address, hopLimit: hopLimit)
    }

    @Test func `a datagram to the host alias reaches ::1, and its answer comes from the alias`()
        throws
    {
        let host = try HostDatagrams(.loopbackIPv6)
        send([1, 2, 3], to: Endpoint(address: IPv6Guest.alias, port: host.port))
        try guest.guest.turn(until: { try host.receive() })
        #expect(host.received.first?.payload == [1, 2, 3])
        try host.answer([4, 5])
        var answers: [IPv6Guest.Packet] = []
        try guest.guest.turn(until: {
            answers += try guest.take()
            return !answers.isEmpty
        })
        #expect(answers.first?.source == IPv6Guest.alias)
        #expect(answers.first?.destination == IPv6Guest.address)
        #expect(answers.first.map { Array($0.payload[8...]) } == [4, 5])
    }

    @Test func `a closed port is reported with the guest's own packet (RFC 4443, 3.1)`() throws {
        let port = try ClosedPort()
        defer { withExtendedLifetime(port) {} }
        let closed = port.port
        let remote = Endpoint(address: IPv6Guest.alias, port: closed)
        send([1, 2, 3], to: remote, hopLimit: 60)
        var errors: [IPv6Guest.Packet] = []
        try guest.guest.turn(until: {
            errors += try guest.take()
            return !errors.isEmpty
        })
        let error = try #require(errors.first)
        #expect(error.payload[0...1] == [1, 4] && error.source == IPv6Guest.alias)
        let quoted = Array(error.payload[8...])
        #expect(quoted[6] == 17 && Array(quoted[8..<24]) == IPv6Guest.octets(IPv6Guest.address))
        #expect(Array(quoted[24..<40]) == IPv6Guest.octets(IPv6Guest.alias))
        #expect(GuestWire.number(quoted, 40, 2) == 4000)
        #expect(GuestWire.number(quoted, 42, 2) == Int(closed))
    }

    @Test func `a datagram without a checksum is dropped (RFC 8200, 8.1)`() throws {
        let host = try HostDatagrams(.loopbackIPv6)
        let remote = Endpoint(address: IPv6Guest.alias, port: host.port)
        let source = Endpoint(address: IPv6Guest.address, port: 4000)
        var datagram = IPv6Guest.datagram([1], from: source, to: remote)
        (datagram[6], datagram[7]) = (0, 0)
        guest.send(17, datagram, to: remote.address)
        #expect(guest.dropped(.badChecksum) == 1)
        #expect(guest.guest.engine.udp.count == 0)
    }

    @Test(
        "destinations that lead nowhere",
        arguments: [
            ("::1", DropReason.noRoute), ("::", .noRoute), ("::127.0.0.1", .noRoute),
            ("fdc0:a87f::9", .noRoute), ("fe80::9", .noRoute),
            ("fd00:ec2::254", .refusedDestination),
        ]
    )
    func nowhere(destination: String, reason: DropReason) throws {
        send([1], to: Endpoint(address: IPv6Guest.text(destination), port: 9))
        #expect(guest.dropped(reason) == 1)
        #expect(guest.guest.engine.udp.count == 0)
    }

    // MARK: TCP

    private let local = Endpoint(address: IPv6Guest.address, port: 5000)

    private func segment(
        _ flags: GuestWire.TCPFlags,
        to remote: Endpoint,
        sequence: UInt32,
        ack: UInt32 = 0,
        _ payload: [UInt8] = [],
        options: GuestWire.TCPOptions = GuestWire.TCPOptions()
    ) {
        var header = GuestWire.TCP(
            sourcePort: local.port,
            destinationPort: remote.port,
            sequence: SequenceNumber(sequence),
            acknowledgment: SequenceNumber(ack),
            flags: flags,
            window: 65_535
        )
        header.options = options
        var octets = header.octets + payload
        let sum = IPv6Guest.checksum(octets, 6, from: local.address, to: remote.address)
        PlainChecksum.store(sum, in: &octets, at: 16)
        guest.send(6, octets, to: remote.address)
    }

    private func next(_ what: String) throws -> (header: GuestWire.TCP, payload: [UInt8]) {
        var segments: [IPv6Guest.Packet] = []
        try guest.guest.turn(
            until: {
                segments += try guest.take().filter { $0.next == 6 }
                return !segments.isEmpty
            },
            what
        )
        let octets = segments[0].payload
        let header = try GuestWire.TCP(reading: octets)
        return (header, Array(octets[header.headerLength...]))
    }

    @Test func `a connection to the alias carries data both ways`() throws {
        let listener = try HostListener(address: .loopbackIPv6)
        let remote = Endpoint(address: IPv6Guest.alias, port: listener.port)
        segment(.syn, to: remote, sequence: 100, options: .usual)
        let answer = try next("SYN-ACK").header
        #expect(answer.flags == [.syn, .ack] && answer.acknowledgment == SequenceNumber(101))
        // The MTU without the headers of IPv6 and TCP (RFC 8200, 8.3).
        #expect(answer.options.maximumSegmentSize == 1440)
        let start = answer.sequence.rawValue &+ 1
        segment(.ack, to: remote, sequence: 101, ack: start, Array("request".utf8))
        let host = try #require(try listener.accept())
        try guest.guest.turn(until: {
            host.read()
            return host.received.count == 7
        })
        try host.write("answer".utf8)
        var received: [UInt8] = []
        try guest.guest.turn(until: {
            received += try guest.take().filter { $0.next == 6 }.flatMap { $0.payload[20...] }
            return received.count >= 6
        })
        #expect(received == Array("answer".utf8))
    }

    @Test func `a service on 127.0.0.1 only is reached through the alias, too`() throws {
        let listener = try HostListener()
        let remote = Endpoint(address: IPv6Guest.alias, port: listener.port)
        segment(.syn, to: remote, sequence: 100)
        #expect(try next("SYN-ACK").header.flags == [.syn, .ack])
    }

    @Test(.enabled(if: canMakeNamespaces, "needs root to make network namespaces"))
    func `a host without ::1 is reached at 127.0.0.1`() throws {
        let namespace = try NetworkNamespace()
        try namespace.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        try namespace.run("ip", "link", "set", "lo", "up")
        try namespace.enter {
            let listener = try HostListener()
            let remote = Endpoint(address: IPv6Guest.alias, port: listener.port)
            segment(.syn, to: remote, sequence: 100)
            #expect(try next("SYN-ACK").header.flags == [.syn, .ack])
        }
    }

    @Test func `a refused port is refused`() throws {
        let remote = Endpoint(address: IPv6Guest.alias, port: try HostListener.refusedPort())
        segment(.syn, to: remote, sequence: 100)
        #expect(try next("RST").header.flags == [.rst, .ack])
    }

    // MARK: Echo

    @Test func `an echo request to a host is answered with the guest's identifier`() throws {
        guest.sendICMP(128, [0, 77, 0, 3, 5, 6, 7, 8], to: IPv6Guest.alias, hopLimit: 64)
        let reply = try #require(try guest.take().first)
        #expect(reply.type == 129 && reply.source == IPv6Guest.alias)
        #expect(Array(reply.payload[4...]) == [0, 77, 0, 3, 5, 6, 7, 8])
    }
}
