import Testing

@testable import RDNetKit

@Suite("datagrams to the host's loopback")
struct UDPLoopbackTests {
    private let guest: IPv6Guest

    init() throws {
        guest = try IPv6Guest()
    }

    private var scene: ScriptedGuest { guest.guest }

    // MARK: A guest that uses IPv4, and a service on ::1

    private func alias(_ port: UInt16) -> Endpoint {
        Endpoint(address: ScriptedGuest.hostAlias, port: port)
    }

    @Test(
        "a service that listens on ::1 only is reached through the IPv4 alias",
        arguments: [0, 1, 1472]
    )
    func serviceOnIPv6(length: Int) throws {
        let socket = try HostDatagrams(.loopbackIPv6)
        let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
        scene.sendUDP(from: 5000, to: alias(socket.port), payload)
        try scene.turn(until: { try socket.receive() })
        expectFrames(socket.received.map { $0.payload }, equal: [payload])
        try socket.answer([4, 5])
        try scene.turn(until: { !scene.inbox.isEmpty })
        let answer = try #require(try scene.takeUDP().first)
        #expect(answer.payload == [4, 5])
        #expect(answer.ip.source == ScriptedGuest.hostAlias)
        #expect(answer.udp.sourcePort == socket.port && answer.udp.destinationPort == 5000)
        #expect(try scene.takeICMP().isEmpty)
    }

