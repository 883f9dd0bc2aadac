/// Runs the host end: a network, its listening links, and the search for the virtual machine.
final class HostSwitch {
    private var settings: HostSwitchSettings
    private let log: Logger
    private let loop: EventLoop
    private let network: HostNetwork
    /// The socket on which a service manager waits for readiness; nil if none waits.
    private let notificationSocket: String?
    private let printOutput: (String) -> Void
    private var handshake: HostHandshake?
    /// The link to the virtual machine that the handshake found.
    private var tunnel: (any FrameLink)?
    private var failure: HandshakeFailure?

    /// Serves until a signal ends it or the handshake gives up.
    ///
    /// - Parameter start: Settings and logger.
    /// - Returns: Failure, as in the original: only a signal ends it regularly.
    /// - Throws: `RoleFailure` if it cannot start or continue.
    static func run(_ start: RoleStart<HostSwitchSettings>) throws(RoleFailure) -> ExitCode {
        ProcessLimits.raiseDescriptors()
        do {
            let host = try HostSwitch(start)
            defer { host.stop() }
            return try host.serve()
        } catch {
            throw RoleFailure(wrapping: error)
        }
    }

    private init(_ start: RoleStart<HostSwitchSettings>) throws(SystemError) {
        // Before the first log line, which tells others that signals are handled.
        SignalWatch.block(RoleSignals.always)
        settings = start.settings
        log = start.logger
        printOutput = start.surroundings.printOutput
        notificationSocket = start.surroundings.environment(ServiceNotification.variable)
        loop = try EventLoop()
        if settings.network.apiAddresses.isEmpty {
            settings.network.apiAddresses = OfferedSocket.addresses(
                for: "host-switch",
                settings.network.access,
                start.surroundings.environment,
                log
            )
        }
        network = HostNetwork(settings.effectiveNetwork, loop: loop, log: log)
    }

    private func serve() throws -> ExitCode {
        let sandbox = sandbox
        let broker = try sandbox.prepare()
        let signals = try watchSignals()
        try network.openState(for: sandbox.user)
        try network.open()
        for link in settings.links { try network.open(link) }
        if settings.common.isDebugging { network.reportTraffic() }
        if settings.looksForMachine { startHandshake() }
        try network.admitForwards(to: sandbox)
        // In the sandbox, the service manager's socket cannot be reached anymore.
        let manager = ServiceNotification.connect(to: notificationSocket, log: log)
        let refused = try sandbox.enter(with: broker, loop: loop)
        if sandbox.isProbe { return try SandboxProbe.run(on: loop, printOutput) }
        // All listeners are open, so a machine may connect.
        manager?.announce(log: log)
        try withExtendedLifetime((signals, refused)) { () throws(SystemError) in try loop.run() }
        if let failure { throw RoleFailure(failure) }
        return .failure
    }

    private var sandbox: Sandbox {
        var sandbox = Sandbox(
            settings.sandbox,
            settings.effectiveNetwork,
            logFile: settings.common.logFile,
            log: log
        )
        for link in settings.links { sandbox.listen(link) }
        for machine in settings.machines { sandbox.find(machine) }
        return sandbox
    }

    private func stop() {
        handshake?.stop()
        network.stop()
    }

    private func watchSignals() throws(SystemError) -> RoleSignals {
        try RoleSignals(
            log: log,
            loop: loop,
            toggled: { [unowned self] in network.toggleCapture() },
            reopened: { [unowned self] in network.policy.hangUp() },
            ended: { [unowned self] signal in
                log.info("exiting on signal", ["signal": signal.name])
                loop.stop()
            }
        )
    }

    // MARK: The virtual machine

    private func startHandshake() {
        let terms = settings.handshake
        let limit = settings.handshakeTimeout
        let handshake = HostHandshake(
            HostHandshake.Configuration(
                machines: settings.machines,
                phrase: terms.phrase,
                handshakePort: terms.handshakePort,
                dataPort: terms.dataPort,
                searchLimit: limit == 0 ? nil : .seconds(limit)
            ),
            loop: loop,
            log: log,
            limits: network.limits,
            counters: network.listenerCounters,
            connected: { [unowned self] stream, address in connect(stream, address) },
            failed: { [unowned self] failure in
                self.failure = failure
                loop.stop()
            }
        )
        network.linkEnded = { [unowned self] link, _ in
            guard link === tunnel else { return }
            tunnel = nil
            handshake.streamEnded()
        }
        self.handshake = handshake
        handshake.start()
    }

    private func connect(_ stream: consuming OwnedDescriptor, _ address: LinkAddress) {
        tunnel = network.attach(stream, named: "\(address)", LinkOpener.format(of: address))
        if tunnel == nil { handshake?.streamEnded() }
    }
}
