import CLinux
import Glibc
import Testing

@testable import RDNetKit

@Suite("TCP forward")
struct TCPForwardTests {
    private let loop: EventLoop
    private let connector = RecordingConnector()
    private let forwards: ForwardTable
    private static let guest = Endpoint(address: IPAddress(ipv4: 0xc0a8_7f02), port: 80)

    init() throws {
        loop = try EventLoop()
        forwards = ForwardTable(
            loop: loop,
            connector: connector,
            log: .discarding(),
            ssh: SSHProgram { _ in nil }
        )
    }

    @Test(
        "clients of every kind of local address reach the guest",
        arguments: [
            ("127.0.0.1:0", "127.0.0.1"), ("localhost:0", "127.0.0.1"), (":0", "127.0.0.1"),
            (":0", "::1"), ("0.0.0.0:0", "::1"), ("[::1]:0", "::1"), ("", "127.0.0.1"),
        ]
    )
    func reach(local: String, client: String) throws {
        try forwards.expose(local: local, remote: "192.168.127.2:80")
        let endpoint = try #require(forwards.endpoint(of: local, .tcp))
        let address = try #require(IPAddress(client))
        let descriptor = try connect(to: Endpoint(address: address, port: endpoint.port))
        try loop.turn(until: { !connector.streams.isEmpty })
        #expect(connector.guests == [Self.guest])
        let host = StreamClient(descriptor)
        try host.send("to the guest")
        try connector.streams[0].send("to the host")
        #expect(connector.streams[0].receive().text == "to the guest")
        #expect(host.receive().text == "to the host")
        #expect(forwards.counters.connections == 1)
    }

    @Test func `unexpose stops listening, and connections live on`() throws {
        // An address of its own: another test would take a port of 127.0.0.1 once it is free.
        let local = "127.46.0.1:0"
        try forwards.expose(local: local, remote: "192.168.127.2:80")
        let endpoint = try #require(forwards.endpoint(of: local, .tcp))
        let client = StreamClient(try connect(to: endpoint))
        try loop.turn(until: { !connector.streams.isEmpty })
        try forwards.unexpose(local: local)
        try loop.turn(waitingAtMost: .zero)
        #expect(throws: SystemError.self) { _ = try connect(to: endpoint) }
        try connector.streams[0].send("still here")
        #expect(client.receive().text == "still here")
        // The port is free again immediately.
        try forwards.expose(local: "\(endpoint)", remote: "192.168.127.2:80")
    }

    @Test func `a listener takes at most 64 connections a turn`() throws {
        try forwards.expose(local: "127.0.0.1:0", remote: "192.168.127.2:80")
        let endpoint = try #require(forwards.endpoint(of: "127.0.0.1:0", .tcp))
        let clients = try (0..<100).map { _ in StreamClient(try connect(to: endpoint)) }
        try loop.turn(waitingAtMost: .seconds(1))
        #expect(connector.streams.count == 64)
        try loop.turn(until: { connector.streams.count == clients.count })
        #expect(connector.streams.count == 100)
    }

    @Test func `a unix socket is ours alone, stale ones are replaced, others are left`() throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/a.sock"
        try leaveStaleSocket(at: path)
        try forwards.expose("unix", local: path, remote: "tcp://192.168.127.2:80")
        var status = stat()
        #expect(lstat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        let address = try #require(SocketAddress(path: path))
        let socket = try Socket.make(AF_UNIX, SOCK_STREAM)
        let isConnected = try Socket.connect(socket, to: address)
        #expect(isConnected)
        try loop.turn(until: { !connector.streams.isEmpty })
        #expect(connector.guests == [Self.guest])

