/// The server of VPNKit's control file system: any number of sessions with one tree.
///
/// A session is a byte stream of 9P messages. It may be idle for as long as it is mounted; only one
/// that never begins is closed after a while.
final class PortFileServer {
    /// Limit on sessions.
    static let maximumSessions = 64
    /// Limit on the sessions of one guest.
    static let maximumSessionsPerClient = 16
    /// How long a session may take to begin.
    static let patience: Duration = .seconds(10)

    private let system: PortFileSystem
    let loop: EventLoop
    let log: Logger
    let limits: LimitLog
    private let scratch = ReceiveBuffer()
    private var connections: [ObjectIdentifier: PortFileConnection] = [:]

    /// Creates a server without sessions.
    ///
    /// - Parameters:
    ///   - system: The tree.
    ///   - loop: Watches the connections.
    ///   - log: Receives one line for each session that ends because of a fault.
    ///   - limits: Reports refused sessions.
    init(_ system: PortFileSystem, loop: EventLoop, log: Logger, limits: LimitLog) {
        self.system = system
        self.loop = loop
        self.log = log
        self.limits = limits
    }

    /// Starts a session; closes the connection if there are too many.
    ///
    /// - Parameters:
    ///   - stream: A connected, non-blocking stream.
    ///   - client: The guest at its other end; nil if that is not known.
    func accept(_ stream: consuming OwnedDescriptor, from client: IPAddress?) {
        let own = connections.values.count { $0.client == client }
        guard connections.count < Self.maximumSessions, own < Self.maximumSessionsPerClient else {
            return limits.reached(.portFileSessions, maximum: Self.maximumSessions)
        }
        do {
            let connection = try PortFileConnection(
                stream,
                NinePSession(system, client: client),
                loop: loop,
                scratch: scratch
            ) { [unowned self] connection, cause in
                if let cause { log.warning("9P session closed", ["cause": cause]) }
                connections[ObjectIdentifier(connection)] = nil
            }
            connections[ObjectIdentifier(connection)] = connection
        } catch {
            log.warning("9P session not started", ["cause": "\(error)"])
        }
    }

    /// Ends every session and thereby closes every port.
    func close() {
        for connection in Array(connections.values) { connection.close() }
    }
}

/// The stream of one session.
final class PortFileConnection: ReadinessObserver, TimerObserver {
    /// Messages to answer per turn, so that one session does not delay the others.
    private static let messagesPerTurn = 32
    /// Limit on answers that the client has not read; above it, its requests wait.
    private static let maximumUnsent = 65_536

    private let stream: OwnedDescriptor
    private let session: NinePSession
    private let loop: EventLoop
    private let scratch: ReceiveBuffer
    private let ended: (PortFileConnection, _ cause: String?) -> Void
    private var watch: EventLoop.Watch?
    private var timer: TimerWheel.Token?
    private var incoming: [UInt8] = []
    private var outgoing: [UInt8] = []

    /// Starts to serve a session.
    ///
    /// - Throws: `SystemError` if the loop cannot watch the stream.
    fileprivate init(
        _ stream: consuming OwnedDescriptor,
        _ session: NinePSession,
        loop: EventLoop,
        scratch: ReceiveBuffer,
        ended: @escaping (PortFileConnection, _ cause: String?) -> Void
    ) throws(SystemError) {
        self.stream = stream
        self.session = session
        self.loop = loop
        self.scratch = scratch
        self.ended = ended
        watch = try loop.watch(self.stream.number, for: .readable, observer: self)
        timer = loop.schedule(loop.now + PortFileServer.patience, observer: self)
    }

    /// The guest at the other end; nil if that is not known.
    var client: IPAddress? { session.client }

    /// Ends the session; does nothing if it has ended.
    ///
    /// - Parameter cause: The client's fault; nil for an ordinary end.
    func close(because cause: String? = nil) {
        guard let watch else { return }
        self.watch = nil
        loop.forget(watch)
        if let timer { loop.cancel(timer) }
        timer = nil
        session.end()
        ended(self, cause)
    }

    func timerFired(now: Instant) {
        timer = nil
        if !session.hasBegun {
            close(because: "no session within \(PortFileServer.patience)")
        } else {
            work()
        }
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do {
            if readiness.contains(.readable) || readiness.contains(.hungUp) {
                guard let count = try Socket.receive(stream, into: scratch.memory) else { return }
                if count == 0 { return close() }
                incoming += scratch.memory[..<count]
            }
            work()
        } catch {
            close()
        }
    }

    /// Answers what has arrived, and sends the answers.
    private func work() {
        guard watch != nil else { return }
        var start = 0
        var answered = 0
        while answered < Self.messagesPerTurn, outgoing.count < Self.maximumUnsent,
            !session.isOver, let length = nextLength(at: start)
        {
            guard length >= NinePRequest.headerLength, length <= session.lengthLimit else {
                return close(because: "a message of \(length) octets")
            }
            guard incoming.count - start >= length else { break }
            let message = Array(incoming[start..<(start + length)])
            start += length
            answered += 1
            if let answer = session.answer(message) { outgoing += answer }
        }
        incoming.removeFirst(start)
        do throws(SystemError) {
            try flush()
        } catch {
            return close()
        }
        if session.isOver {
            return close(because: "the client does not begin as 9P2000 requires")
        }
        settle()
    }

    private func nextLength(at start: Int) -> Int? {
        guard incoming.count - start >= 4 else { return nil }
        return (0..<4).reversed().reduce(0) { $0 << 8 | Int(incoming[start + $1]) }
    }

    private func flush() throws(SystemError) {
        var sent = 0
        while sent < outgoing.count {
            guard let count = try Socket.send(stream, outgoing, from: sent) else { break }
            sent += count
        }
        outgoing.removeFirst(sent)
    }

    /// Watches for what can happen next.
    private func settle() {
        guard let watch else { return }
        let hasMore = nextLength(at: 0).map { $0 <= incoming.count } ?? false
        if hasMore, outgoing.isEmpty {
            // The rest has its turn after the others.
            loop.change(watch, to: [])
            if let timer { loop.cancel(timer) }
            timer = loop.schedule(loop.now, observer: self)
        } else {
            loop.change(watch, to: outgoing.isEmpty ? .readable : .writable)
        }
    }
}
