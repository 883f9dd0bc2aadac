/// The host end with gvisor-tap-vsock's command line: a network, its API, and virtual machines.
///
/// The program ends with its machine, because products detect the machine's end that way: when the
/// last link of `-listen-qemu`, `-listen-bess`, `-listen-vfkit`, `-listen-vhost` or `-listen-stdio`
/// has closed.
/// Links of `/connect` and `-listen-vpnkit` may come and go.
final class GVProxy {
    private let configuration: GVProxyConfiguration
    private let log: Logger
    private let loop: EventLoop
    private let network: HostNetwork
    private let notifier: EventNotifier?
    /// The socket on which a service manager waits for readiness; nil if none waits.
    private let notificationSocket: String?
    private var pidFile: PidFile?
    /// The links of the machines whose end ends the program.
    private var machines: [(link: any FrameLink, endpoint: LinkAddress)] = []
    private var isOver = false

    /// Serves until a signal or the machine's end.
    ///
    /// - Parameter start: Settings and logger.
    /// - Returns: Success, because both are normal ends.
    /// - Throws: `RoleFailure` if it cannot start or continue.
    static func run(_ start: RoleStart<GVProxySettings>) throws(RoleFailure) -> ExitCode {
        if start.settings.printsVersion {
            start.surroundings.printOutput("gvproxy version v\(RoleRegistry.version)\n")
            return .success
        }
        var configuration = try GVProxyConfiguration(start)
        let log = try configuration.logger(start)
        if configuration.listen.isEmpty, configuration.services.isEmpty {
            let addresses = OfferedSocket.addresses(
                for: "gvproxy",
                start.settings.access,
                start.surroundings.environment,
                log
            )
            configuration.listen = addresses.map(\.description)
        }
        ProcessLimits.raiseDescriptors()
        do {
            let socket = start.surroundings.environment(ServiceNotification.variable)
            let proxy = try GVProxy(configuration, log, notifying: socket)
            defer { proxy.stop() }
            return try proxy.serve(start.surroundings.printOutput)
        } catch {
            let failure = RoleFailure(wrapping: error)
            // The caller writes the failure to the log of the command line.
            if log !== start.logger { log.log(.fatal, failure.sentence) }
            throw failure
        }
    }

    private init(
        _ configuration: GVProxyConfiguration,
        _ log: Logger,
        notifying socket: String?
    ) throws {
        self.configuration = configuration
        self.log = log
        notificationSocket = socket
        loop = try EventLoop()
        network = HostNetwork(
            configuration.network,
            zones: try configuration.dnsZones(),
            loop: loop,
            log: log
        )
        let path = configuration.notification
        notifier = path.isEmpty ? nil : EventNotifier(path: path, loop: loop, log: log)
        network.linkEnded = { [unowned self] link, reason in ended(link, reason) }
    }

    private func serve(_ printOutput: (String) -> Void) throws -> ExitCode {
        let sandbox = try sandbox()
        let broker = try sandbox.prepare()
        log.info("gvproxy version v\(RoleRegistry.version)")
        let signals = try watchSignals()
        try network.openState(for: sandbox.user)
        if let notifier { network.events.join(notifier) }
        let endpoints = try configuration.machineEndpoints
        try openNetwork()
        try open(endpoints)
        try openSocketForwards()
        try writePidFile()
        try network.admitForwards(to: sandbox)
        // In the sandbox, the service manager's socket cannot be reached anymore.
        let manager = ServiceNotification.connect(to: notificationSocket, log: log)
        let refused = try sandbox.enter(with: broker, loop: loop)
        if sandbox.isProbe { return try SandboxProbe.run(on: loop, printOutput) }
        network.events.tell(.ready, .link)
        log.info("waiting for clients...")
        manager?.announce(log: log)
        if configuration.logLevel == .debug { network.reportTraffic() }
        try withExtendedLifetime((signals, refused)) { () throws(SystemError) in
            if !isOver { try loop.run() }
        }
        return .success
    }

    private func sandbox() throws -> Sandbox {
        var sandbox = Sandbox(
            configuration.sandbox,
            configuration.network,
            logFile: configuration.logFile,
            log: log
        )
        for address in try configuration.apiAddresses + configuration.serviceAddresses {
            sandbox.listen(address, configuration.network.access)
        }
        for endpoint in try configuration.machineEndpoints { sandbox.listen(endpoint.address) }
        sandbox.write(in: configuration.pidFile)
        sandbox.connect(to: configuration.notification)
        if !configuration.socketForwards.isEmpty {
            sandbox.programs = "--forward-sock runs ssh"
        }
        return sandbox
    }

