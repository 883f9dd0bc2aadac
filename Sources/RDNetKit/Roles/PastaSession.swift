/// Runs `pasta`: the engine in this process, and a child that makes the interface in the namespace.
///
/// The child is forked first. It passes everything that belongs to the namespace, then ends or
/// becomes the command. This process serves until the namespace ends.
final class PastaSession {
    private let settings: PastaSettings
    private let target: PastaTarget
    private let log: Logger
    private let loop: EventLoop
    private let network: HostNetwork
    private let forwards: PastaForwards
    private var tap: TAPLink?
    private var child: ChildProcess?
    private var status: ExitCode?
    private var failure: RoleFailure?

    /// Serves until the namespace, the command or a signal ends it.
    ///
    /// - Parameter start: Settings, logger and operands.
    /// - Returns: The command's status, or success.
    /// - Throws: `RoleFailure` if it cannot start or continue.
    static func run(_ start: RoleStart<PastaSettings>) throws(RoleFailure) -> ExitCode {
        let settings = start.settings
        let shell = start.surroundings.environment("SHELL") ?? "/bin/sh"
        let target = try PastaTarget(settings, start.operands, shell: shell)
        do {
            let plan = try PastaNetwork(
                settings,
                PastaNetwork.Uplinks(settings),
                hasIPv6: Socket.hasIPv6
            )
            var background: BackgroundProcess?
            let isProbe = settings.sandbox.mode == .probe
            if target.command.isEmpty, !settings.staysInForeground, !isProbe {
                background = try BackgroundProcess()
            }
            SignalWatch.block(target.command.isEmpty ? RoleSignals.always : ProcessSignal.allCases)
            let forwards = PastaForwards(settings, to: plan.guest, log: start.logger)
            let namespace = target.namespace(plan, settings, forwards, start.surroundings)
            let envoy = try NamespaceEnvoy(for: namespace.interface.name) { socket in
                try namespace.serve(socket, printError: start.surroundings.printError)
            }
            let session = try PastaSession(start, target, plan, forwards)
            defer { session.stop() }
            return try session.serve(start, envoy, background)
        } catch {
            throw RoleFailure(wrapping: error)
        }
    }

    private init(
        _ start: RoleStart<PastaSettings>,
        _ target: PastaTarget,
        _ plan: PastaNetwork,
        _ forwards: PastaForwards
    ) throws(SystemError) {
        settings = start.settings
        self.target = target
        self.forwards = forwards
        log = start.logger
        ProcessLimits.raiseDescriptors()
        loop = try EventLoop()
        network = HostNetwork(plan.network, loop: loop, log: log)
        network.linkEnded = { [unowned self] link, reason in
            guard link === tap, status == nil else { return }
            failure = RoleFailure("the interface is gone: \(reason)")
            end(.failure)
        }
    }

    private func stop() {
        forwards.close()
        network.stop()
    }

    private func end(_ status: ExitCode) {
        if self.status == nil { self.status = status }
    }

    private func serve(
        _ start: RoleStart<PastaSettings>,
        _ envoy: consuming NamespaceEnvoy,
        _ background: consuming BackgroundProcess?
    ) throws -> ExitCode {
        var sandbox = Sandbox(
            settings.sandbox,
            network.settings,
            logFile: settings.common.logFile,
            log: log
        )
        sandbox.maySignal = !target.command.isEmpty
        sandbox.write(in: settings.pidFile)
        let broker = try sandbox.prepare()
        try network.open()
        try receive(from: envoy)
        let watches = try (watchSignals(), watchNamespace())
        let pidFile = try writePIDFile()
        let refused = try sandbox.enter(with: broker, loop: loop)
        if sandbox.isProbe {
            child?.terminate()
            return try SandboxProbe.run(on: loop, start.surroundings.printOutput)
        }
        if !target.command.isEmpty { try envoy.proceed() }
        switch consume background {
        case .some(let background): background.detach()
        case .none: break
        }
        while status == nil { try loop.turn() }
        withExtendedLifetime((watches, refused)) {}
        remove(pidFile)
        if let failure { throw failure }
        return status ?? .failure
    }

    // MARK: The namespace