    @Test func `each datagram is delivered once, from all flows`() throws {
        let socket = try HostDatagrams(.loopbackIPv6)
        for number in 0..<5 as Range<UInt8> {
            scene.sendUDP(from: 5000, to: alias(socket.port), [number])
            scene.sendUDP(from: 5001, to: alias(socket.port), [number + 10])
        }
        try scene.turn(until: {
            _ = try socket.receive()
            return socket.received.count >= 10
        })
        try scene.settle()
        _ = try socket.receive()
        #expect(
            socket.received.flatMap { $0.payload }.sorted() == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
        )
        #expect(Set(socket.received.map { $0.sender }).count == 2)
        #expect(scene.engine.udp.count == 2)
        #expect(try scene.takeICMP().isEmpty)
    }

    @Test func `127.0.0.1 goes first where a service listens on both`() throws {
        let socket = try HostDatagrams()
        let other = try HostDatagrams(.loopbackIPv6, port: socket.port)
        scene.sendUDP(from: 5000, to: alias(socket.port), [1])
        try scene.turn(until: { try socket.receive() })
        try scene.settle()
        #expect(try !other.receive())
    }

    @Test func `datagrams left in one piece by the guest's kernel arrive one by one`() throws {
        let socket = try HostDatagrams(.loopbackIPv6)
        var offload = VirtioNetHeader()
        offload.needsChecksum = true
        offload.segmentation = .udp
        offload.segmentSize = 1000
        offload.checksumStart = 34
        offload.checksumOffset = 6
        let ip = scene.header(GuestWire.Transport.udp, to: ScriptedGuest.hostAlias)
        // The first train finds the other address, the second goes there in one call.
        for first in [0, 100] as [UInt8] {
            let payload = (0..<2500).map { first &+ UInt8(truncatingIfNeeded: $0) }
            let octets = scene.datagram(from: 5000, to: alias(socket.port), payload)
            let known = socket.received.count
            scene.send(frame: scene.frame(ip, octets), offload)
            try scene.turn(until: {
                _ = try socket.receive()
                return socket.received.count >= known + 3
            })
            let arrived = socket.received[known...]
            expectBytes(arrived.flatMap { $0.payload }, equals: payload)
            #expect(arrived.map { $0.payload.count } == [1000, 1000, 500])
        }
    }

    @Test func `a port that nobody listens on is reported once, by the alias`() throws {
        let closed = try ClosedPort()
        defer { withExtendedLifetime(closed) {} }
        let remote = closed.endpoint
        for _ in 0..<2 {
            scene.sendUDP(from: 5000, to: remote, [1, 2, 3])
            try scene.turn(until: { !scene.inbox.isEmpty })
            try scene.settle()
            let errors = try scene.takeICMP()
            #expect(errors.count == 1)
            let error = try #require(errors.first)
            #expect(error.message.kind == .destinationUnreachable(.port))
            #expect(error.header.source == ScriptedGuest.hostAlias)
            #expect(GuestWire.number(error.octets, 28, 2) == 5000)
            #expect(GuestWire.number(error.octets, 30, 2) == Int(remote.port))
        }
        #expect(scene.engine.udp.count == 1)
    }

    @Test func `after the service ends, one on 127.0.0.1 is found again`() throws {
        let port = try Self.serveOnce { port in
            scene.sendUDP(from: 5000, to: alias(port), [1])
            return scene
        }
        scene.sendUDP(from: 5000, to: alias(port), [2])
        try scene.turn(until: { !scene.inbox.isEmpty })
        #expect(try scene.takeICMP().count == 1)
        let socket = try HostDatagrams(port: port)
        scene.sendUDP(from: 5000, to: alias(port), [3])
        try scene.turn(until: { try socket.receive() })
        #expect(socket.received.map { $0.payload } == [[3]])
    }

    /// Serves one datagram on ::1 and closes the port.
    private static func serveOnce(_ send: (UInt16) -> ScriptedGuest) throws -> UInt16 {
        let socket = try HostDatagrams(.loopbackIPv6)
        try send(socket.port).turn(until: { try socket.receive() })
        return socket.port
    }

    @Test func `another port of the same address may answer (RFC 4787, REQ-8)`() throws {
        let socket = try HostDatagrams(.loopbackIPv6)
        scene.sendUDP(from: 5000, to: alias(socket.port), [1])
        try scene.turn(until: { try socket.receive() })
        let mapped = try #require(socket.received.first).sender
        let sameHost = try HostDatagrams(.loopbackIPv6)
        try sameHost.send([7], to: mapped)
        try scene.turn(until: { !scene.inbox.isEmpty })
        #expect(try scene.takeUDP().map { $0.payload } == [[7]])
    }

    // MARK: A guest that uses IPv6, and a service on 127.0.0.1

    private func sendIPv6(_ payload: [UInt8], to socket: HostDatagrams) {
        let remote = Endpoint(address: IPv6Guest.alias, port: socket.port)
        let source = Endpoint(address: IPv6Guest.address, port: 4000)
        guest.send(
            IPv6Guest.Next.udp,
            IPv6Guest.datagram(payload, from: source, to: remote),
            to: remote.address
        )
    }

    private func next() throws -> IPv6Guest.Packet {
        var packets: [IPv6Guest.Packet] = []
        try scene.turn(until: {
            packets += try guest.take()
            return !packets.isEmpty
        })
        #expect(packets.count == 1)
        return packets[0]
    }

    @Test func `a service that listens on 127.0.0.1 only is reached through the IPv6 alias`() throws
    {
        let socket = try HostDatagrams()
        for length in [3, 1452, 0] {
            let payload = [UInt8](repeating: 9, count: length)
            let known = socket.received.count
            sendIPv6(payload, to: socket)
            try scene.turn(until: {
                _ = try socket.receive()
                return socket.received.count > known
            })
            #expect(socket.received[known...].map { $0.payload } == [payload])
        }
        try socket.answer([4, 5])
        let answer = try next()
        #expect(answer.source == IPv6Guest.alias && answer.destination == IPv6Guest.address)
        #expect(GuestWire.number(answer.payload, 0, 2) == Int(socket.port))
        #expect(Array(answer.payload[8...]) == [4, 5])
    }

    @Test(.enabled(if: canMakeNamespaces, "needs root to make network namespaces"))
    func `a host without ::1 is reached at 127.0.0.1`() throws {
        let namespace = try NetworkNamespace()
        try namespace.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        try namespace.run("ip", "link", "set", "lo", "up")
        try namespace.enter {
            let socket = try HostDatagrams()
            for number in 1...2 as ClosedRange<UInt8> {
                sendIPv6([number], to: socket)
                try scene.turn(until: {
                    _ = try socket.receive()
                    return socket.received.count == Int(number)
                })
            }
            #expect(socket.received.map { $0.payload } == [[1], [2]])
            try socket.answer([3])
            #expect(try next().payload[8...] == [3])
        }
    }

    @Test func `another address of 127.0.0.0/8 may not answer`() throws {
        let socket = try HostDatagrams()
        sendIPv6([1], to: socket)
        try scene.turn(until: { try socket.receive() })
        let mapped = try #require(socket.received.first).sender
        let stranger = try HostDatagrams(IPAddress(ipv4: 0x7f00_0002))
        try stranger.send([66], to: mapped)
        try socket.answer([7])
        #expect(try next().payload[8...] == [7])
        #expect(guest.dropped(.unsolicited) == 1)
    }

    @Test func `its end is reported with the guest's own packet (RFC 4443, 3.1)`() throws {
        var closing: HostDatagrams? = try HostDatagrams()
        let port = try #require(closing?.port)
        sendIPv6([1], to: try #require(closing))
        try scene.turn(until: { try closing?.receive() ?? true })
        closing = nil
        let remote = Endpoint(address: IPv6Guest.alias, port: port)
        let source = Endpoint(address: IPv6Guest.address, port: 4000)
        let datagram = IPv6Guest.datagram([1, 2, 3], from: source, to: remote)
        guest.send(IPv6Guest.Next.udp, datagram, to: remote.address)
        let error = try next()
        #expect(error.payload[0...1] == [1, 4] && error.source == IPv6Guest.alias)
        let quoted = Array(error.payload[8...])
        #expect(Array(quoted[8..<24]) == IPv6Guest.octets(IPv6Guest.address))
        #expect(Array(quoted[24..<40]) == IPv6Guest.octets(IPv6Guest.alias))
        #expect(Array(quoted[40...]) == datagram)
    }

    // MARK: Isolation

    @Test func `a guest's mapping is found from both loopback addresses`() throws {
        var ports = HairpinPorts()
        let guest = ScriptedGuest.address
        ports.insert(HairpinPorts.Port(number: 4000, isIPv4: true), of: guest)
        let other = Endpoint(address: .loopbackIPv6, port: 4000)
        #expect(ports.guest(reachedAt: other) == guest)
        #expect(ports.guest(at: other) == nil)
        #expect(ports.guest(at: Endpoint(address: .loopbackIPv4, port: 4000)) == guest)
        #expect(ports.guest(reachedAt: Endpoint(address: .loopbackIPv6, port: 4001)) == nil)
    }
}