    private func watchSignals() throws(SystemError) -> RoleSignals {
        try RoleSignals(
            log: log,
            loop: loop,
            reopened: { [unowned self] in network.policy.hangUp() },
            ended: { [unowned self] signal in end("signal caught", ["signal": signal.name]) }
        )
    }

    private func end(_ reason: String, _ fields: KeyValuePairs<String, String> = [:]) {
        log.info("gvproxy exiting: \(reason)", fields)
        isOver = true
        loop.stop()
    }

    private func stop() {
        network.stop()
        do {
            try pidFile?.remove()
        } catch {
            log.warning("cannot remove the pid file", ["cause": "\(error)"])
        }
    }

    // MARK: Opening

    private func openNetwork() throws {
        let api = try configuration.apiAddresses
        let services = try configuration.serviceAddresses
        do throws(RoleFailure) {
            try network.open()
        } catch {
            // Only the capture file can fail here: forwards and API addresses are opened below.
            throw RoleFailure("cannot create capture file: \(error.sentence)")
        }
        try openForwards()
        try listen(api, network.api.hostRoutes)
        for address in api { log.info("listening \(address)") }
        try listen(services, network.api.serviceRoutes)
        for address in services { log.info("enabling services API. Listening \(address)") }
    }

    /// Opens the host ports that lead to guests.
    private func openForwards() throws(RoleFailure) {
        let guest = configuration.network.guest
        do {
            for forward in configuration.forwards {
                let udp = forward.key.removingPrefix("udp:").map { String($0) }
                try network.forwards.expose(
                    udp == nil ? "tcp" : "udp",
                    local: udp ?? forward.key,
                    remote: forward.value,
                    owner: .configuration
                )
            }
            if let port = configuration.sshPort {
                let local = "127.0.0.1:\(port)"
                try network.forwards.expose(
                    local: local,
                    remote: "\(guest):22",
                    owner: .configuration
                )
            }
        } catch {
            throw RoleFailure("cannot add network services: \(error)")
        }
    }

    /// Opens the host's sockets that lead to the guest's sockets by SSH.
    private func openSocketForwards() throws(RoleFailure) {
        let server = Endpoint(address: configuration.network.guest, port: SSHTarget.port)
        for forward in configuration.socketForwards {
            do {
                let target = try SSHTarget(
                    user: forward.user,
                    server: server,
                    path: forward.destination,
                    identity: forward.identity
                )
                let path = forward.socket.removingPrefix("unix://") ?? forward.socket
                try network.forwards.forward(path, to: target)
            } catch {
                throw RoleFailure("cannot add socket forward \(forward.socket): \(error)")
            }
        }
    }

    private func listen(_ addresses: [StreamAddress], _ routes: [HTTPRoute]) throws(RoleFailure) {
        do {
            try network.serve(routes, at: addresses)
        } catch {
            throw RoleFailure("cannot listen: \(error.sentence)")
        }
    }

    private func open(
        _ endpoints: [GVProxyConfiguration.MachineEndpoint]
    ) throws(RoleFailure) {
        for endpoint in endpoints {
            do {
                try network.open(endpoint.address) { [unowned self] link in
                    if endpoint.endsWithMachine { machines.append((link, endpoint.address)) }
                }
            } catch {
                network.events.tell(.hypervisorError, .link)
                throw RoleFailure("\(endpoint.name) listen error: \(error.sentence)")
            }
        }
    }

    private func writePidFile() throws(RoleFailure) {
        guard !configuration.pidFile.isEmpty else { return }
        do {
            pidFile = try PidFile(configuration.pidFile, of: ProcessEnvironment.process)
        } catch {
            throw RoleFailure("failed to create pidfile: \(error)")
        }
    }

    // MARK: Machines

    private func ended(_ link: any FrameLink, _ reason: String) {
        guard let index = machines.firstIndex(where: { $0.link === link }) else { return }
        // Nobody can reconnect the standard streams.
        if machines.remove(at: index).endpoint == .standardStreams {
            network.events.tell(.hypervisorError, .link)
        }
        if machines.isEmpty {
            end("cannot receive packets from \(link.name), disconnecting: \(reason)")
        }
    }
}

extension Role {
    /// The host end with gvisor-tap-vsock's command line.
    static let gvProxy = Role(
        name: "gvproxy",
        summary: "the host end with gvisor-tap-vsock's command line",
        operands: "",
        options: Option.gvproxy,
        helpsOnError: true
    ) { start throws(RoleFailure) in try GVProxy.run(start) }
}