    /// Takes what the child has made, attaches the interface to the engine, and opens the ports.
    private func receive(from envoy: borrowing NamespaceEnvoy) throws {
        var hasEnded = false
        child = try ChildProcess(adopting: envoy.process, on: loop) { [unowned self] how, _ in
            hasEnded = true
            if !target.command.isEmpty { end(ExitCode(rawValue: how.shellStatus)) }
        }
        let link = TAPLink(try TAPDevice(adopting: envoy.receive()), named: "tap", loop: loop)
        guard let receiver = network.attach(link) else { return }
        tap = link
        try link.start(for: receiver)
        let sockets = try sockets(beside: envoy.process)
        try forwards.receive(from: envoy, network, sockets)
        // The command, or the caller, may use the ports at once.
        while sockets.map({ !$0.isIdle }) ?? false { try loop.turn() }
        guard target.command.isEmpty else { return }
        // The sandbox permits no waiting for children.
        while !hasEnded { try loop.turn() }
        child = nil
    }

    /// Starts a child that makes sockets in the namespace.
    ///
    /// - Parameter process: The child that has entered the namespace, and still runs if it became
    ///   the command.
    /// - Returns: The parent's end; nil if no forward needs it.
    /// - Throws: `NamespaceEnvoyError`, or `SystemError`.
    private func sockets(beside process: Int32) throws -> NamespaceSockets? {
        guard forwards.needsSockets else { return nil }
        let made = ("/proc/\(process)/ns/user", "/proc/\(process)/ns/net")
        let (user, path) = target.existing ?? made
        let server = NamespaceSocketServer(
            userNamespace: user,
            network: path,
            listens: forwards.listensLater,
            isRestricted: settings.sandbox.mode != .off
        )
        let envoy = try NamespaceEnvoy(for: "sockets of the namespace") { try server.serve($0) }
        return try NamespaceSockets(envoy.receive(), loop: loop)
    }

    private func watchNamespace() throws -> AnyObject? {
        if let process = target.process {
            guard let peer = PeerProcess(running: process) else {
                throw RoleFailure("process \(process): it has ended")
            }
            try peer.watchEnd(on: loop) { [unowned self] in namespaceEnded() }
            return peer
        }
        guard let file = target.file, let slash = file.lastIndex(of: "/") else { return nil }
        let identity = FileIdentity(at: file)
        return try DirectoryWatch(String(file[...slash]), loop: loop) { [unowned self] in
            if FileIdentity(at: file) != identity { namespaceEnded() }
        }
    }

    private func namespaceEnded() {
        log.info("exiting, as the namespace has ended")
        end(.success)
    }

    // MARK: Signals

    private func watchSignals() throws(SystemError) -> AnyObject {
        guard target.command.isEmpty else {
            return try SignalWatch(ProcessSignal.allCases, loop: loop) {
                [unowned self] signal, origin in
                // The terminal's keys signal the command's whole process group.
                guard origin != .kernel || signal == .hangUp else { return }
                child?.send(signal: signal.number)
            }
        }
        return try RoleSignals(
            log: log,
            loop: loop,
            toggled: { [unowned self] in network.toggleCapture() },
            ended: { [unowned self] _ in end(.success) }
        )
    }

    // MARK: The file with the process ID

    private func writePIDFile() throws(RoleFailure) -> PidFile? {
        guard !settings.pidFile.isEmpty else { return nil }
        do {
            return try PidFile(settings.pidFile, of: ProcessEnvironment.process)
        } catch {
            throw RoleFailure("pid \(settings.pidFile): \(error)")
        }
    }

    private func remove(_ file: PidFile?) {
        do {
            try file?.remove()
        } catch {
            log.warning("cannot remove the pid file", ["cause": "\(error)"])
        }
    }
}

extension PastaNetwork.Uplinks {
    /// Finds the interfaces of the families that the namespace may have.
    fileprivate init(_ settings: PastaSettings) throws(SystemError) {
        let template = settings.template.isEmpty ? nil : settings.template
        if !settings.isIPv6Only { ipv4 = try HostUplink(.ipv4, template) }
        if !settings.isIPv4Only { ipv6 = try HostUplink(.ipv6, template) }
    }
}

extension PastaTarget {
    /// What the child makes in the namespace.
    fileprivate func namespace(
        _ plan: PastaNetwork,
        _ settings: PastaSettings,
        _ forwards: PastaForwards,
        _ surroundings: ProcessSurroundings
    ) -> PastaNamespace {
        PastaNamespace(
            existing: existing,
            interface: NamespaceInterface(
                name: plan.interface,
                mac: plan.network.guestMAC,
                configuration: settings.configuresInterface
                    ? NamespaceInterface.Configuration(
                        ipv4: plan.ipv4,
                        ipv6: plan.ipv6,
                        mtu: settings.mtu
                    ) : nil
            ),
            listeners: forwards.listeners,
            hasSocketTables: forwards.isAutomatic,
            command: command,
            environment: ProcessEnvironment.all,
            searchPath: surroundings.environment("PATH")
        )
    }
}
