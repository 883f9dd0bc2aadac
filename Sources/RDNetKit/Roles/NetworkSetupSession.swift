/// `network-setup` at work.
///
/// How it works: the host shakes hands and is dialled; a namespace is made with an init in it (or a
/// systemd service's is taken); a veth pair leads there; `vm-switch` is started there with the
/// stream. That order is the original's, and the product waits for the file that names init. From
/// then on this process watches: when the stream ends, the host shakes hands again and `vm-switch`
/// is handed the next stream; when `vm-switch` dies, it is started anew, in the same namespace.
/// Init's end, a signal, or a `vm-switch` that never stays up end all of it. However it ends,
/// nothing is left: no process, no namespace, no interface, no file.
final class NetworkSetupSession {
    /// How long the kernel may take to end what was killed.
    private static let clearance: Duration = .seconds(3)
    /// How long `vm-switch` may take to end by itself.
    private static let courtesy: Duration = .seconds(2)
    /// How often a `vm-switch` that has never stayed up is started.
    private static let maximumStarts = 5

    private let settings: NetworkSetupSettings
    private let log: Logger
    private let environment: [String]
    /// The path of systemctl; nil when systemd did not start this process.
    private let systemctl: String?
    private let loop: EventLoop
    private var signals: RoleSignals?
    private var handshake: GuestHandshake?
    private var lookup: ServiceLookup?
    private var namespace: InnerNamespace?
    private var pidFile: PidFile?
    /// What this process has made, and no other.
    private var veth: VethPair?
    private var vmSwitch: SwitchProcess?
    /// The stream that came before there was a namespace.
    private var waitingStream: OwnedDescriptor?
    private var backoff = Backoff(first: .milliseconds(100), maximum: .seconds(2))
    /// Set while the next handshake is put off.
    private var pause: TimerWheel.Token?
    /// How many `vm-switch` have ended.
    private var deaths = 0
    private var outcome: Result<ExitCode, RoleFailure>?

    /// Prepares; nothing is made yet.
    ///
    /// - Parameter start: Settings, logger, environment.
    /// - Throws: `RoleFailure` for what is missing on this machine or in the settings.
    init(_ start: RoleStart<NetworkSetupSettings>) throws(RoleFailure) {
        settings = start.settings
        log = start.logger
        environment = ProcessEnvironment.all
        systemctl = try NetworkSetupRequirements(start).check()
        do throws(SystemError) {
            loop = try EventLoop()
        } catch {
            throw RoleFailure(error)
        }
    }

    /// Works until there is nothing to watch any more.
    ///
    /// - Returns: Success when `vm-switch` ended with it; failure after a signal.
    /// - Throws: `RoleFailure` when something could not be made, or has ended.
    func run() throws(RoleFailure) -> ExitCode {
        defer { clear() }
        do throws(SystemError) {
            signals = try RoleSignals(log: log, loop: loop, endsOnQuit: true) {
                [unowned self] signal in
                log.info("exiting on signal", ["signal": signal.name])
                end(.success(.failure))
            }
            if try settings.veth.remove() {
                log.info("leftover veth pair deleted", ["veth": settings.veth.outer.name])
            }
            makeHandshake()
            shakeHands()
            while outcome == nil { try loop.turn() }
        } catch {
            end(.failure(RoleFailure(error)))
        }
        guard let outcome else { return .failure }
        return try outcome.get()
    }

    /// Decides how all of it ends; only the first cause counts.
    private func end(_ outcome: Result<ExitCode, RoleFailure>) {
        if self.outcome == nil { self.outcome = outcome }
    }

    // MARK: The host

    private func makeHandshake() {
        handshake = GuestHandshake(
            GuestHandshake.Configuration(
                port: settings.effectiveHandshakeLink,
                host: settings.effectiveDataLink,
                phrase: settings.handshake.phrase
            ),
            loop: loop,
            log: log
        ) { [unowned self] stream in take(stream) }
    }

    private func shakeHands() {
        guard outcome == nil else { return }
        do throws(SystemError) {
            try handshake?.start()
        } catch {
            // The first time nothing depends on it yet.
            guard namespace != nil else { return end(.failure(RoleFailure(error))) }
            log.error("cannot listen for handshakes", ["cause": "\(error)"])
            shakeHandsLater()
        }
    }

    private func shakeHandsLater() {
        guard handshake?.isListening != true, pause == nil else { return }
        pause = loop.after(backoff.failed(now: loop.now)) { [unowned self] _ in
            pause = nil
            shakeHands()
        }
    }

    private func take(_ stream: consuming OwnedDescriptor) {
        do throws(SystemError) {
            if let vmSwitch {
                hand(stream, to: vmSwitch)
            } else if let namespace {
                restartSwitch(in: namespace, stream)
            } else {
                waitingStream = consume stream
                try prepareNamespace()
            }
        } catch {
            end(.failure(RoleFailure(error)))
        }
    }

    private func hand(_ stream: consuming OwnedDescriptor, to vmSwitch: SwitchProcess) {
        do throws(SystemError) {
            try vmSwitch.hand(stream)
            backoff.succeeded(now: loop.now)
            log.info("new stream passed to vm-switch")
        } catch {
            // It is ending, or broken: then a new one is started.
            log.warning("cannot pass the new stream to vm-switch", ["cause": "\(error)"])
            vmSwitch.kill()
        }
    }

    // MARK: The namespace

