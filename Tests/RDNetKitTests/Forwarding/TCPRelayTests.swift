import CLinux
import Glibc
import Testing

@testable import RDNetKit

@Suite("TCP relay")
struct TCPRelayTests {
    @Test("octets go both ways and keep their order", arguments: [true, false])
    func bothWays(usesPipes: Bool) throws {
        let scene = try RelayScene(usesPipes: usesPipes)
        let (client, server) = try scene.connectBoth()
        var random = SeededRandom(seed: 42)
        let streams = (0..<2).map { _ in
            (0..<400_000).flatMap { _ in withUnsafeBytes(of: random.next()) { Array($0) } }
        }
        let peers = [(client, server), (server, client)]
        var sent = [0, 0]
        try scene.turn {
            for (index, (source, sink)) in peers.enumerated() {
                let stream = streams[index]
                if sent[index] < stream.count {
                    let size = Int.random(in: 1...400_000, using: &random)
                    let end = min(sent[index] + size, stream.count)
                    sent[index] += try source.send(stream[sent[index]..<end])
                    if sent[index] == stream.count { source.endSending() }
                }
                // The receiver is sometimes too slow, so that the relay must keep data.
                if Int.random(in: 0..<3, using: &random) == 0 {
                    sink.receive(upTo: Int.random(in: 1...2_000_000, using: &random))
                }
            }
            return client.state == .ended && server.state == .ended
        }
        expectBytes(server.received, equals: streams[0])
        expectBytes(client.received, equals: streams[1])
        try scene.turn { scene.connector.relayCount == 0 }
        #expect(scene.connector.relayCount == 0)
    }

    @Test("unix sockets are relayed as well", arguments: [true, false])
    func unixSockets(usesPipes: Bool) throws {
        let scene = try RelayScene(usesPipes: usesPipes)
        let near = try Socket.pair()
        let far = try Socket.pair()
        let client = RelayedPeer(try near.one.duplicate())
        let server = RelayedPeer(try far.one.duplicate())
        try scene.connector.join(try near.other.duplicate(), try far.other.duplicate())
        let stream = (0..<5_000_000).map { UInt8(truncatingIfNeeded: $0 * 7 / 5) }
        var sent = 0
        try scene.turn {
            let end = min(sent + 300_000, stream.count)
            if sent < stream.count {
                sent += try client.send(stream[sent..<end])
                if sent == stream.count { client.endSending() }
            }
            server.receive(upTo: 200_000)
            return server.state == .ended
        }
        expectBytes(server.received, equals: stream)
        try server.send("answer")
        server.endSending()
        try scene.turn(until: client, has: "answer", is: .ended)
        try scene.turn { scene.connector.relayCount == 0 }
    }

    @Test(
        "whoever ends its direction hears the other out",
        arguments: [true, false],
        [true, false]
    )
    func halfClose(byClient: Bool, usesPipes: Bool) throws {
        let scene = try RelayScene(usesPipes: usesPipes)
        let (client, server) = try scene.connectBoth()
        let (first, second) = byClient ? (client, server) : (server, client)
        try first.send("question")
        first.endSending()
        try scene.turn(until: second, has: "question", is: .ended)
        try second.send("answer")
        try scene.turn(until: first, has: "answer")
        #expect(first.state == .open)
        try second.send(", and more")
        second.endSending()
        try scene.turn(until: first, has: "answer, and more", is: .ended)
        try scene.turn { scene.connector.relayCount == 0 }
    }

    @Test(
        "a reset is passed on, behind what came before it",
        arguments: [(true, true), (true, false), (false, true), (false, false)]
    )
    func reset(byClient: Bool, usesPipes: Bool) throws {
        let scene = try RelayScene(usesPipes: usesPipes)
        var (resetting, other): (RelayedPeer?, RelayedPeer) = try {
            let (client, server) = try scene.connectBoth()
            return byClient ? (client, server) : (server, client)
        }()
        try resetting?.send("last words")
        resetting?.resetOnClose()
        try scene.turn(until: other, has: "last words")
        #expect(other.state == .open)
        resetting = nil
        try scene.turn(until: other, is: .reset)
        #expect(other.text == "last words")
        try scene.turn { scene.connector.relayCount == 0 }
    }

    @Test("a reset of one half is a reset of all", arguments: [true, false])
    func resetAfterEnd(byClient: Bool) throws {
        let scene = try RelayScene()
        var (resetting, other): (RelayedPeer?, RelayedPeer) = try {
            let (client, server) = try scene.connectBoth()
            return byClient ? (client, server) : (server, client)
        }()
        resetting?.endSending()
        try scene.turn(until: other, is: .ended)
        resetting?.resetOnClose()
        resetting = nil
        // Reading an ended stream does not report a reset, but the socket's error does.
        try scene.turn { scene.connector.relayCount == 0 }
        #expect(Socket.takeError(other.descriptor) != 0)
    }

    @Test func `a server that closes without reading is heard out, then reset`() throws {
        let scene = try RelayScene()
        let client = try scene.connect()
        var server: RelayedPeer? = try scene.accept()
        try client.send("a body that nobody reads")
        try server?.send("413")
        // Closing a socket with unread data sends a reset.
        try scene.turn { hasUnread(server) }
        server = nil
        try scene.turn(until: client, is: .reset)
        #expect(client.text == "413")
    }

    private func hasUnread(_ peer: RelayedPeer?) -> Bool {
        var octet: UInt8 = 0
        return recv(peer?.descriptor.number ?? -1, &octet, 1, Int32(MSG_PEEK)) == 1
    }

