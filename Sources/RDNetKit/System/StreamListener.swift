/// Takes connections from a listening socket and hands them on.
///
/// A turn takes a bounded number. When whoever takes them has no room, or the process or the system
/// is out of descriptors, or memory, the listener rests for a while: the waiting connection keeps
/// the socket readable, and asking again at once would keep the loop from sleeping.
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
    /// How many connections were taken.
    private(set) var accepted: UInt64 = 0
    /// How often taking one failed.
    private(set) var failures: UInt64 = 0

    /// Starts to listen.
    ///
    /// - Parameters:
    ///   - socket: Listens already; closed by `close`.
    ///   - path: The file of a unix socket, to be removed by `close`.
    ///   - loop: Tells when clients come.
    ///   - limits: Counts when no descriptor is left for a connection.
    ///   - admitting: Whether there is room for one more; without room clients wait in the kernel's
    ///     queue.
    ///   - taking: Is given each connection and its client; nil for a client on a unix socket.
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

    /// Where it listens; nil for a unix socket.
    var endpoint: Endpoint? {
        do {
            return try Socket.localAddress(socket).endpoint
        } catch {
            return nil
        }
    }

    /// Stops listening; connections that were taken live on.
    ///
    /// The socket itself closes with the listener, which the owner lets go of.
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

    /// Stops watching altogether: a watch for nothing would still tell of errors.
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
