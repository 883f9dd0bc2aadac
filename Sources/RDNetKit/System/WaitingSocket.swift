internal import CLinux
internal import Glibc

/// A socket with blocking waits, for programs that do nothing else; the engine never uses it.
struct WaitingSocket: ~Copyable {
    let descriptor: OwnedDescriptor

    /// Creates a waiting socket from a descriptor, which stays non-blocking.
    init(_ descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
    }

    /// Connects within a time limit.
    ///
    /// See connect(2).
    static func connected(
        to endpoint: Endpoint,
        _ kind: SocketKind,
        within limit: Duration
    ) throws(SystemError) -> WaitingSocket {
        let descriptor = try Socket.make(Socket.family(of: endpoint.address), kind)
        let isConnected = try Socket.connect(descriptor, to: SocketAddress(endpoint))
        let socket = WaitingSocket(descriptor)
        if !isConnected { try socket.finishConnecting(to: "\(endpoint)", within: limit) }
        return socket
    }

    /// Waits until a started connection attempt completes.
    ///
    /// See connect(2).
    func finishConnecting(to peer: String, within limit: Duration) throws(SystemError) {
        try Self.wait(for: descriptor, Int16(POLLOUT), limit, "connect \(peer)")
        let code = Socket.takeError(descriptor)
        if code != 0 { throw SystemError(call: "connect \(peer)", errno: code) }
    }

    /// Accepts one connection within a time limit.
    ///
    /// See accept(2).
    func accept(within limit: Duration) throws(SystemError) -> WaitingSocket {
        try Self.wait(for: descriptor, Int16(POLLIN), limit, "accept")
        guard let connection = try Socket.accept(descriptor) else {
            throw SystemError(call: "accept", errno: ETIMEDOUT)
        }
        return WaitingSocket(connection.descriptor)
    }

    /// Sends all bytes, with a time limit for each wait.
    func send(_ octets: [UInt8], within limit: Duration) throws(SystemError) {
        var offset = 0
        while offset < octets.count {
            if let count = try Socket.send(descriptor, octets, from: offset) {
                offset += count
            } else {
                try Self.wait(for: descriptor, Int16(POLLOUT), limit, "send")
            }
        }
    }

    /// Receives the next bytes, up to a maximum number; empty at the end of the stream.
    func receive(upTo count: Int, within limit: Duration) throws(SystemError) -> [UInt8] {
        while true {
            try Self.wait(for: descriptor, Int16(POLLIN), limit, "receive")
            if let octets = try Socket.receive(descriptor, upTo: count) { return octets }
        }
    }

    /// Sleeps.
    ///
    /// See nanosleep(2).
    static func pause(_ time: Duration) {
        usleep(UInt32(clamping: time.wholeNanoseconds / 1_000))
    }

    /// Waits until something can be received, at least the end of the stream.
    ///
    /// - Throws: `SystemError` with ETIMEDOUT.
    func waitForBytes(within limit: Duration) throws(SystemError) {
        try Self.wait(for: descriptor, Int16(POLLIN), limit, "receive")
    }

    /// Makes the kernel probe the peer of an idle TCP connection.
    func probePeer(after idle: Duration) {
        Socket.probePeer(descriptor, after: idle)
    }

    /// Whether a descriptor has something to read within a time limit.
    static func hasBytes(
        _ descriptor: borrowing OwnedDescriptor,
        within limit: Duration
    ) throws(SystemError) -> Bool {
        do {
            try wait(for: descriptor, Int16(POLLIN), limit, "poll")
            return true
        } catch {
            guard error.isTimeout else { throw error }
            return false
        }
    }

    private static func wait(
        for descriptor: borrowing OwnedDescriptor,
        _ events: Int16,
        _ limit: Duration,
        _ call: String
    ) throws(SystemError) {
        var request = pollfd(fd: descriptor.number, events: events, revents: 0)
        let milliseconds = Int32(max(limit.millisecondsRoundedUp, 0))
        let ready = try systemCall(call) { poll(&request, 1, milliseconds) }
        if ready == 0 { throw SystemError(call: call, errno: ETIMEDOUT) }
    }
}
