/// The virtual machine's end of the handshake: waits for its host, calls it, and hands over the
/// stream.
///
/// How it works: every call to the handshake port is an exchange of its own, with a deadline, and
/// beside the others: a caller that is mute or hostile delays nobody. When there are too many, the
/// oldest gives way. The first READY makes the host's data port be called; a call that is taken
/// ends the listening and is handed over. A call that is not leaves everything as it was, so that
/// the host, which waits for ten seconds and then begins anew, finds this end listening. After the
/// stream has ended, `start` begins it all again.
final class GuestHandshake {
    /// Where to listen, whom to call, what to say.
    struct Configuration {
        /// The vsock port of any context, or a unix socket.
        var port: LinkAddress
        /// The host's data port.
        var host: LinkAddress
        /// What is said to every caller.
        var phrase: [UInt8]
        /// What a host says that is ready.
        var ready = Array(RancherProfile.readyToken.utf8)
    }

    /// Calls that are listened to at once.
    static let maximumExchanges = 64
    /// How long a caller may take; the host waits as long for the stream.
    static let exchangeTimeout: Duration = .seconds(10)
    /// How long the host may take to answer.
    static let hostPatience: Duration = .seconds(5)

    private let configuration: Configuration
    private let loop: EventLoop
    private let log: Logger
    private let connected: (consuming OwnedDescriptor) -> Void
    private var state = GuestHandshakeState.idle
    private var listener: StreamListener?
    /// In the order in which they came.
    private var calls: [(number: UInt64, connection: HandshakeConnection)] = []
    private var lastCall: UInt64 = 0
    private var exchangeWithHost: HandshakeConnection?
    /// So that a host that cannot be reached is told of once a start.
    private var hasWarned = false

    /// Makes an end that does not listen yet.
    ///
    /// - Parameters:
    ///   - configuration: Where, whom and what.
    ///   - loop: Where everything runs.
    ///   - log: The role's logger.
    ///   - connected: Takes the stream: connected, close-on-exec, non-blocking, not a single octet
    ///     read.
    init(
        _ configuration: Configuration,
        loop: EventLoop,
        log: Logger,
        connected: @escaping (consuming OwnedDescriptor) -> Void
    ) {
        self.configuration = configuration
        self.loop = loop
        self.log = log
        self.connected = connected
    }

    /// Whether it listens for a host.
    var isListening: Bool { listener != nil }

    /// Listens, as often as one likes; while it listens already nothing happens.
    ///
    /// - Throws: `SystemError` with the address in it, such as EADDRINUSE.
    func start() throws(SystemError) {
        guard listener == nil else { return }
        listener = try LinkOpener.listen(at: configuration.port, loop: loop) {
            [weak self] stream, _ in self?.take(stream)
        }
        hasWarned = false
        log.info("waiting for the host", ["port": "\(configuration.port)"])
        handle(.started)
    }

    /// Ends listening and what is under way; a stream that was handed over lives on.
    func stop() {
        handle(.stopped)
    }

    // MARK: Calls from hosts

    private func take(_ stream: consuming OwnedDescriptor) {
        if calls.count == Self.maximumExchanges { calls.removeFirst().connection.cancel() }
        lastCall += 1
        let number = lastCall
        let exchange = GuestExchange(phrase: configuration.phrase, ready: configuration.ready)
        let socket = DialledSocket(descriptor: stream, isConnected: true)
        let connection = HandshakeConnection(socket, exchange, loop: loop) {
            [weak self] result, _ in self?.exchangeEnded(number, result)
        }
        calls.append((number, connection))
        connection.start(within: Self.exchangeTimeout)
    }

    private func exchangeEnded(_ number: UInt64, _ result: ExchangeResult) {
        calls.removeAll { $0.number == number }
        switch result {
        case .agreed:
            log.info("host is ready")
            handle(.ready)
        case .failed(.cutShort(0, _)):
            log.debug("handshake request received")
        case .failed(let fault):
            log.debug("handshake connection failed", ["cause": "\(fault)"])
        }
    }

    // MARK: The call to the host

    private func handle(_ event: GuestHandshakeEvent, _ stream: consuming OwnedDescriptor? = nil) {
        for action in state.next(event) {
            switch action {
            case .connect: connect()
            case .closePort: closePort()
            case .handOver: if let stream = stream.take() { connected(stream) }
            }
        }
    }

    private func connect() {
        let socket: DialledSocket
        do {
            socket = try LinkOpener.dial(configuration.host)
        } catch {
            return hostFailed(.unreachable(SystemError.message(error.errno)))
        }
        let call = HandshakeConnection(socket, PlainExchange(), loop: loop) {
            [weak self] result, descriptor in
            switch result {
            case .agreed: self?.hostAnswered(descriptor)
            case .failed(let fault): self?.hostFailed(fault)
            }
        }
        exchangeWithHost = call
        call.start(within: Self.hostPatience)
    }

    private func hostAnswered(_ stream: consuming OwnedDescriptor) {
        log.info("connected to the host", ["host": "\(configuration.host)"])
        handle(.hostAnswered, stream)
    }

    private func hostFailed(_ fault: ExchangeFault) {
        log.log(
            hasWarned ? .debug : .warning,
            "host is ready but cannot be reached",
            ["host": "\(configuration.host)", "cause": "\(fault)"]
        )
        hasWarned = true
        exchangeWithHost = nil
        handle(.connectFailed)
    }

    private func closePort() {
        listener?.close()
        listener = nil
        for call in calls { call.connection.cancel() }
        calls = []
        exchangeWithHost?.cancel()
        exchangeWithHost = nil
    }
}
