/// The host's end of the handshake: finds the virtual machine, sends it READY, accepts its stream.
///
/// How it works: `HostHandshakeState` makes the decisions, and this type makes the connections. A
/// round connects to all machines at once, each with its own deadline; a slow exchange continues
/// while the next round connects to the same machine again. The listener for the stream exists only
/// between READY and the stream, and accepts only the announced machine. This type does not know
/// the content of the stream; the stream's owner reports its end.
final class HostHandshake: TimerObserver {
    /// The machines to search for, and the tokens and ports of the handshake.
    struct Configuration {
        /// Empty for the contexts that the kernel's vsock reaches.
        var machines: [VMAddress]
        /// The phrase that the machine sends.
        var phrase: [UInt8]
        /// The token that the machine receives.
        var ready = Array(RancherProfile.readyToken.utf8)
        /// The machine's port.
        var handshakePort: UInt32
        /// This end's port.
        var dataPort: UInt32
        /// Time limit for the search; nil for no limit.
        var searchLimit: Duration?
    }

    /// Time limit for one exchange, as in Rancher Desktop 2.
    static let patience: Duration = .seconds(5)

    private struct Exchange {
        let machine: VirtualMachine
        let connection: HandshakeConnection
    }

    private let configuration: Configuration
    private let loop: EventLoop
    private let log: Logger
    private let limits: LimitLog
    private let counters: ListenerCounters
    private let connected: (consuming OwnedDescriptor, LinkAddress) -> Void
    private let failed: (HandshakeFailure) -> Void
    private var state: HostHandshakeState
    private var directory: VMDirectory
    private var deadline: TimerWheel.Token?
    private var exchanges: [UInt64: Exchange] = [:]
    private var lastExchange: UInt64 = 0
    private var announcement: HandshakeConnection?
    private var listener: StreamListener?
    /// The machine whose stream is expected, and the listening address.
    private var expected: (machine: VirtualMachine, address: LinkAddress)?
    /// The fault of each machine's last exchange, so that only changes are logged.
    private var faults: [VirtualMachine: ExchangeFault] = [:]

    /// Creates an end that does not connect yet.
    ///
    /// - Parameters:
    ///   - configuration: The machines, tokens and ports.
    ///   - loop: The loop of all sockets and timers.
    ///   - log: The role's logger.
    ///   - limits: Counts streams that find no free descriptor.
    ///   - counters: Counts streams.
    ///   - connected: Receives the stream and the address that accepted it; when the stream has
    ///     ended, the receiver calls `streamEnded`.
    ///   - failed: Called when the search ends for good.
    init(
        _ configuration: Configuration,
        loop: EventLoop,
        log: Logger,
        limits: LimitLog = .discarding(),
        counters: ListenerCounters = ListenerCounters(),
        connected: @escaping (consuming OwnedDescriptor, LinkAddress) -> Void,
        failed: @escaping (HandshakeFailure) -> Void
    ) {
        self.configuration = configuration
        self.loop = loop
        self.log = log
        self.limits = limits
        self.counters = counters
        self.connected = connected
        self.failed = failed
        state = HostHandshakeState(searchLimit: configuration.searchLimit)
        directory = VMDirectory(configuration.machines, log: log)
    }

    /// Starts the search.
    func start() {
        log.info(
            "waiting for the virtual machine",
            ["machines": directory.description, "port": "\(configuration.handshakePort)"]
        )
        handle(.started)
    }

    /// Restarts the search after the stream has ended.
    func streamEnded() {
        handle(.streamEnded)
    }

    /// Cancels all exchanges; a stream that was passed on stays open.
    func stop() {
        handle(.stopped)
    }

    func timerFired(now: Instant) {
        deadline = nil
        handle(.deadlinePassed)
    }