        let inUse = ForwardError.refused(
            network: "unix",
            address: path,
            reason: "bind: address already in use"
        )
        let others = ForwardTable(
            loop: loop,
            connector: connector,
            log: .discarding(),
            ssh: SSHProgram { _ in nil }
        )
        #expect(throws: inUse) {
            try others.expose("unix", local: path, remote: "tcp://192.168.127.2:80")
        }
        forwards.close()
        #expect(lstat(path, &status) == -1)
        #expect(forwards.entries.isEmpty)
    }

    @Test func `a file that is no socket is never removed`() throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/file"
        close(creat(path, 0o600))
        #expect(throws: ForwardError.self) {
            try forwards.expose("unix", local: path, remote: "tcp://192.168.127.2:80")
        }
        var status = stat()
        #expect(lstat(path, &status) == 0)
    }

    private func leaveStaleSocket(at path: String) throws {
        let socket = try ListeningSocket.unix(path: path)
        _ = consume socket
    }

    private func connect(to endpoint: Endpoint) throws -> OwnedDescriptor {
        let socket = try Socket.make(Socket.family(of: endpoint.address), SOCK_STREAM)
        _ = try Socket.connect(socket, to: SocketAddress(endpoint))
        var poller = pollfd(fd: socket.number, events: Int16(POLLOUT), revents: 0)
        #expect(poll(&poller, 1, 5_000) == 1)
        let error = Socket.takeError(socket)
        guard error == 0 else { throw SystemError(call: "connect", errno: error) }
        return socket
    }
}

@Suite("stream listener")
struct StreamListenerTests {
    @Test func `rests when a connection cannot be taken, and goes on`() throws {
        let clock = HandMovedClock()
        let loop = try EventLoop { clock.now }
        // The socket does not listen yet: the loop reports it and accept(2) fails, as without
        // descriptors.
        let socket = try Socket.make(AF_INET, SOCK_STREAM)
        let same = try socket.duplicate()
        let local = SocketAddress(Endpoint(address: .loopbackIPv4, port: 0))
        try Socket.bind(same, to: local, named: "loopback")
        var taken = 0
        let counters = ListenerCounters()
        let listener = try StreamListener(socket, loop: loop, counters: counters) { stream, _ in
            _ = consume stream
            taken += 1
        }
        for _ in 0..<10 { try loop.turn(waitingAtMost: .zero) }
        #expect(counters.failures == 1)
        clock.advance(.milliseconds(110))
        for _ in 0..<10 { try loop.turn(waitingAtMost: .zero) }
        #expect(counters.failures == 2)
        try Socket.listen(same)
        let client = try Socket.make(AF_INET, SOCK_STREAM)
        let endpoint = try #require(listener.endpoint)
        _ = try Socket.connect(client, to: SocketAddress(endpoint))
        clock.advance(.milliseconds(110))
        try loop.turn(until: { taken == 1 })
        #expect(taken == 1)
        #expect(counters.failures == 2)
        listener.close()
    }
}

@Suite("UDP forward")
struct UDPForwardTests {
    private let clock: HandMovedClock
    private let loop: EventLoop
    private let connector = RecordingConnector()
    private let counters = ForwardCounters()
    private static let guest = Endpoint(address: IPAddress(ipv4: 0xc0a8_7f02), port: 53)

    init() throws {
        let clock = HandMovedClock()
        self.clock = clock
        loop = try EventLoop { clock.now }
    }

    @Test("each client has a port and its own answers", arguments: ["127.0.0.1", "::1"])
    func answers(host: String) throws {
        let forward = try makeForward(.anyIPv4)
        let clients = try (0..<2).map { _ in try Client(of: forward, host) }
        try clients[0].send([1])
        try clients[1].send([2, 2])
        try clients[0].send([])
        try loop.turn(until: { counters.datagramsToGuest == 3 })
        #expect(connector.ports.map(\.guest) == [Self.guest, Self.guest])
        #expect(connector.ports.map(\.sent) == [[[1], []], [[2, 2]]])
        answer([20], from: 1)
        answer([], from: 0)
        answer([10], from: 0)
        #expect(try clients[0].receive() == [[], [10]])
        #expect(try clients[1].receive() == [[20]])
        #expect(counters.datagramsToHost == 3)
        forward.close()
        #expect(connector.ports.map(\.isClosed) == [true, true])
        #expect(forward.clientCount == 0)
    }

