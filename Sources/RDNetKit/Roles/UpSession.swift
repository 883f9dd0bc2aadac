/// Runs `up`: the host end in this process, and a child in a new namespace that passes its TAP
/// here.
///
/// The child is forked first: it creates the namespaces and the TAP, and sends the descriptor. Then
/// this process attaches the TAP to the engine, notifies the child, and serves until the child has
/// ended.
final class UpSession: ReadinessObserver {
    /// The guest port of the report's published port; any port works, because the namespace is
    /// empty.
    private static let reportPort: UInt16 = 7070
    /// Limit on the reply bytes that the kernel queues for a client of a UDP server on the
    /// namespace's 127.0.0.1.
    private static let replyOctets: Int32 = 1 << 20

    private let settings: NetworkSettings
    private let log: Logger
    private let isReport: Bool
    private let printOutput: (String) -> Void
    private let loop: EventLoop
    private let network: HostNetwork
    private let control: OwnedDescriptor
    private var watch: EventLoop.Watch?
    /// The link to the namespace's interface.
    private var tap: TAPLink?
    /// The delays between a deleted interface and its successor.
    private var recreation = Backoff(first: .milliseconds(100), maximum: .seconds(30))
    private var hasStarted = false
    private var child: ChildProcess?
    private var echo: EchoServers?
    private var signals: SignalWatch?
    private var loopback: NamespaceConnector?
    private var processes: ProcessFinder?
    private var status: ExitCode?

    /// Runs a command, a shell, or the report.
    ///
    /// - Parameter start: Settings, logger and the command.
    /// - Returns: The command's status, or whether all checks of the report succeeded.
    /// - Throws: `RoleFailure` if it cannot start.
    static func run(_ start: RoleStart<UpSettings>) throws(RoleFailure) -> ExitCode {
        var settings = start.settings
        SubnetChoice.settle(&settings.network, start.logger)
        let command = command(of: start)
        guard command.isEmpty || !settings.wantsReport else {
            throw RoleFailure("--report and --json need no command", status: .misuse)
        }
        guard !command.isEmpty || !settings.network.blocksHostLoopback else {
            throw RoleFailure(
                "--no-host-loopback needs a command: the report connects to the host's 127.0.0.1",
                status: .misuse
            )
        }
        guard !command.isEmpty || !settings.network.policy.isOn else {
            throw RoleFailure(
                "--policy, --allow and --deny need a command: the report connects to the host",
                status: .misuse
            )
        }
        if !command.isEmpty { offerSocket(&settings.network, start) }
        let control: OwnedDescriptor
        let sockets: OwnedDescriptor
        let processes: OwnedDescriptor
        let process: Int32
        do throws(SystemError) {
            let streams = try Socket.pair()
            let packets = try Socket.pair(ofPackets: true)
            let questions = try Socket.pair(ofPackets: true)
            let parents = [streams.one.number, packets.one.number, questions.one.number]
            let children = [streams.other.number, packets.other.number, questions.other.number]
            process = try Namespace.fork {
                // The child owns these descriptors now: the parent closes its copies.
                guest(start, settings, command, children, closing: parents)
            }
            control = streams.one
            sockets = packets.one
            processes = questions.one
        } catch {
            throw RoleFailure(error)
        }
        return try serve(start, settings.network, command, control, sockets, processes, process)
    }

    /// Offers an API socket, unless the command could lift its own restrictions there.
    private static func offerSocket(
        _ network: inout NetworkSettings,
        _ start: RoleStart<UpSettings>
    ) {
        guard network.apiAddresses.isEmpty, network.trustsLocalCommands else { return }
        network.apiAddresses = OfferedSocket.addresses(
            for: "up",
            network.access,
            start.surroundings.environment,
            start.logger
        )
    }

    /// The words after the options; by default, a shell on a terminal and nothing for a script.
    private static func command(of start: RoleStart<UpSettings>) -> [String] {
        guard start.operands.isEmpty, !start.settings.wantsReport, Terminal.isPresent else {
            return start.operands
        }
        return [start.surroundings.environment("SHELL") ?? "/bin/sh"]
    }

