import CLinux
import Glibc
import Testing

@testable import RDNetKit

@Suite("UDP relay")
struct RelayDatagramTests {
    private let clock = HandMovedClock()
    private let loop: EventLoop
    private let counters = ForwardCounters()

    init() throws {
        let clock = clock
        loop = try EventLoop { clock.now }
    }

    private func makeConnector(descriptors: Int = 1_000) -> RelayConnector {
        RelayConnector(
            loop: loop,
            log: .discarding(),
            counters: counters,
            descriptors: descriptors,
            replyOctets: 1 << 20
        )
    }

    private func makeForward(
        to server: Endpoint,
        _ connector: RelayConnector
    ) throws -> UDPForward {
        try UDPForward(
            try ListeningSocket.udp(Endpoint(address: .loopbackIPv4, port: 0)),
            to: server,
            connector: connector,
            loop: loop,
            counters: counters
        )
    }

    /// The UDP socket of a client or of the server.
    private final class Peer {
        let socket: OwnedDescriptor
        let endpoint: Endpoint

        init(_ endpoint: Endpoint = Endpoint(address: .loopbackIPv4, port: 0)) throws {
            socket = try Socket.make(AF_INET, SOCK_DGRAM)
            try Socket.bind(socket, to: SocketAddress(endpoint), named: "loopback")
            self.endpoint = try #require(try Socket.localAddress(socket).endpoint)
        }

        func send(_ text: String, to endpoint: Endpoint) throws {
            _ = try Array(text.utf8).withUnsafeBytes {
                try Socket.sendDatagram(socket, $0, to: SocketAddress(endpoint))
            }
        }

        func receive() throws -> (text: String, sender: Endpoint)? {
            var buffer = [UInt8](repeating: 0, count: 65_536)
            let received = try buffer.withUnsafeMutableBytes {
                try Socket.receiveDatagram(socket, into: $0)
            }
            guard let received, let sender = received.sender.endpoint else { return nil }
            return (String(decoding: buffer[..<received.count], as: UTF8.self), sender)
        }
    }

    /// Turns the loop until a peer has received a datagram.
    private func next(of peer: Peer) throws -> (text: String, sender: Endpoint) {
        let deadline = ContinuousClock.now + hangGuard
        while ContinuousClock.now < deadline {
            if let received = try peer.receive() { return received }
            try loop.turn(waitingAtMost: .milliseconds(10))
        }
        throw ProgramFailure(description: "no datagram came")
    }

    @Test func `each client gets its own answers, empty and longest ones too`() throws {
        let connector = makeConnector()
        let server = try Peer()
        let forward = try makeForward(to: server.endpoint, connector)
        let local = try #require(forward.endpoint)
        let clients = try (0..<3).map { _ in try Peer() }
        for text in ["", "x", String(repeating: "y", count: 65_507)] {
            for (index, client) in clients.enumerated() {
                try client.send(text, to: local)
                let question = try next(of: server)
                #expect(question.text == text)
                try server.send(String((text + "\(index)").suffix(65_507)), to: question.sender)
            }
            for (index, client) in clients.enumerated() {
                let answer = try next(of: client)
                #expect(answer.sender == local)
                #expect(answer.text.hasSuffix("\(index)"))
            }
        }
        #expect(forward.clientCount == 3)
        #expect(counters.datagramsDropped == 0)
        forward.close()
        connector.close()
    }

    @Test func `a server that comes later gets the next datagram`() throws {
        let connector = makeConnector()
        let place = try { try Peer().endpoint }()
        let forward = try makeForward(to: place, connector)
        let local = try #require(forward.endpoint)
        let client = try Peer()
        for count in 1...3 {
            try client.send("too early", to: local)
            while counters.datagramsToGuest < count { try loop.turn(waitingAtMost: .seconds(1)) }
            try loop.turn(waitingAtMost: .milliseconds(5))
        }
        let server = try Peer(place)
        try client.send("in time", to: local)
        #expect(try next(of: server).text == "in time")
        forward.close()
        connector.close()
    }

