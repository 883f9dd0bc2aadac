/// Runs `network-setup`.
///
/// How it works: after a handshake with the host, this process connects to the host. It creates a
/// namespace with an init in it, or uses a systemd service's namespace. It connects the namespace
/// by a veth pair, and starts `vm-switch` there with the stream. This order is the original's, and
/// the product waits for the pid file of init. From then on this process monitors the result: when
/// the stream ends, it waits for another handshake and passes the next stream to `vm-switch`; when
/// `vm-switch` fails, it starts a new one in the same namespace. The session ends when init ends,
/// at a signal, or if `vm-switch` never stays up. In every case it removes all processes,
/// namespaces, interfaces and files that it created.
final class NetworkSetupSession {
    /// Time limit for the kernel to end killed processes.
    private static let clearance: Duration = .seconds(3)
    /// Time limit for `vm-switch` to end by itself.
    private static let courtesy: Duration = .seconds(2)
    /// Limit on starts of a `vm-switch` that has never stayed up.
    private static let maximumStarts = 5

    private let settings: NetworkSetupSettings
    private let log: Logger
    private let environment: [String]
    /// The path of `systemctl`; nil if systemd did not start this process.
    private let systemctl: String?
    private let loop: EventLoop
    private var signals: RoleSignals?
    private let start: RoleStart<NetworkSetupSettings>
    private var handshake: HandshakeProcess
    private var lookup: ServiceLookup?
    private var namespace: InnerNamespace?
    private var pidFile: PidFile?
    /// The pair that this process created; nil before that.
    private var veth: VethPair?
    private var vmSwitch: SwitchProcess?
    /// A stream that arrived before the namespace existed.
    private var waitingStream: OwnedDescriptor?
    private var backoff = Backoff(first: .milliseconds(100), maximum: .seconds(2))
    /// Set while the next handshake is delayed.
    private var pause: TimerWheel.Token?
    /// The number of `vm-switch` processes that have failed.
    private var deaths = 0
    private var outcome: Result<ExitCode, RoleFailure>?

    /// Creates a session and checks the prerequisites; creates nothing else yet.
    ///
    /// - Parameter start: Settings, logger, environment.
    /// - Throws: `RoleFailure` if the machine or the settings lack a prerequisite.
    init(_ start: RoleStart<NetworkSetupSettings>) throws(RoleFailure) {
        self.start = start
        settings = start.settings
        log = start.logger
        environment = ProcessEnvironment.all
        systemctl = try NetworkSetupRequirements(start).check()
        do throws(SystemError) {
            // First: the child must not hold what this process opens.
            handshake = try HandshakeProcess(start)
            loop = try EventLoop()
        } catch {
            throw RoleFailure(error)
        }
    }

    /// Runs until the session ends.
    ///
    /// - Returns: Success if `vm-switch` ended with it; failure after a signal.
    /// - Throws: `RoleFailure` if a part could not be created or has ended.
    func run() throws(RoleFailure) -> ExitCode {
        defer { clear() }
        do throws(SystemError) {
            signals = try RoleSignals(log: log, loop: loop, endsOnQuit: true) {
                [unowned self] signal in
                log.info("exiting on signal", ["signal": signal.name])
                end(.success(.failure))
            }
            try receiveStreams()
            if settings.sandbox.mode != .probe {
                if try settings.veth.remove() {
                    log.info("leftover veth pair deleted", ["veth": settings.veth.outer.name])
                }
                handshake.start()
            }
            while outcome == nil { try loop.turn() }
        } catch {
            end(.failure(RoleFailure(error)))
        }
        guard let outcome else { return .failure }
        return try outcome.get()
    }

    /// Sets how the session ends; only the first cause counts.
    private func end(_ outcome: Result<ExitCode, RoleFailure>) {
        if self.outcome == nil { self.outcome = outcome }
    }

    // MARK: The host

