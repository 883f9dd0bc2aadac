/// The data connections of `port-forwarder`: accepts them, or opens one again after each failure.
final class DataConnections {
    /// The pause before the next attempt to connect, as VPNKit has it.
    private static let pause: Duration = .seconds(1)

    private let side: any PortForwarder.Side
    private let loop: EventLoop
    private let log: Logger
    private let limits: LimitLog
    private var listener: StreamListener?
    private var dialer: LinkDialer?
    /// The last reported failure, so that a long wait is one line in the log.
    private var failure = ""
    private var isClosed = false

    /// Creates a source of connections.
    init(_ side: any PortForwarder.Side, _ surroundings: PortForwarder.Surroundings) {
        self.side = side
        loop = surroundings.loop
        log = surroundings.log
        limits = surroundings.limits
    }

    /// Starts to listen or to connect.
    ///
    /// - Throws: `RoleFailure` if the address cannot be used.
    func start(_ settings: PortForwarderSettings) throws(RoleFailure) {
        do throws(SystemError) {
            if let address = settings.dataListen { try listen(at: address) }
        } catch {
            throw RoleFailure("--data-listen: \(error)")
        }
        if let address = settings.dataConnect { connect(to: address) }
    }

    /// Stops; connections that were handed over stay open.
    func close() {
        isClosed = true
        listener?.close()
        dialer?.close()
    }

    private func listen(at address: LinkAddress) throws(SystemError) {
        listener = try LinkOpener.listen(at: address, loop: loop, log: log, limits: limits) {
            [side, log] stream, _ in
            guard side.hasRoom else { return log.debug("data connection refused: too many") }
            side.adopt(stream, .listener) { reason in
                log.debug("data connection ended", ["reason": reason])
            }
        }
    }

    private func connect(to address: LinkAddress) {
        let dialer = LinkDialer(
            address,
            loop: loop,
            outcome: LinkDialer.Outcome(
                connected: { [weak self] stream in self?.connected(to: address, stream) },
                failed: { [weak self] reason in self?.retry(address, after: reason) }
            )
        )
        self.dialer = dialer
        dialer.start()
    }

    private func connected(to address: LinkAddress, _ stream: consuming OwnedDescriptor) {
        side.adopt(stream, .connector) { [weak self] reason in
            self?.retry(address, after: reason)
        }
    }

    private func retry(_ address: LinkAddress, after reason: String) {
        guard !isClosed else { return }
        if case .descriptor = address {
            log.info("data connection ended", ["reason": reason])
            return loop.stop()
        }
        if reason != failure {
            failure = reason
            log.info("no data connection", ["address": "\(address)", "reason": reason])
        }
        loop.after(Self.pause) { [weak self] _ in self?.connect(to: address) }
    }
}