    @Test func `a client of any port, and TCP, take the longest-idle client's place`() throws {
        let connector = makeConnector(descriptors: 8)
        let server = try Peer()
        let forwards = try (0..<2).map { _ in try makeForward(to: server.endpoint, connector) }
        let locals = try forwards.map { try #require($0.endpoint) }
        let clients = try (0..<7).map { _ in try Peer() }
        for client in clients {
            try client.send("a", to: locals[0])
            #expect(try next(of: server).text == "a")
            clock.advance(.milliseconds(5))
        }
        #expect(forwards[0].clientCount == 7)
        // One descriptor is reserved for TCP.
        try clients[0].send("b", to: locals[1])
        #expect(try next(of: server).text == "b")
        #expect(forwards.map(\.clientCount) == [6, 1])
        #expect(connector.hasRoom)
        #expect(forwards.map(\.clientCount) == [5, 1])
        for forward in forwards { forward.close() }
        connector.close()
    }

    @Test func `without room the longest idle client gives way, and idle ones go`() throws {
        let connector = makeConnector(descriptors: 2)
        let server = try Peer()
        let forward = try makeForward(to: server.endpoint, connector)
        let local = try #require(forward.endpoint)
        let clients = try (0..<3).map { _ in try Peer() }
        for (index, client) in clients.enumerated() {
            try client.send("\(index)", to: local)
            #expect(try next(of: server).text == "\(index)")
            clock.advance(.milliseconds(5))
        }
        #expect(forward.clientCount == 2)
        clock.advance(UDPForward.idleTime)
        for _ in 0..<3 { try loop.turn(waitingAtMost: .zero) }
        #expect(forward.clientCount == 0)
        #expect(connector.hasRoom)
        forward.close()
        connector.close()
    }

    @Test func `a server that answers from another port goes on there`() throws {
        let connector = makeConnector()
        let server = try Peer()
        let other = try Peer()
        let forward = try makeForward(to: server.endpoint, connector)
        let local = try #require(forward.endpoint)
        let client = try Peer()
        try client.send("request", to: local)
        let origin = try next(of: server).sender
        try other.send("answer", to: origin)
        let answer = try next(of: client)
        #expect(answer.text == "answer" && answer.sender != local)
        try client.send("more", to: answer.sender)
        let more = try next(of: other)
        // The server sees one client, and may have connected its second socket to that client.
        #expect(more.text == "more" && more.sender == origin)
        try other.send("last", to: origin)
        let last = try next(of: client)
        #expect(last.text == "last" && last.sender == answer.sender)
        try server.send("first port", to: origin)
        #expect(try next(of: client).sender == local)
        forward.close()
        connector.close()
    }

    @Test func `what another machine sends to the relay's port is dropped`() throws {
        let connector = makeConnector()
        let server = try Peer()
        let forward = try makeForward(to: server.endpoint, connector)
        let client = try Peer()
        try client.send("request", to: try #require(forward.endpoint))
        let origin = try next(of: server).sender
        let stranger = try Peer(Endpoint(address: IPAddress(ipv4: 0x7f00_0009), port: 0))
        try stranger.send("forged", to: origin)
        try loop.turn(until: { counters.datagramsDropped == 1 })
        #expect(counters.datagramsDropped == 1)
        try server.send("true", to: origin)
        #expect(try next(of: client).text == "true")
        forward.close()
        connector.close()
    }

    @Test func `a second port that the server has closed ends alone`() throws {
        let connector = makeConnector()
        let server = try Peer()
        let forward = try makeForward(to: server.endpoint, connector)
        let local = try #require(forward.endpoint)
        let client = try Peer()
        try client.send("request", to: local)
        let origin = try next(of: server).sender
        let second = try {
            let other = try Peer()
            try other.send("answer", to: origin)
            return try next(of: client).sender
        }()
        try client.send("too late", to: second)
        for _ in 0..<3 { try loop.turn(waitingAtMost: .milliseconds(10)) }
        #expect(forward.clientCount == 1)
        try client.send("again", to: local)
        #expect(try next(of: server).sender == origin)
        forward.close()
        connector.close()
    }
}