    private func receiveStreams() throws(SystemError) {
        let outcome = HandshakeProcess.Outcome(
            connected: { [unowned self] stream in take(stream) },
            failed: { [unowned self] cause in cannotListen(cause) },
            ended: { [unowned self] cause in handshakeEnded(cause) }
        )
        try handshake.report(to: loop, outcome)
    }

    private func cannotListen(_ cause: String) {
        // Before the namespace exists, nothing depends on this process, so it can fail.
        guard namespace != nil else { return end(.failure(RoleFailure(cause))) }
        log.error("cannot listen for handshakes", ["cause": cause])
        shakeHandsLater()
    }

    private func handshakeEnded(_ cause: ProcessEnd) {
        if settings.sandbox.mode == .probe {
            return end(.success(ExitCode(rawValue: cause.shellStatus)))
        }
        guard namespace != nil else {
            return end(.failure(RoleFailure("the handshake process has ended: \(cause)")))
        }
        // Init and its programs do not depend on it.
        log.error("the handshake process has ended; starting another", ["cause": "\(cause)"])
        loop.after(backoff.failed(now: loop.now)) { [unowned self] _ in restartHandshake() }
    }

    private func restartHandshake() {
        guard outcome == nil else { return }
        let wasListening = handshake.isListening
        do throws(SystemError) {
            handshake = try HandshakeProcess(start)
            try receiveStreams()
        } catch {
            return end(.failure(RoleFailure(error)))
        }
        if wasListening { shakeHandsLater() }
    }

    private func shakeHandsLater() {
        guard !handshake.isListening, pause == nil else { return }
        pause = loop.after(backoff.failed(now: loop.now)) { [unowned self] _ in
            pause = nil
            if outcome == nil { handshake.start() }
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
            // `vm-switch` is ending or broken; a new one will be started.
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
        pidFile = try PidFile(settings.pidFile, of: process)
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
        try giveUpPrivileges()
        if let stream = waitingStream.take() { try startSwitch(in: namespace, stream) }
    }

    /// Gives up what neither this process nor vm-switch uses; init has everything already.
    ///
    /// A system call filter or Landlock would stop vm-switch and its script, which inherit them.
    private func giveUpPrivileges() throws(SystemError) {
        guard settings.sandbox.mode != .off else { return }
        try Privileges.refuseNew()
        try Privileges.reduce(to: settings.keptCapabilities)
        // nsenter opens the namespace in /proc/PID/fd at any moment, which takes this capability
        // if the memory is hidden.
        if try Privileges.has(.sysPtrace) { try Privileges.hideMemory() }
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

    /// Restarts `vm-switch`; if that fails, init and the containers keep running, because the
    /// program file may be in the middle of an update.
    private func restartSwitch(in namespace: InnerNamespace, _ stream: consuming OwnedDescriptor) {
        do throws(SystemError) {
            try startSwitch(in: namespace, stream)
        } catch {
            log.error("cannot start vm-switch", ["cause": "\(error)"])
            shakeHandsLater()
        }
    }

    /// Removes a leftover interface of `vm-switch`, because the next one could not create its own.
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

    // MARK: Cleanup

    /// Removes everything that this process created, dependents first.
    private func clear() {
        handshake.ignore()
        lookup = nil
        waitingStream = nil
        clearProcesses()
        // Late, because killall(1) may find this child, too, and fails if it is gone by then.
        handshake.stop()
        attempt { () throws(SystemError) in try veth?.remove() }
        attempt { () throws(SystemError) in try pidFile?.remove() }
        namespace = nil
        wait(atMost: Self.courtesy) { handshake.hasEnded }
    }

    private func clearProcesses() {
        // Gently first: `vm-switch` may have to restore a resolver file.
        vmSwitch?.end()
        wait(atMost: Self.courtesy) { vmSwitch == nil }
        vmSwitch?.kill()
        let isClear = wait(atMost: Self.clearance) {
            let isEmpty = namespace?.clear() ?? true
            return isEmpty && vmSwitch == nil
        }
        if !isClear { log.error("processes in the namespace did not exit") }
    }

    /// Runs the loop until a condition is true.
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