    private func prepareNamespace() throws(SystemError) {
        guard let systemctl else {
            let namespace = try InnerNamespace()
            self.namespace = namespace
            try startInit(in: namespace)
            return try connect(namespace)
        }
        lookup = try ServiceLookup(
            of: settings.namespaceService,
            by: systemctl,
            environment: environment,
            on: loop
        ) { [unowned self] answer in
            lookup = nil
            switch answer {
            case .success(let process): connect(toNamespaceOf: process)
            case .failure(let failure): end(.failure(RoleFailure(failure)))
            }
        }
    }

    private func connect(toNamespaceOf process: Int32) {
        guard outcome == nil else { return }
        do throws(SystemError) {
            let namespace = try InnerNamespace(of: process)
            self.namespace = namespace
            log.info(
                "using the network namespace of a service",
                ["service": settings.namespaceService, "process": "\(process)"]
            )
            try connect(namespace)
        } catch {
            end(.failure(RoleFailure(error)))
        }
    }

    private func startInit(in namespace: InnerNamespace) throws(SystemError) {
        let process = try namespace.startInit(
            settings.initProgram,
            environment: environment,
            on: loop
        ) { [unowned self] cause in
            end(.failure(RoleFailure("init (\(settings.initProgram)) has ended: \(cause)")))
        }
        let file = PidFile(path: settings.pidFile, process: process)
        pidFile = file
        try file.write()
        log.info("namespace created, init started", ["process": "\(process)"])
    }

    private func connect(_ namespace: InnerNamespace) throws(SystemError) {
        let veth = settings.veth
        try veth.make(to: namespace.network)
        self.veth = veth
        log.info(
            "veth pair created",
            [veth.outer.name: "\(veth.outer.address)", veth.inner.name: "\(veth.inner.address)"]
        )
        if let stream = waitingStream.take() { try startSwitch(in: namespace, stream) }
    }

    // MARK: vm-switch

    private func startSwitch(
        in namespace: InnerNamespace,
        _ stream: consuming OwnedDescriptor
    ) throws(SystemError) {
        try removeTAP(from: namespace)
        var command = ChildProcess.Command(path: settings.vmSwitchPath)
        command.arguments = settings.vmSwitchArguments
        command.environment = environment
        command.set(ResolverFile.processVariable, to: namespace.process.map { "\($0)" })
        let process = try SwitchProcess(
            command,
            in: namespace.network,
            stream: stream,
            on: loop,
            wantsStream: { [unowned self] in
                log.warning("stream to the host closed; waiting for a handshake")
                shakeHandsLater()
            },
            ended: { [unowned self] cause, now in switchEnded(cause, now: now) }
        )
        vmSwitch = process
        backoff.succeeded(now: loop.now)
        log.info("vm-switch started", ["process": process.process.map { "\($0)" } ?? ""])
    }

    /// Init and the containers live on when it cannot be started again: its file may be replaced
    /// right now.
    private func restartSwitch(in namespace: InnerNamespace, _ stream: consuming OwnedDescriptor) {
        do throws(SystemError) {
            try startSwitch(in: namespace, stream)
        } catch {
            log.error("cannot start vm-switch", ["cause": "\(error)"])
            shakeHandsLater()
        }
    }

    /// Removes the interface that a `vm-switch` left behind, because the next one could not create
    /// its own.
    private func removeTAP(from namespace: InnerNamespace) throws(SystemError) {
        if try namespace.removeTAP(settings.tapInterface) {
            log.info("leftover interface removed", ["interface": settings.tapInterface])
        }
    }

    private func switchEnded(_ cause: ProcessEnd, now: Instant) {
        vmSwitch = nil
        if let namespace { attempt { () throws(SystemError) in try removeTAP(from: namespace) } }
        guard outcome == nil else { return }
        if cause == .exited(0) {
            log.info("vm-switch exited")
            return end(.success(.success))
        }
        deaths += 1
        shakeHandsLater()
        guard backoff.hasSettled || deaths < Self.maximumStarts else {
            let sentence = "vm-switch (\(settings.vmSwitchPath)) keeps exiting: \(cause)"
            return end(.failure(RoleFailure(sentence)))
        }
        log.warning(
            "vm-switch exited; restarting it at the next handshake",
            ["cause": "\(cause)"]
        )
    }

    // MARK: The end

    /// Takes everything back, in the order in which it depends on each other.
    private func clear() {
        handshake?.stop()
        lookup = nil
        waitingStream = nil
        clearProcesses()
        attempt { () throws(SystemError) in try veth?.remove() }
        attempt { () throws(SystemError) in try pidFile?.remove() }
        namespace = nil
    }

    private func clearProcesses() {
        // By itself first: it may have a resolver file to restore.
        vmSwitch?.end()
        wait(atMost: Self.courtesy) { vmSwitch == nil }
        vmSwitch?.kill()
        let isClear = wait(atMost: Self.clearance) {
            let isEmpty = namespace?.clear() ?? true
            return isEmpty && vmSwitch == nil
        }
        if !isClear { log.error("processes in the namespace did not exit") }
    }

    /// Turns the loop until something is true.
    ///
    /// - Returns: Whether it became true in time.
    @discardableResult
    private func wait(atMost limit: Duration, until isDone: () -> Bool) -> Bool {
        let deadline = EventLoop.monotonicClock() + limit
        while !isDone() {
            guard EventLoop.monotonicClock() < deadline else { return false }
            do throws(SystemError) {
                try loop.turn(waitingAtMost: .milliseconds(10))
            } catch {
                log.error("\(error)")
                return false
            }
        }
        return true
    }

    private func attempt(_ step: () throws(SystemError) -> Void) {
        do throws(SystemError) {
            try step()
        } catch {
            log.error("\(error)")
        }
    }
}