    private func handle(_ event: HostHandshakeEvent, _ stream: consuming OwnedDescriptor? = nil) {
        for action in state.next(event, now: loop.now) {
            switch action {
            case .ask(let one): ask(except: one)
            case .endRound: endRound()
            case .announce(let machine): announce(to: machine)
            case .refuseStream: log.debug("unexpected stream refused")
            case .closeDataPort: closeDataPort()
            case .serve: if let stream = stream.take() { serve(stream) }
            case .report(let cause):
                log.warning("handshake failed", ["cause": cause])
            case .giveUp(let failure): failed(failure)
            }
        }
        if let deadline { loop.cancel(deadline) }
        deadline = state.nextDeadline.map { loop.schedule($0, observer: self) }
    }

    // MARK: Search

    private func ask(except leftOut: VirtualMachine?) {
        let machines = directory.machines()
        let present = Set(machines)
        faults = faults.filter { present.contains($0.key) }
        for machine in machines where machine != leftOut || machines.count == 1 {
            // A machine may have answered immediately.
            guard case .searching = state.phase else { return }
            ask(machine)
        }
    }

    private func ask(_ machine: VirtualMachine) {
        lastExchange += 1
        let number = lastExchange
        do throws(SystemError) {
            let connection = try connect(to: machine, saying: []) { [weak self] result in
                guard let self, let exchange = exchanges.removeValue(forKey: number) else { return }
                switch result {
                case .agreed: handle(.found(exchange.machine))
                case .failed(let fault): note(fault, of: exchange.machine)
                }
            }
            exchanges[number] = Exchange(machine: machine, connection: connection)
            connection.start(within: Self.patience)
        } catch {
            note(.unreachable(SystemError.message(error.errno)), of: machine)
        }
    }

    private func endRound() {
        for exchange in exchanges.values { exchange.connection.cancel() }
        exchanges = [:]
    }

    private func connect(
        to machine: VirtualMachine,
        saying words: [UInt8],
        ended: @escaping (ExchangeResult) -> Void
    ) throws(SystemError) -> HandshakeConnection {
        let port = configuration.handshakePort
        let socket = try LinkOpener.dial(machine.handshakeAddress(port: port))
        let exchange = HostExchange(
            hearing: configuration.phrase,
            saying: words,
            asking: machine.askedPort(port)
        )
        return HandshakeConnection(socket, exchange, loop: loop) { result, _ in ended(result) }
    }

    private func note(_ fault: ExchangeFault, of machine: VirtualMachine) {
        guard faults.updateValue(fault, forKey: machine) != fault else { return }
        let level: LogLevel =
            switch fault {
            case .unreachable: .debug
            case .cutShort, .silent, .unlike: .warning
            }
        log.log(
            level,
            "handshake with a machine failed",
            ["vm": "\(machine)", "cause": "\(fault)"]
        )
    }

    // MARK: READY and the stream

    private func announce(to machine: VirtualMachine) {
        faults = [:]
        let address = machine.dataAddress(port: configuration.dataPort)
        log.info("found the virtual machine", ["vm": "\(machine)", "stream": "\(address)"])
        expected = (machine, address)
        do throws(SystemError) {
            listener = try LinkOpener.listen(
                at: address,
                loop: loop,
                log: log,
                limits: limits,
                counters: counters
            ) { [weak self] stream, _ in self?.take(stream) }
            let connection = try connect(to: machine, saying: configuration.ready) {
                [weak self] result in
                switch result {
                case .agreed: self?.handle(.announced)
                case .failed(let fault): self?.handle(.announcementFailed("\(machine): \(fault)"))
                }
            }
            announcement = connection
            connection.start(within: Self.patience)
        } catch {
            handle(.announcementFailed("\(error)"))
        }
    }

    private func take(_ stream: consuming OwnedDescriptor) {
        if case .context(let context)? = expected?.machine,
            let caller = Socket.peerContext(stream), caller != context
        {
            return log.debug("stream from another VM refused", ["vm": "vsock://\(caller)"])
        }
        handle(.streamCame, stream)
    }

    private func serve(_ stream: consuming OwnedDescriptor) {
        guard let address = expected?.address else { return }
        connected(stream, address)
    }

    private func closeDataPort() {
        listener?.close()
        listener = nil
        announcement?.cancel()
        announcement = nil
    }
}
