/// The socket where guest agents report published ports: one message per connection, no answer.
///
/// HTTP requests, which do not begin as a message does, are passed on.
///
/// How it works: messages apply in the order in which their connections were accepted, because an
/// agent that moves a port sends "remove" on one connection and "add" on the next. So when any
/// connection becomes readable, the server reads all of them, the oldest first. A silent connection
/// delays nobody: the server skips it and drops it after five seconds, or earlier if too many
/// connections wait.
final class PortMessageServer {
    /// Time limit for a connection to send its whole message.
    static let patience: Duration = .seconds(5)
    static let maximumWaiting = 64

    private let loop: EventLoop
    private let log: Logger
    private let received: (PortMessage, PeerProcess?) -> Void
    /// Receives each connection whose client sends an HTTP request; nothing has been read from it.
    var requested: (consuming OwnedDescriptor) -> Void = { _ in }
    private var listener: StreamListener?
    private var waiting: [PortMessageConnection] = []
    /// Valid until the next read.
    private let buffer = ReceiveBuffer()

    /// Creates a server and starts listening.
    ///
    /// - Parameters:
    ///   - path: The socket; a stale one without a listener is replaced.
    ///   - loop: Reports connections of agents.
    ///   - log: For invalid messages.
    ///   - received: Receives each message and the process that sent it, if known.
    /// - Throws: `SystemError` if the path is unavailable.
    init(
        path: String,
        loop: EventLoop,
        log: Logger,
        received: @escaping (PortMessage, PeerProcess?) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.log = log
        self.received = received
        listener = try StreamListener(
            ListeningSocket.unix(path: path),
            path: path,
            loop: loop,
            log: log
        ) { [unowned self] stream, _ in accept(stream) }
    }

    /// Stops listening and removes the socket.
    func close() {
        listener?.close()
        listener = nil
        for connection in waiting { connection.close() }
        waiting = []
    }

    private func accept(_ stream: consuming OwnedDescriptor) {
        if waiting.count >= Self.maximumWaiting {
            readAll()
            if waiting.count >= Self.maximumWaiting, let oldest = waiting.first {
                drop(oldest, "too many other messages are waiting")
            }
        }
        let connection = PortMessageConnection(stream, loop: loop)
        do {
            try connection.start { [unowned self] in
                readAll()
            } expired: { [unowned self, unowned connection] in
                drop(connection, "no complete message within \(Self.patience)")
            }
            waiting.append(connection)
        } catch {
            log.error("port message not received", ["cause": "\(error)"])
        }
    }

    /// Reads the data that has arrived, in the order of acceptance.
    private func readAll() {
        for connection in waiting {
            switch connection.read(buffer) {
            case .partial: continue
            case .whole(let octets): finish(connection, octets)
            case .request: passOn(connection)
            case .silent: remove(connection)
            case .failed(let cause): drop(connection, cause)
            }
        }
    }

    private func finish(_ connection: PortMessageConnection, _ octets: [UInt8]) {
        remove(connection)
        do {
            let message = try PortMessage(decoding: octets)
            received(message, connection.peer)
        } catch {
            log.error("invalid port message", ["cause": "\(error)"])
        }
    }

    private func passOn(_ connection: PortMessageConnection) {
        remove(connection)
        do {
            requested(try connection.stream.duplicate())
        } catch {
            log.error("HTTP request not received", ["cause": "\(error)"])
        }
    }

    private func drop(_ connection: PortMessageConnection, _ cause: String) {
        log.warning("port message dropped", ["cause": cause])
        remove(connection)
    }

    private func remove(_ connection: PortMessageConnection) {
        connection.close()
        waiting.removeAll { $0 === connection }
    }
}

/// One agent's connection until its message is complete.
private final class PortMessageConnection: ReadinessObserver, TimerObserver {
    /// The result of reading.
    enum Outcome {
        /// The message is incomplete.
        case partial
        case whole([UInt8])
        /// The peer sends an HTTP request.
        case request
        /// The peer closed without sending, such as a probe that checks for a listener.
        case silent
        case failed(String)
    }

    /// The process that connected.
    let peer: PeerProcess?
    let stream: OwnedDescriptor
    private let loop: EventLoop
    private var reader = PortMessageReader()
    private var watch: EventLoop.Watch?
    private var deadline: TimerWheel.Token?
    private var ready: () -> Void = {}
    private var expired: () -> Void = {}

    init(_ stream: consuming OwnedDescriptor, loop: EventLoop) {
        peer = PeerProcess(of: stream)
        self.stream = stream
        self.loop = loop
    }

    /// Starts waiting for the message.
    func start(
        ready: @escaping () -> Void,
        expired: @escaping () -> Void
    ) throws(SystemError) {
        watch = try loop.watch(stream.number, for: .readable, observer: self)
        deadline = loop.schedule(loop.now + PortMessageServer.patience, observer: self)
        self.ready = ready
        self.expired = expired
    }

    /// Closes the connection; does nothing if it is closed.
    func close() {
        if let watch { loop.forget(watch) }
        if let deadline { loop.cancel(deadline) }
        watch = nil
        deadline = nil
    }

    /// Reads all available data, up to one message.
    func read(_ buffer: ReceiveBuffer) -> Outcome {
        do {
            if reader.octets.isEmpty, try isRequest(buffer) { return .request }
            while let count = try Socket.receive(stream, into: buffer.memory) {
                if count == 0 { return reader.octets.isEmpty ? .silent : .whole(reader.octets) }
                let octets = UnsafeRawBufferPointer(rebasing: buffer.memory[..<count])
                if reader.append(octets) { return .whole(reader.octets) }
                if reader.isTooLong {
                    return .failed("longer than \(PortMessageReader.maximumLength)")
                }
            }
            return .partial
        } catch {
            return .failed("\(error)")
        }
    }

    /// Whether the first byte is that of an HTTP method.
    private func isRequest(_ buffer: ReceiveBuffer) throws(SystemError) -> Bool {
        let first = UnsafeMutableRawBufferPointer(rebasing: buffer.memory[..<1])
        guard try Socket.peek(stream, into: first) == 1 else { return false }
        return (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(first[0])
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        ready()
    }

    func timerFired(now: Instant) {
        deadline = nil
        expired()
    }
}