    private static func guest(
        _ start: RoleStart<UpSettings>,
        _ chosen: UpSettings,
        _ command: [String],
        _ descriptors: [Int32],
        closing parents: [Int32]
    ) -> Int32 {
        // Close the child's copies, so that it detects when the parent closes its ends.
        for number in parents { _ = OwnedDescriptor(adopting: number) }
        // The command must not write its own record.
        if case .descriptor(let number) = chosen.network.policy.audit {
            _ = OwnedDescriptor.claimInherited(number)
        }
        let network = chosen.network
        let settings = NamespaceGuest.Settings(
            mac: network.guestMAC,
            mtu: network.mtu,
            hostAlias: network.hostAlias,
            keepsUser: chosen.keepsUser,
            isRestricted: chosen.sandbox.mode != .off,
            findsProcesses: network.policy.isOn,
            logFile: start.settings.common.logFile,
            command: command,
            reportStyle: chosen.printsJSON
                ? .json : .table(isColored: StandardStream.output.isColored),
            environment: ProcessEnvironment.all,
            searchPath: start.surroundings.environment("PATH"),
            relayNames: { loop, server throws(SystemError) in
                try NameRelay(to: server, loop: loop, log: start.logger)
            }
        )
        return NamespaceGuest.run(
            settings,
            parent: OwnedDescriptor(adopting: descriptors[0]),
            sockets: OwnedDescriptor(adopting: descriptors[1]),
            processes: OwnedDescriptor(adopting: descriptors[2]),
            log: start.logger,
            print: start.surroundings.printOutput,
            printError: start.surroundings.printError
        )
    }

    private static func serve(
        _ start: RoleStart<UpSettings>,
        _ network: NetworkSettings,
        _ command: [String],
        _ control: consuming OwnedDescriptor,
        _ sockets: consuming OwnedDescriptor,
        _ processes: consuming OwnedDescriptor,
        _ process: Int32
    ) throws(RoleFailure) -> ExitCode {
        do {
            var sandbox = Sandbox(
                start.settings.sandbox,
                network,
                logFile: start.settings.common.logFile,
                log: start.logger
            )
            sandbox.maySignal = true
            let broker = try sandbox.prepare()
            let session = try UpSession(start, network, isReport: command.isEmpty, control)
            defer { session.stop() }
            let relays = try session.connectLoopback(by: sockets)
            try session.findProcesses(by: processes)
            try session.network.open()
            session.network.addressLoss?.relays = relays
            session.network.restrictForwards(to: sandbox)
            return try session.serve(process, sandbox, broker)
        } catch {
            throw RoleFailure(wrapping: error)
        }
    }

    private init(
        _ start: RoleStart<UpSettings>,
        _ settings: NetworkSettings,
        isReport: Bool,
        _ control: consuming OwnedDescriptor
    ) throws {
        self.settings = settings
        log = start.logger
        self.isReport = isReport
        printOutput = start.surroundings.printOutput
        self.control = control
        ProcessLimits.raiseDescriptors()
        loop = try EventLoop()
        network = HostNetwork(settings, loop: loop, log: start.logger)
        if isReport { echo = try EchoServers(loop: loop) }
        // A program that reads the document expects nothing else.
        if start.operands.isEmpty, !start.settings.printsJSON { introduce() }
    }

    /// Connects forwards to the namespace's own 127.0.0.1.
    ///
    /// - Returns: The connector, which the namespace's connections use.
    private func connectLoopback(
        by sockets: consuming OwnedDescriptor
    ) throws(SystemError) -> RelayConnector {
        let relay = RelayConnector(
            loop: loop,
            log: log,
            counters: network.forwards.counters,
            // The other half is reserved for the engine's flows and the listeners.
            descriptors: ProcessLimits.descriptors / 2,
            limits: network.limits,
            replyOctets: Self.replyOctets
        )
        let maker = try NamespaceSockets(sockets, loop: loop)
        let connector = NamespaceConnector(maker, relay: relay)
        loopback = connector
        network.forwards.loopbackConnector = connector
        return relay
    }

    /// Looks for the process behind each question of the policy.
    private func findProcesses(by child: consuming OwnedDescriptor) throws(SystemError) {
        guard let questions = network.policy.current?.questions else { return }
        let finder = try ProcessFinder(child, loop: loop)
        processes = finder
        network.processes = FlowProcesses(finder)
        questions.asked = { question in
            guard let remote = question.record.remote else { return }
            finder.find(connectingTo: remote) { [weak questions] process in
                if let process { questions?.name(process, of: question.number) }
            }
        }
    }

    private func stop() {
        loopback?.close()
        processes?.close()
        network.stop()
    }

