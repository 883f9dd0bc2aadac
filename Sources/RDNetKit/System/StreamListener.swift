/// Accepts connections on a listening socket and passes them on.
///
/// Each turn accepts a limited number. The listener pauses when the receiver has no room, or when
/// the process or the system is out of descriptors or memory. A waiting connection keeps the socket
/// readable, so without the pause the loop would never sleep.
final class StreamListener: ReadinessObserver {
    static let acceptedPerTurn = 64
    static let rest: Duration = .milliseconds(100)

    private let loop: EventLoop
    private let socket: OwnedDescriptor
    private let file: SocketFile?
    private let limits: LimitLog
    private let admitting: () -> Bool
    private let taking: (consuming OwnedDescriptor, Endpoint?) -> Void
    private var watch: EventLoop.Watch?
    private var resting: TimerWheel.Token?
    private var isClosed = false
    /// The number of accepted connections.
    private(set) var accepted: UInt64 = 0
    /// The number of failed attempts to accept.
    private(set) var failures: UInt64 = 0

    /// Creates a listener and starts to accept connections.
    ///
    /// - Parameters:
    ///   - socket: A listening socket, which closes with the listener.
    ///   - path: The file of a unix socket; `close` removes it.
    ///   - loop: Reports waiting connections.
    ///   - limits: Counts the attempts that failed for lack of a descriptor.
    ///   - admitting: Whether the receiver has room for one more connection; without room, clients
    ///     wait in the kernel's queue.
    ///   - taking: Receives each connection and its client's address; nil for a unix socket.
    /// - Throws: `SystemError` when the loop cannot watch the socket.
    init(
        _ socket: consuming OwnedDescriptor,
        path: String? = nil,
        loop: EventLoop,
        limits: LimitLog = .discarding(),
        admitting: @escaping () -> Bool = { true },
        taking: @escaping (consuming OwnedDescriptor, Endpoint?) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.socket = socket
        file = path.map { SocketFile($0) }
        self.limits = limits
        self.admitting = admitting
        self.taking = taking
        do {
            watch = try loop.watch(self.socket.number, for: .readable, observer: self)
        } catch {
            file?.remove()
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
        file?.remove()
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        for _ in 0..<Self.acceptedPerTurn {
            guard admitting() else { return pause() }
            do {
                guard let connection = try Socket.accept(socket) else { return }
                accepted += 1
                hand(on: connection)
            } catch {
                failures += 1
                if error.isOutOfDescriptors {
                    limits.reached(.descriptors, maximum: ProcessLimits.descriptors)
                }
                if !error.concernsOneConnection { return pause() }
            }
            // The receiver may have closed the listener.
            if isClosed { return }
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
        do {
            watch = try loop.watch(socket.number, for: .readable, observer: self)
        } catch {
            pause()
        }
    }
}
