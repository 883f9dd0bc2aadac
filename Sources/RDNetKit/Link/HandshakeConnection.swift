/// One connection in its handshake: a socket, the exchange on it, and its deadline.
///
/// The exchange makes the decisions. This type reads small amounts as they arrive and sends the
/// exchange's messages. It ends exactly once: with the result and the socket, or silently by
/// `cancel`.
final class HandshakeConnection: ReadinessObserver, TimerObserver {
    /// Receives the result and the socket, which closes unless the closure keeps it.
    typealias Ending = (ExchangeResult, consuming OwnedDescriptor) -> Void

    private static let octetsPerRead = 256

    private let loop: EventLoop
    private let ended: Ending
    private var exchange: any HandshakeExchange
    private var descriptor: OwnedDescriptor?
    private var isConnected: Bool
    private var unsent: [UInt8] = []
    private var watch: EventLoop.Watch?
    private var deadline: TimerWheel.Token?

    /// Creates a connection that does nothing yet.
    ///
    /// - Parameters:
    /// - socket: A socket that is connected or connecting.
    /// - exchange: The exchange to run on it.
    /// - loop: The event loop.
    /// - ended: Receives the result.
    init(
        _ socket: consuming DialedSocket,
        _ exchange: any HandshakeExchange,
        loop: EventLoop,
        ended: @escaping Ending
    ) {
        isConnected = socket.isConnected
        descriptor = consume socket.descriptor
        self.exchange = exchange
        self.loop = loop
        self.ended = ended
    }

    /// Starts the exchange; it may end before this method returns.
    ///
    /// - Parameter patience: The time limit for the whole exchange.
    func start(within patience: Duration) {
        guard let number = descriptor?.number else { return }
        deadline = loop.schedule(loop.now + patience, observer: self)
        do {
            watch = try loop.watch(
                number,
                for: isConnected ? .readable : .writable,
                observer: self
            )
        } catch {
            return handle(.failed("\(error)"))
        }
        guard isConnected else { return }
        handle(.connected)
        // Read at once what the other end sent before the accept: many others may connect before
        // the next turn.
        receive()
    }

    /// Ends the connection without a result.
    func cancel() {
        _ = close()
    }

    func timerFired(now: Instant) {
        deadline = nil
        handle(.deadlinePassed)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if !isConnected {
            guard connect() else { return }
            handle(.connected)
        }
        if readiness.contains(.writable) { flush() }
        if !readiness.isDisjoint(with: [.readable, .hungUp, .failed]) { receive() }
    }

    /// Completes the connect; returns whether it succeeded.
    private func connect() -> Bool {
        let code =
            switch descriptor {
            case .some(let descriptor): Socket.takeError(descriptor)
            case .none: Int32(0)
            }
        guard code == 0 else {
            handle(.failed(SystemError.message(code)))
            return false
        }
        isConnected = true
        if let watch { loop.change(watch, to: .readable) }
        return true
    }

    private func receive() {
        // A read of zero bytes would look like the end of the stream.
        let count = min(Self.octetsPerRead, exchange.octetsWanted)
        guard count > 0 else { return }
        let event = withUnsafeTemporaryAllocation(byteCount: count, alignment: 1) {
            room -> ExchangeEvent? in
            do throws(SystemError) {
                let count: Int? =
                    switch descriptor {
                    case .some(let descriptor): try Socket.receive(descriptor, into: room)
                    case .none: nil
                    }
                return count.map { $0 == 0 ? .ended : .received(Array(room[..<$0])) }
            } catch {
                return .failed(SystemError.message(error.errno))
            }
        }
        if let event { handle(event) }
    }

    private func handle(_ event: ExchangeEvent) {
        switch exchange.next(event) {
        case .wait: break
        case .send(let octets):
            unsent += octets
            flush()
        case .end(let result): end(result)
        }
    }

    private func flush() {
        guard !unsent.isEmpty else { return }
        let event: ExchangeEvent
        do throws(SystemError) {
            let count: Int? =
                switch descriptor {
                case .some(let descriptor): try Socket.send(descriptor, unsent)
                case .none: nil
                }
            unsent.removeFirst(count ?? 0)
            if let watch {
                // Unwanted input must not wake the loop again and again.
                let reading: Readiness = exchange.octetsWanted > 0 ? .readable : []
                loop.change(watch, to: unsent.isEmpty ? .readable : reading.union(.writable))
            }
            guard unsent.isEmpty else { return }
            event = .sent
        } catch {
            unsent = []
            event = .sendingFailed(SystemError.message(error.errno))
        }
        handle(event)
    }

    private func end(_ result: ExchangeResult) {
        guard let descriptor = close() else { return }
        ended(result, descriptor)
    }

    private func close() -> OwnedDescriptor? {
        if let watch { loop.forget(watch) }
        watch = nil
        if let deadline { loop.cancel(deadline) }
        deadline = nil
        return descriptor.take()
    }
}
