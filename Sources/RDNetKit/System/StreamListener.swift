/// Accepts connections on a listening socket and passes them on.
///
/// Each turn accepts a limited number. The listener pauses when the receiver has no room, or when
/// the process or the system is out of descriptors or memory. A waiting connection keeps the socket
/// readable, so without the pause the loop would never sleep.
///
/// If another program removes a unix socket's file, the listener binds a new socket to the path
/// (`SocketFileKeeper`). Clients that still wait at the old socket are accepted first.
final class StreamListener: ReadinessObserver {
    static let acceptedPerTurn = 64
    static let rest: Duration = .milliseconds(100)

    private let loop: EventLoop
    private var socket: OwnedDescriptor
    /// The socket before the latest, while clients may still wait at it.
    private var formerSocket: OwnedDescriptor?
    private var file: SocketFileKeeper?
    private let limits: LimitLog
    private let admitting: () -> Bool
    private let taking: (consuming OwnedDescriptor, Endpoint?) -> Void
    private var watch: EventLoop.Watch?
    private var resting: TimerWheel.Token?
    private var isClosed = false
    private let counters: ListenerCounters

    /// Creates a listener and starts to accept connections.
    ///
    /// - Parameters:
    ///   - socket: A listening socket, which closes with the listener.
    ///   - path: The file of a unix socket; `close` removes it.
    ///   - kind: The socket's type.
    ///   - access: Who may connect to a unix socket that is created again.
    ///   - loop: Reports waiting connections.
    ///   - log: For a socket file that disappears.
    ///   - limits: Counts the attempts that failed for lack of a descriptor.
    ///   - counters: Counts connections.
    ///   - admitting: Whether the receiver has room for one more connection; without room, clients
    ///     wait in the kernel's queue.
    ///   - taking: Receives each connection and its client's address; nil for a unix socket.
    /// - Throws: `SystemError` when the loop cannot watch the socket.
    init(
        _ socket: consuming OwnedDescriptor,
        path: String? = nil,
        _ kind: SocketKind = .stream,
        access: SocketAccess = SocketAccess(),
        loop: EventLoop,
        log: Logger = .discarding(),
        limits: LimitLog = .discarding(),
        counters: ListenerCounters = ListenerCounters(),
        admitting: @escaping () -> Bool = { true },
        taking: @escaping (consuming OwnedDescriptor, Endpoint?) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.socket = socket
        self.limits = limits
        self.counters = counters
        self.admitting = admitting
        self.taking = taking
        file = path.map { path in
            SocketFileKeeper(path, kind, access: access, loop: loop, log: log) {
                [unowned self] socket throws(SystemError) in try replaceSocket(by: socket)
            }
        }
        do {
            watch = try loop.watch(self.socket.number, for: .readable, observer: self)
        } catch {
            file?.close()
            throw error
        }
    }

    /// The address and port of the listening socket; nil for a unix socket.
    var endpoint: Endpoint? {
        do {
            return try Socket.localAddress(socket).endpoint
        } catch {
            return nil
        }
    }

    /// Stops accepting; existing connections stay open.
    ///
    /// The socket itself closes when the owner releases the listener.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        if let watch { loop.forget(watch) }
        if let resting { loop.cancel(resting) }
        file?.close()
        formerSocket = nil
    }

    private func replaceSocket(by newer: consuming OwnedDescriptor) throws(SystemError) {
        let newWatch = try loop.watch(newer.number, for: .readable, observer: self)
        if let watch { loop.forget(watch) }
        if let resting { loop.cancel(resting) }
        resting = nil
        watch = newWatch
        swap(&socket, &newer)
        formerSocket = consume newer
        descriptorReady(.readable, now: loop.now)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        for _ in 0..<Self.acceptedPerTurn {
            guard admitting() else { return pause() }
            do {
                guard let connection = try nextConnection() else { return }
                counters.accepted &+= 1
                hand(on: connection)
            } catch {
                counters.failures &+= 1
                if error.isOutOfDescriptors {
                    limits.reached(.descriptors, maximum: ProcessLimits.descriptors)
                }
                if !error.concernsOneConnection { return pause() }
            }
            // The receiver may have closed the listener.
            if isClosed { return }
        }
    }

    private func nextConnection() throws(SystemError) -> AcceptedConnection? {
        if let connection = try formerConnection() { return connection }
        formerSocket = nil
        return try Socket.accept(socket)
    }

    private func formerConnection() throws(SystemError) -> AcceptedConnection? {
        switch formerSocket {
        case .some(let socket): try Socket.accept(socket)
        case .none: nil
        }
    }

    private func hand(on connection: consuming AcceptedConnection) {
        let peer = connection.peer.endpoint
        taking(connection.descriptor, peer)
    }

    /// Stops watching entirely: a watch for no events would still report errors.
    private func pause() {
        if let watch { loop.forget(watch) }
        watch = nil
        resting = loop.after(Self.rest) { [weak self] _ in self?.resume() }
    }

    private func resume() {
        resting = nil
        do {
            watch = try loop.watch(socket.number, for: .readable, observer: self)
        } catch {
            return pause()
        }
        // Nothing watches the former socket.
        descriptorReady(.readable, now: loop.now)
    }
}
