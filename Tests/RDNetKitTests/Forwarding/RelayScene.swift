import CLinux
import Glibc
import Testing

@testable import RDNetKit

/// One end of a relayed connection; it never blocks.
final class RelayedPeer {
    /// The state of the received stream.
    enum State: Equatable {
        case open
        case ended
        case reset
    }

    let descriptor: OwnedDescriptor
    /// Everything received so far.
    private(set) var received: [UInt8] = []
    private(set) var state = State.open

    init(_ descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
    }

    /// Sends as much as fits; returns the number of bytes.
    @discardableResult
    func send(_ octets: ArraySlice<UInt8>) throws -> Int {
        try octets.withUnsafeBytes { try Socket.send(descriptor, $0) } ?? 0
    }

    func send(_ text: String) throws {
        #expect(try send(Array(text.utf8)[...]) == text.utf8.count)
    }

    func endSending() {
        Socket.shutDownSending(descriptor)
    }

    func resetOnClose() {
        Socket.resetOnClose(descriptor)
    }

    /// Receives up to `most` waiting bytes and updates the state.
    func receive(upTo most: Int = .max) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var remaining = most
        while state == .open, remaining > 0 {
            do {
                let count = try buffer.withUnsafeMutableBytes {
                    try Socket.receive(
                        descriptor,
                        into: UnsafeMutableRawBufferPointer(rebasing: $0.prefix(remaining))
                    )
                }
                guard let count else { return }
                if count == 0 { state = .ended }
                received += buffer[..<count]
                remaining -= count
            } catch {
                state = .reset
            }
        }
    }

    var text: String { String(decoding: received, as: UTF8.self) }
}

/// Accepts one waiting connection, if any.
func acceptOne(_ listener: borrowing OwnedDescriptor) -> OwnedDescriptor? {
    let number = accept4(listener.number, nil, nil, CInt(SOCK_NONBLOCK.rawValue))
    return number >= 0 ? OwnedDescriptor(adopting: number) : nil
}

/// A forward to the test's server, all on 127.0.0.1 and in one loop.
final class RelayScene {
    let loop: EventLoop
    let clock = HandMovedClock()
    let counters = ForwardCounters()
    let connector: RelayConnector
    let server: Endpoint
    private let listener: OwnedDescriptor
    private let forward: TCPForward

    /// Creates the forward and its server.
    ///
    /// - Parameters:
    ///   - descriptors: The limit on the relays' sockets.
    ///   - usesPipes: Whether pipes are available; otherwise all of them are taken.
    ///   - serverBuffer: Size of the kernel's receive buffer for the server; nil for the default.
    /// - Throws: If a socket cannot be created.
    init(descriptors: Int = 10_000, usesPipes: Bool = true, serverBuffer: Int32? = nil) throws {
        let clock = clock
        loop = try EventLoop { clock.now }
        connector = RelayConnector(
            loop: loop,
            log: .discarding(),
            counters: counters,
            descriptors: descriptors,
            replyOctets: 1 << 20
        )
        while !usesPipes, connector.pipes.take() != nil {}
        let anyPort = Endpoint(address: .loopbackIPv4, port: 0)
        listener = try ListeningSocket.tcp(anyPort)
        if let serverBuffer { try Socket.set(listener, SOL_SOCKET, SO_RCVBUF, to: serverBuffer) }
        server = try #require(try Socket.localAddress(listener).endpoint)
        forward = try TCPForward(
            try ListeningSocket.tcp(anyPort),
            to: .tcp(server),
            connector: connector,
            loop: loop,
            counters: counters
        )
    }

    deinit {
        forward.close()
        connector.close()
    }

    /// Creates a client that is connected to the forward.
    func connect() throws -> RelayedPeer {
        let endpoint = try #require(forward.endpoint)
        let socket = try Socket.make(AF_INET, SOCK_STREAM)
        _ = try Socket.connect(socket, to: SocketAddress(endpoint))
        return RelayedPeer(socket)
    }

    /// Waits for the server's next connection.
    func accept() throws -> RelayedPeer {
        let deadline = ContinuousClock.now + hangGuard
        while ContinuousClock.now < deadline {
            if let accepted = acceptOne(listener) { return RelayedPeer(accepted) }
            try loop.turn(waitingAtMost: .milliseconds(10))
        }
        throw ProgramFailure(description: "nothing was relayed to the server")
    }

    /// Connects a client; returns it with the server's end.
    func connectBoth() throws -> (client: RelayedPeer, server: RelayedPeer) {
        let client = try connect()
        return (client, try accept())
    }

    /// Turns the loop until a condition holds; records an issue after `hangGuard`.
    func turn(until isDone: () throws -> Bool) throws {
        let deadline = ContinuousClock.now + hangGuard
        while ContinuousClock.now < deadline {
            if try isDone() { return }
            try loop.turn(waitingAtMost: .milliseconds(5))
        }
        Issue.record("it did not happen")
    }

    /// Turns the loop until a peer has received a text, reached a state, or both.
    func turn(until peer: RelayedPeer, has text: String? = nil, is state: RelayedPeer.State? = nil)
        throws
    {
        try turn {
            peer.receive()
            return (text ?? peer.text) == peer.text && (state ?? peer.state) == peer.state
        }
    }
}
