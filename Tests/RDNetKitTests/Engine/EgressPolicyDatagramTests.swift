import Testing

@testable import RDNetKit

@Suite("datagrams under an egress policy")
struct EgressPolicyDatagramTests {
    private func alias(_ socket: HostDatagrams) -> Endpoint {
        Endpoint(address: ScriptedGuest.hostAlias, port: socket.port)
    }

    /// Sends datagrams from one port; returns what the host has received.
    private func send(
        _ payloads: [[UInt8]],
        to socket: HostDatagrams,
        in world: PolicedGuest
    ) throws -> [[UInt8]] {
        for payload in payloads {
            world.guest.sendUDP(from: 5000, to: alias(socket), payload)
            try world.guest.settle()
        }
        _ = try socket.receive()
        return socket.received.map(\.payload)
    }

    @Test func `a port that may send to one destination may not send to another`() throws {
        let (allowed, denied) = (try HostDatagrams(), try HostDatagrams())
        let world = try PolicedGuest("allow udp host:\(allowed.port)")
        #expect(try send([[1]], to: allowed, in: world) == [[1]])
        #expect(try send([[2]], to: denied, in: world) == [])
        let error = try #require(try world.guest.takeICMP().first)
        // Communication administratively prohibited (RFC 1812, 5.2.7.1).
        #expect(error.octets.prefix(2) == [3, 13])
        #expect(error.header.source == ScriptedGuest.hostAlias)
        #expect(world.guest.dropped(.policy) == 1)
    }

    @Test func `a change of the rules counts from the next datagram`() throws {
        let socket = try HostDatagrams()
        let world = try PolicedGuest("allow host")
        #expect(try send([[1]], to: socket, in: world) == [[1]])
        try world.rule()
        #expect(try send([[2]], to: socket, in: world) == [[1]])
    }

    @Test func `a server that is no longer allowed may not answer`() throws {
        let socket = try HostDatagrams()
        let world = try PolicedGuest("allow host")
        #expect(try send([[1]], to: socket, in: world) == [[1]])
        try world.rule()
        #expect(world.guest.engine.udp.count == 0)
        let (kept, other) = (try HostDatagrams(), try HostDatagrams())
        try world.rule("allow host:\(kept.port)")
        #expect(try send([[1]], to: kept, in: world) == [[1]])
        try world.rule("allow host:\(kept.port)", "deny host:\(other.port)")
        try kept.answer([2])
        try world.guest.turn(until: { !world.guest.inbox.isEmpty })
        #expect(try world.guest.takeUDP().map(\.payload) == [[2]])
    }

    @Test func `one decision is recorded for many datagrams`() throws {
        let socket = try HostDatagrams()
        let world = try PolicedGuest("allow host")
        _ = try send(Array(repeating: [1], count: 20), to: socket, in: world)
        #expect(world.records.count == 1)
    }

    @Test func `a name that is resolved later opens its address`() throws {
        let socket = try HostDatagrams()
        let world = try PolicedGuest("allow udp a.example address=host")
        #expect(try send([[1]], to: socket, in: world) == [])
        try world.resolve("a.example")
        try world.guest.advance(.seconds(1))
        #expect(try send([[2]], to: socket, in: world) == [[2]])
    }

    @Test func `a question holds no datagram, and its answer lets the next one pass`() throws {
        let socket = try HostDatagrams()
        let world = try PolicedGuest("ask host")
        #expect(try send([[1]], to: socket, in: world) == [])
        // The guest is not told that it failed: its program tries again.
        #expect(try world.guest.takeICMP().isEmpty)
        #expect(world.policy.questions.answer(1, isAllowed: true) != nil)
        try world.guest.advance(.seconds(1))
        #expect(try send([[2]], to: socket, in: world) == [[2]])
    }

    // MARK: QUIC

    @Test func `a QUIC hello passes if its name is allowed`() throws {
        let socket = try HostDatagrams()
        let world = try PolicedGuest("allow quic a.example address=host")
        try world.resolve("a.example")
        let datagrams = [QUICPackets.first, QUICPackets.answered, QUICPackets.handshake]
        #expect(try send(datagrams, to: socket, in: world) == datagrams)
    }

    @Test func `a QUIC hello with another name does not leave, nor does what follows`() throws {
        let socket = try HostDatagrams()
        let world = try PolicedGuest("allow quic b.example address=host")
        try world.resolve("b.example")
        let datagrams = [QUICPackets.first, QUICPackets.answered, QUICPackets.handshake]
        #expect(try send(datagrams, to: socket, in: world) == [])
        #expect(world.records.map(\.verdict) == [.deny])
        #expect(world.records.map(\.name) == ["a.example"])
    }

    @Test func `a second QUIC connection or hello with another name does not leave`() throws {
        for other in [QUICPackets.second, QUICPackets.otherName] {
            let socket = try HostDatagrams()
            let world = try PolicedGuest("allow quic a.example address=host")
            try world.resolve("a.example")
            let received = try send([QUICPackets.first, other], to: socket, in: world)
            #expect(received == [QUICPackets.first])
        }
    }

    @Test func `parts of a QUIC hello wait for the rest, and leave in order`() throws {
        let socket = try HostDatagrams()
        let world = try PolicedGuest("allow quic a.example address=host")
        try world.resolve("a.example")
        #expect(try send([QUICPackets.partOne], to: socket, in: world) == [])
        let received = try send([QUICPackets.partTwo], to: socket, in: world)
        #expect(received == [QUICPackets.partOne, QUICPackets.partTwo])
    }

    @Test func `no part of a QUIC hello leaves whose rest names another server`() throws {
        let socket = try HostDatagrams()
        let world = try PolicedGuest("allow quic b.example address=host")
        try world.resolve("b.example")
        let parts = [QUICPackets.partOne, QUICPackets.partTwo]
        #expect(try send(parts, to: socket, in: world) == [])
        // Nor when the gateway has forgotten the first attempt.
        try world.guest.advance(.seconds(2))
        #expect(try send([QUICPackets.partTwo], to: socket, in: world) == [])
    }

    @Test func `QUIC can be denied where other datagrams are allowed`() throws {
        let socket = try HostDatagrams()
        let world = try PolicedGuest("deny quic any", "allow host")
        #expect(try send([[1, 2, 3]], to: socket, in: world) == [[1, 2, 3]])
        // The same port and destination: what they carry decides.
        #expect(try send([QUICPackets.first], to: socket, in: world) == [[1, 2, 3]])
    }

    @Test func `conversations of a guest are bounded`() throws {
        let world = try PolicedGuest("allow host")
        for port in 1...UInt16(DatagramConversations.maximumPerGuest + 100) {
            let remote = Endpoint(address: ScriptedGuest.hostAlias, port: port)
            world.guest.sendUDP(from: 5000, to: remote, [1])
        }
        let count = world.guest.engine.network.admission.conversations.count
        #expect(count <= DatagramConversations.maximumPerGuest)
    }
}