    @Test("an urgent octet stays in its place", arguments: [true, false])
    func urgent(usesPipes: Bool) throws {
        let scene = try RelayScene(usesPipes: usesPipes)
        let (client, server) = try scene.connectBoth()
        try client.send("before")
        var octet = UInt8(ascii: "!")
        #expect(send(client.descriptor.number, &octet, 1, Int32(MSG_OOB)) == 1)
        try client.send("behind")
        client.endSending()
        try scene.turn(until: server, has: "before!behind", is: .ended)
        #expect(server.text == "before!behind")
    }

    @Test func `a refusal resets the client`() throws {
        let scene = try RelayScene()
        let closed = try #require(
            try Socket.localAddress(
                try ListeningSocket.tcp(
                    Endpoint(address: .loopbackIPv4, port: 0)
                )
            ).endpoint
        )
        let pair = try ConnectedPair()
        scene.connector.connect(to: closed, joining: try pair.takeAccepted())
        try scene.turn(until: pair.client, is: .reset)
        #expect(scene.connector.relayCount == 0)
    }

    @Test func `a server that does not answer resets the client after five seconds`() throws {
        let scene = try RelayScene()
        let deaf = try DeafServer()
        let pair = try ConnectedPair()
        scene.connector.connect(to: deaf.endpoint, joining: try pair.takeAccepted())
        scene.clock.advance(.milliseconds(4_990))
        for _ in 0..<3 { try scene.loop.turn(waitingAtMost: .zero) }
        pair.client.receive()
        #expect(pair.client.state == .open)
        scene.clock.advance(.milliseconds(20))
        try scene.turn(until: pair.client, is: .reset)
        #expect(scene.connector.relayCount == 0)
    }

    @Test func `a connection that would be relayed to itself is reset`() throws {
        let scene = try RelayScene()
        let pair = try ConnectedPair()
        scene.connector.connect(to: pair.endpoint, joining: try pair.takeAccepted())
        try scene.turn(until: pair.client, is: .reset)
        #expect(scene.connector.relayCount == 0)
    }

    @Test func `without room clients wait until a connection ends`() throws {
        let scene = try RelayScene(descriptors: 5)
        var (first, firstServer): (RelayedPeer?, RelayedPeer) = try scene.connectBoth()
        let second = try scene.connectBoth()
        let third = try scene.connect()
        try third.send("patience")
        for _ in 0..<20 { try scene.loop.turn(waitingAtMost: .milliseconds(1)) }
        #expect(scene.connector.relayCount == 2)
        #expect(!scene.connector.hasRoom)
        first = nil
        firstServer.endSending()
        // The listener tries again after its pause.
        try scene.turn { scene.connector.relayCount == 1 }
        scene.clock.advance(StreamListener.rest + .milliseconds(2))
        let thirdServer = try scene.accept()
        try scene.turn(until: thirdServer, has: "patience")
        #expect(second.client.state == .open)
        firstServer.receive()
        #expect(firstServer.state == .ended && first == nil)
    }

    @Test func `peers that do not read cost a bounded number of pipes and delay nobody`() throws {
        let scene = try RelayScene(serverBuffer: 4096)
        let block = [UInt8](repeating: 7, count: 1 << 20)
        var deaf: [(client: RelayedPeer, server: RelayedPeer)] = []
        var sent: [Int] = []
        for _ in 0..<SplicePipePool.limit + 6 {
            let pair = try scene.connectBoth()
            var count = 0
            // Sends until the kernel and the relay together take no more.
            try scene.turn {
                let more = try pair.client.send(block[...])
                count += more
                return more == 0
            }
            deaf.append(pair)
            sent.append(count)
        }
        #expect(scene.connector.pipes.take() == nil)
        let (client, server) = try scene.connectBoth()
        try client.send("hello")
        try scene.turn(until: server, has: "hello")
        try server.send("and back")
        try scene.turn(until: client, has: "and back")
        // None of the buffered data is lost.
        for (index, pair) in deaf.enumerated() {
            pair.client.endSending()
            try scene.turn(until: pair.server, is: .ended)
            #expect(pair.server.received.count == sent[index])
            pair.server.endSending()
        }
        try scene.turn { scene.connector.relayCount == 1 }
        #expect(scene.connector.pipes.take() != nil)
    }
}

/// A connection between a client and a listener, both the test's.
private final class ConnectedPair {
    let endpoint: Endpoint
    let client: RelayedPeer
    private let listener: OwnedDescriptor

    init() throws {
        listener = try ListeningSocket.tcp(Endpoint(address: .loopbackIPv4, port: 0))
        endpoint = try #require(try Socket.localAddress(listener).endpoint)
        let socket = try Socket.make(AF_INET, SOCK_STREAM)
        _ = try Socket.connect(socket, to: SocketAddress(endpoint))
        client = RelayedPeer(socket)
    }

    func takeAccepted() throws -> OwnedDescriptor {
        guard let accepted = acceptOne(listener) else {
            throw ProgramFailure(description: "nobody has connected")
        }
        return accepted
    }
}

/// A listener whose queue is full, so that it completes no handshake.
private final class DeafServer {
    let endpoint: Endpoint
    private let listener: OwnedDescriptor
    private var fillers: [RelayedPeer] = []

    init() throws {
        listener = try Socket.make(AF_INET, SOCK_STREAM)
        let any = SocketAddress(Endpoint(address: .loopbackIPv4, port: 0))
        try Socket.bind(listener, to: any, named: "loopback")
        #expect(listen(listener.number, 0) == 0)
        endpoint = try #require(try Socket.localAddress(listener).endpoint)
        for _ in 0..<3 {
            let socket = try Socket.make(AF_INET, SOCK_STREAM)
            _ = try Socket.connect(socket, to: SocketAddress(endpoint))
            fillers.append(RelayedPeer(socket))
        }
    }
}
