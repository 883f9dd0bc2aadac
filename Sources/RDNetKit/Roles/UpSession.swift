/// `up` at work: the host end here, a child in a fresh namespace, its TAP handed over.
///
/// The child comes first, by fork: it makes namespaces and TAP and sends the descriptor. Then this process makes the
/// engine, attaches the TAP, tells the child to go on, and serves until the child has ended.
final class UpSession: ReadinessObserver {
    /// Behind the published port of a report; any would do, as the namespace is empty.
    private static let reportPort: UInt16 = 7070

    /// How long a command may take to end when it is told to.
    private static let patience: Duration = .seconds(3)

    private let settings: NetworkSettings
    private let log: Logger
    private let isReport: Bool
    private let printOutput: (String) -> Void
    private let loop: EventLoop
    private let network: HostNetwork
    private let control: OwnedDescriptor
    private var watch: EventLoop.Watch?
    private var child: ChildProcess?
    private var echo: EchoServers?
    private var signals: SignalWatch?
    private var status: ExitCode?

    /// Runs a command, a shell, or the report.
    ///
    /// - Parameter start: Settings, logger and the command.
    /// - Returns: The command's status, or whether the report is good.
    /// - Throws: `RoleFailure` when it cannot begin.
    static func run(_ start: RoleStart<UpSettings>) throws(RoleFailure) -> ExitCode {
        let command = command(of: start)
        let control: OwnedDescriptor
        let process: Int32
        do throws(SystemError) {
            let pair = try Socket.pair()
            let (parent, child) = (pair.one.number, pair.other.number)
            process = try Namespace.fork {
                // The number is this process's alone now, as is the other one: the parent closes its copy.
                guest(start, command, OwnedDescriptor(adopting: child), closing: parent)
            }
            control = pair.one
        } catch {
            throw RoleFailure(error)
        }
        return try serve(start, command, control, process)
    }

    /// The words after the options; without any a shell for a person, nothing for a script.
    private static func command(of start: RoleStart<UpSettings>) -> [String] {
        guard start.operands.isEmpty, Terminal.isPresent else { return start.operands }
        return [start.surroundings.environment("SHELL") ?? "/bin/sh"]
    }

    private static func guest(
        _ start: RoleStart<UpSettings>,
        _ command: [String],
        _ socket: consuming OwnedDescriptor,
        closing parent: Int32
    ) -> Int32 {
        // So that the parent's end is seen here: the parent holds the only other one.
        _ = OwnedDescriptor(adopting: parent)
        let network = start.settings.network
        let settings = NamespaceGuest.Settings(
            mac: network.guestMAC,
            mtu: network.mtu,
            hostAlias: network.hostAlias,
            command: command,
            environment: ProcessEnvironment.all,
            searchPath: start.surroundings.environment("PATH")
        )
        return NamespaceGuest.run(
            settings,
            parent: socket,
            log: start.logger,
            print: start.surroundings.printOutput,
            printError: start.surroundings.printError
        )
    }

    private static func serve(
        _ start: RoleStart<UpSettings>,
        _ command: [String],
        _ control: consuming OwnedDescriptor,
        _ process: Int32
    ) throws(RoleFailure) -> ExitCode {
        do {
            let session = try UpSession(start, isReport: command.isEmpty, control)
            defer { session.network.stop() }
            try session.network.open()
            return try session.serve(process)
        } catch let failure as RoleFailure {
            throw failure
        } catch {
            throw RoleFailure("\(error)")
        }
    }

    private init(
        _ start: RoleStart<UpSettings>,
        isReport: Bool,
        _ control: consuming OwnedDescriptor
    ) throws {
        settings = start.settings.network
        log = start.logger
        self.isReport = isReport
        printOutput = start.surroundings.printOutput
        self.control = control
        ProcessLimits.raiseDescriptors()
        loop = try EventLoop()
        network = HostNetwork(settings, loop: loop, log: start.logger)
        if isReport { echo = try EchoServers(loop: loop) }
        if start.operands.isEmpty { introduce() }
    }

    private func serve(_ process: Int32) throws(SystemError) -> ExitCode {
        child = try ChildProcess(adopting: process, on: loop) { [unowned self] end, _ in
            switch end {
            case .exited(let code): status = ExitCode(rawValue: code)
            case .killed(let signal): status = ExitCode(rawValue: 128 + signal)
            }
        }
        signals = try SignalWatch([.terminate, .hangUp, .interrupt, .quit, .user1], loop: loop) {
            [unowned self] signal in
            switch signal {
            case .user1: network.toggleCapture()
            // The terminal's keys are for the command; when it ends, so does this.
            case .interrupt, .quit: break
            case .terminate, .hangUp: end(signal)
            case .user2, .resume, .windowChange: break
            }
        }
        watch = try loop.watch(control.number, for: .readable, observer: self)
        while status == nil { try loop.turn() }
        echo?.close()
        return status ?? .failure
    }

    /// Passes a signal on to the command, and insists when that does not end it.
    private func end(_ signal: ProcessSignal) {
        child?.send(signal: signal.number)
        loop.after(Self.patience) { [weak self] _ in self?.child?.terminate() }
    }

    /// What was made, and how to use it.
    private func introduce() {
        let published = settings.effectivePortForwards.map { "\($0)" }.joined(separator: ", ")
        printOutput(
            """
            a fresh namespace whose only network is this process
              guest    \(settings.guest), gateway, DNS and API \(settings.gateway), MTU \(settings.mtu)
              host     \(settings.hostAlias) is this machine's 127.0.0.1
              publish  \(published.isEmpty ? "nothing" : published) (--port-forward 127.0.0.1:8080=\(settings.guest):80)
              run      rdnet up -- COMMAND; without one a shell, without a terminal this report

            """
        )
    }

    // MARK: The TAP

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if let watch { loop.forget(watch) }
        watch = nil
        do {
            // Nothing comes when the child failed: its exit status says so.
            guard let descriptor = try DescriptorPassing.receive(over: control) else { return }
            try attach(TAPDevice(adopting: descriptor))
        } catch {
            log.error("no interface", ["cause": "\(error)"])
            child?.terminate()
        }
    }

    private func attach(_ device: consuming TAPDevice) throws {
        let link = TAPLink(device, named: "tap", loop: loop)
        guard network.attach(link) else { return }
        try link.start(for: network.engine)
        let line = try targets()?.line ?? "\n"
        _ = try Socket.send(control, Array(line.utf8))
    }

    private func targets() throws(ForwardError) -> ConnectivityTargets? {
        guard let echo else { return nil }
        let local = "127.0.0.1:0"
        let guest = Endpoint(address: settings.guest, port: Self.reportPort)
        try network.forwards.expose("tcp", local: local, remote: "\(guest)", client: nil)
        return ConnectivityTargets(
            tcpEcho: echo.streamPort,
            udpEcho: echo.datagramPort,
            published: network.forwards.endpoint(of: local, .tcp)?.port ?? 0,
            guestPort: Self.reportPort
        )
    }
}