    private func serve(
        _ process: Int32,
        _ sandbox: Sandbox,
        _ broker: FileBroker?
    ) throws -> ExitCode {
        child = try ChildProcess(adopting: process, on: loop) { [unowned self] end, _ in
            status = ExitCode(rawValue: end.shellStatus)
        }
        signals = try SignalWatch(ProcessSignal.allCases, loop: loop) {
            [unowned self] signal, origin in receive(signal, from: origin)
        }
        network.linkEnded = { [unowned self] link, reason in
            if link === tap { tapEnded(reason) }
        }
        watch = try loop.watch(control.number, for: .readable, observer: self)
        let refused = try sandbox.enter(with: broker, loop: loop)
        if sandbox.isProbe {
            child?.terminate()
            return try SandboxProbe.run(on: loop, printOutput)
        }
        while status == nil { try loop.turn() }
        withExtendedLifetime(refused) {}
        echo?.close()
        return status ?? .failure
    }

    /// Forwards a signal to the command if the command has not received it itself.
    private func receive(_ signal: ProcessSignal, from origin: SignalOrigin) {
        // The terminal's keys signal the command's whole process group, but a hang-up signals only
        // the session leader.
        guard origin != .kernel || signal == .hangUp else { return }
        if signal == .user1, !settings.captureFile.isEmpty { return network.toggleCapture() }
        child?.send(signal: signal.number)
    }

    /// Prints the network's addresses and how to use it.
    private func introduce() {
        let published = settings.effectivePortForwards.map { "\($0)" }.joined(separator: ", ")
        printOutput(
            """
            a fresh namespace whose only network is rdnet
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
            // Without a descriptor the child has failed, and its message or exit status shows that.
            guard let descriptor = try DescriptorPassing.receive(over: control) else { return }
            try attach(TAPDevice(adopting: descriptor))
        } catch {
            log.error("no interface", ["cause": "\(error)"])
            if !hasStarted { child?.terminate() }
        }
    }

    private func attach(_ device: consuming TAPDevice) throws {
        let link = TAPLink(device, named: "tap", loop: loop)
        guard let receiver = network.attach(link) else { return }
        tap = link
        try link.start(for: receiver)
        recreation.succeeded(now: loop.now)
        if hasStarted { return }
        hasStarted = true
        let line = try targets()?.line ?? "\n"
        _ = try Socket.send(control, Array(line.utf8))
    }

    /// Requests a new interface from the child, because the command deleted the old one.
    private func tapEnded(_ reason: String) {
        tap = nil
        log.warning("the namespace's network: \(reason); creating it again")
        loop.after(recreation.failed(now: loop.now)) { [weak self] _ in self?.requestInterface() }
    }

    private func requestInterface() {
        do {
            watch = try loop.watch(control.number, for: .readable, observer: self)
            _ = try Socket.send(control, NamespaceInterfaceMaker.request)
        } catch {
            log.error("no interface", ["cause": "\(error)"])
        }
    }

    private func targets() throws(ForwardError) -> ConnectivityTargets? {
        guard let echo else { return nil }
        let local = "127.0.0.1:0"
        let guest = Endpoint(address: settings.guest, port: Self.reportPort)
        try network.forwards.expose(local: local, remote: "\(guest)", owner: .configuration)
        var targets = ConnectivityTargets(
            tcpEcho: echo.streamPort,
            udpEcho: echo.datagramPort,
            discard: echo.discardPort,
            published: network.forwards.endpoint(of: local, .tcp)?.port ?? 0,
            guestPort: Self.reportPort
        )
        targets.hasRouteIPv4 = HostRouteWatch.canReachInternet(isIPv4: true)
        targets.hasRouteIPv6 = HostRouteWatch.canReachInternet(isIPv4: false)
        targets.resolvers = Array(resolvers.prefix(ConnectivityTargets.maximumResolvers))
        return targets
    }

    /// The host's resolvers that the namespace can ask: one on the host's loopback is at the host's
    /// alias, and one on a link of the host has no address there.
    private var resolvers: [Endpoint] {
        network.dns.resolverUses(now: loop.now).compactMap { server, _ in
            guard server.zone.isEmpty else { return nil }
            guard server.endpoint.address.isLoopback else { return server.endpoint }
            return Endpoint(address: settings.hostAlias, port: server.endpoint.port)
        }
    }
}