    @Test func `a port is given back after ninety seconds without a datagram`() throws {
        let forward = try makeForward(.loopbackIPv4)
        let client = try Client(of: forward, "127.0.0.1")
        try client.send([1])
        try loop.turn(until: { counters.datagramsToGuest == 1 })
        clock.advance(.seconds(80))
        answer([2], from: 0)
        clock.advance(.seconds(80))
        for _ in 0..<3 { try loop.turn(waitingAtMost: .zero) }
        #expect(forward.clientCount == 1)
        clock.advance(.seconds(11))
        for _ in 0..<3 { try loop.turn(waitingAtMost: .zero) }
        #expect(forward.clientCount == 0)
        #expect(connector.ports[0].isClosed)
        try client.send([3])
        try loop.turn(until: { connector.ports.count == 2 })
        #expect(connector.ports[1].sent == [[3]])
        forward.close()
    }

    @Test func `the longest idle client gives way when there are too many`() throws {
        let forward = try makeForward(.loopbackIPv4)
        var clients: [Client] = []
        for number in 0...UDPForward.maximumClients {
            clients.append(try Client(of: forward, "127.0.0.1"))
            try clients[number].send([1])
            clock.advance(.milliseconds(1))
            try loop.turn(until: { connector.ports.count == number + 1 })
        }
        #expect(forward.clientCount == UDPForward.maximumClients)
        #expect(connector.ports[0].isClosed)
        #expect(!connector.ports[1].isClosed)
        forward.close()
    }

    @Test func `without a port on the gateway a datagram is dropped and counted`() throws {
        let forward = try makeForward(.loopbackIPv4)
        connector.hasPorts = false
        try Client(of: forward, "127.0.0.1").send([1])
        try loop.turn(until: { counters.datagramsDropped == 1 })
        #expect(counters.datagramsDropped == 1)
        #expect(forward.clientCount == 0)
        forward.close()
    }

    @Test func `a client whose datagram the guest refused gives its port back`() throws {
        let forward = try makeForward(.loopbackIPv4)
        let client = try Client(of: forward, "127.0.0.1")
        try client.send([1])
        try loop.turn(until: { connector.ports.count == 1 })
        connector.ports[0].receiver.guestRefused(now: clock.now)
        #expect(connector.ports[0].isClosed)
        #expect(forward.clientCount == 0)
        // The service may restart.
        try client.send([2])
        try loop.turn(until: { connector.ports.count == 2 })
        #expect(connector.ports[1].sent == [[2]])
        forward.close()
    }

    private func makeForward(_ address: IPAddress) throws -> UDPForward {
        try UDPForward(
            try ListeningSocket.udp(Endpoint(address: address, port: 0)),
            to: Self.guest,
            connector: connector,
            loop: loop,
            counters: counters
        )
    }

    private func answer(_ payload: [UInt8], from port: Int) {
        payload.withUnsafeBytes {
            connector.ports[port].receiver.receiveFromGuest($0, now: clock.now)
        }
    }

    /// The UDP socket of a program on the host.
    private final class Client {
        private let socket: OwnedDescriptor
        private let server: SocketAddress

        init(of forward: UDPForward, _ host: String) throws {
            let address = try #require(IPAddress(host))
            let port = try #require(forward.endpoint).port
            socket = try Socket.make(Socket.family(of: address), SOCK_DGRAM)
            server = SocketAddress(Endpoint(address: address, port: port))
        }

        func send(_ payload: [UInt8]) throws {
            let count = try payload.withUnsafeBytes {
                try Socket.sendDatagram(socket, $0, to: server)
            }
            #expect(count == payload.count)
        }

        func receive() throws -> [[UInt8]] {
            var datagrams: [[UInt8]] = []
            var buffer = [UInt8](repeating: 0, count: 2048)
            while let (count, _) = try buffer.withUnsafeMutableBytes({
                try Socket.receiveDatagram(socket, into: $0)
            }) {
                datagrams.append(Array(buffer[..<count]))
            }
            return datagrams
        }
    }
}
