/// The virtual machine's end of the handshake: waits for its host, connects to it, and passes on
/// the stream.
///
/// How it works: every connection to the handshake port is an independent exchange with a deadline,
/// so a silent or hostile peer delays nobody. When there are too many, the oldest makes room. At
/// the first READY the guest connects to the host's data port. If that succeeds, the guest stops
/// listening and passes the stream on. If it fails, nothing changes, so that the host, which waits
/// ten seconds and then starts over, finds this end listening. After the stream has ended, `start`
/// begins the handshake again.
final class GuestHandshake {
    /// The addresses and tokens of the handshake.
    struct Configuration {
        /// The listening address: a vsock port of any context, or a unix socket.
        var port: LinkAddress
        /// The host's data port.
        var host: LinkAddress
        /// Sent to every peer.
        var phrase: [UInt8]
        /// Sent by a host that is ready.
        var ready = Array(RancherProfile.readyToken.utf8)
    }

    /// Limit on concurrent exchanges.
    static let maximumExchanges = 64
    /// Time limit for an exchange; the host waits as long for the stream.
    static let exchangeTimeout: Duration = .seconds(10)
    /// Time limit for the host's answer.
    static let hostPatience: Duration = .seconds(5)

    private let configuration: Configuration
    private let loop: EventLoop
    private let log: Logger
    private let connected: (consuming OwnedDescriptor) -> Void
    private var state = GuestHandshakeState.idle
    private var listener: StreamListener?
    /// Connections from hosts, in order of arrival.
    private var exchanges: [(number: UInt64, connection: HandshakeConnection)] = []
    private var lastExchange: UInt64 = 0
    private var exchangeWithHost: HandshakeConnection?
    /// Limits the warnings about an unreachable host to one per start.
    private var hasWarned = false

    /// Creates an end that does not listen yet.
    ///
    /// - Parameters:
    ///   - configuration: The addresses and tokens.
    ///   - loop: The loop of all sockets and timers.
    ///   - log: The role's logger.
    ///   - connected: Receives the stream: connected, close-on-exec, non-blocking, with no byte
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

    /// Starts listening; does nothing if it already listens.
    ///
    /// - Throws: `SystemError` with the address in it, such as EADDRINUSE.
    func start() throws(SystemError) {
        guard listener == nil else { return }
        listener = try LinkOpener.listen(at: configuration.port, loop: loop, log: log) {
            [weak self] stream, _ in self?.take(stream)
        }
        hasWarned = false
        log.info("waiting for the host", ["port": "\(configuration.port)"])
        handle(.started)
    }

    /// Stops listening and cancels all exchanges; a stream that was passed on stays open.
    func stop() {
        handle(.stopped)
    }

    // MARK: Connections from hosts

    private func take(_ stream: consuming OwnedDescriptor) {
        if exchanges.count == Self.maximumExchanges {
            exchanges.removeFirst().connection.cancel()
        }
        lastExchange += 1
        let number = lastExchange
        let exchange = GuestExchange(phrase: configuration.phrase, ready: configuration.ready)
        let socket = DialedSocket(descriptor: stream, isConnected: true)
        let connection = HandshakeConnection(socket, exchange, loop: loop) {
            [weak self] result, _ in self?.exchangeEnded(number, result)
        }
        exchanges.append((number, connection))
        connection.start(within: Self.exchangeTimeout)
    }

    private func exchangeEnded(_ number: UInt64, _ result: ExchangeResult) {
        exchanges.removeAll { $0.number == number }
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

    // MARK: The connection to the host

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
        let socket: DialedSocket
        do {
            socket = try LinkOpener.dial(configuration.host)
        } catch {
            return hostFailed(.unreachable(SystemError.message(error.errno)))
        }
        let connection = HandshakeConnection(socket, PlainExchange(), loop: loop) {
            [weak self] result, descriptor in
            switch result {
            case .agreed: self?.hostAnswered(descriptor)
            case .failed(let fault): self?.hostFailed(fault)
            }
        }
        exchangeWithHost = connection
        connection.start(within: Self.hostPatience)
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
        for exchange in exchanges { exchange.connection.cancel() }
        exchanges = []
        exchangeWithHost?.cancel()
        exchangeWithHost = nil
    }
}
