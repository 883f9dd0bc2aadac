/// Runs `slirp4netns`: the engine in this process, and for a moment a child that makes the
/// interface in the container's namespace.
final class Slirp4netnsSession: ReadinessObserver {
    private let settings: Slirp4netnsSettings
    private let log: Logger
    private let loop: EventLoop
    private let network: HostNetwork
    private var tap: TAPLink?
    private var failure: RoleFailure?
    private var api: ForwardSocket?
    private var exitSign: OwnedDescriptor?
    private var exitWatch: EventLoop.Watch?

    /// Serves until a signal, the exit descriptor or the end of the interface ends it.
    ///
    /// - Parameter start: Settings, logger and operands.
    /// - Returns: Success.
    /// - Throws: `RoleFailure` if it cannot start or continue.
    static func run(_ start: RoleStart<Slirp4netnsSettings>) throws(RoleFailure) -> ExitCode {
        SignalWatch.block(RoleSignals.always)
        let target = try Slirp4netnsTarget(start.settings, start.operands)
        do {
            var envoy: NamespaceEnvoy?
            if let namespace = target.namespace {
                envoy = try NamespaceEnvoy(for: namespace.interface.name) { socket in
                    try namespace.make(for: socket)
                    return 0
                }
            }
            let session = try Slirp4netnsSession(start)
            defer { session.network.stop() }
            return try session.serve(start, target, envoy)
        } catch {
            throw RoleFailure(wrapping: error)
        }
    }

    private init(_ start: RoleStart<Slirp4netnsSettings>) throws(SystemError) {
        settings = start.settings
        log = start.logger
        ProcessLimits.raiseDescriptors()
        loop = try EventLoop()
        network = HostNetwork(settings.network, loop: loop, log: log)
        network.linkEnded = { [unowned self] link, reason in
            guard link === tap else { return }
            failure = RoleFailure("the interface is gone: \(reason)")
            loop.stop()
        }
    }

    private func serve(
        _ start: RoleStart<Slirp4netnsSettings>,
        _ target: Slirp4netnsTarget,
        _ envoy: consuming NamespaceEnvoy?
    ) throws -> ExitCode {
        var sandbox = Sandbox(
            settings.sandbox,
            settings.network,
            logFile: settings.common.logFile,
            log: log
        )
        if !settings.apiSocket.isEmpty { sandbox.listen(settings.apiSocket) }
        if let link = target.link { sandbox.listen(link) }
        let broker = try sandbox.prepare()
        try network.open()
        if let link = target.link { try network.open(link) }
        try attach(envoy)
        try listen()
        let signals = try RoleSignals(
            log: log,
            loop: loop,
            toggled: { [unowned self] in network.toggleCapture() },
            ended: { [unowned self] _ in loop.stop() }
        )
        let ready = try descriptor(settings.readyDescriptor, "ready-fd")
        exitSign = try descriptor(settings.exitDescriptor, "exit-fd")
        switch exitSign {
        case .some(let sign):
            exitWatch = try loop.watch(sign.number, for: .readable, observer: self)
        case .none: break
        }
        let refused = try sandbox.enter(with: broker, loop: loop)
        if sandbox.isProbe {
            return try SandboxProbe.run(on: loop, start.surroundings.printOutput)
        }
        introduce(start)
        if settings.hasIPv6, settings.mtu < IPHeader.minimumMTUIPv6 {
            log.warning("IPv6 needs an MTU of 1280 bytes", ["mtu": "\(settings.mtu)"])
        }
        switch consume ready {
        case .some(let ready): try ready.report("1")
        case .none: break
        }
        try withExtendedLifetime((signals, refused)) { () throws(SystemError) in try loop.run() }
        api?.close()
        if let failure { throw failure }
        return .success
    }

    private func descriptor(
        _ number: Int?,
        _ option: String
    ) throws(RoleFailure) -> OwnedDescriptor? {
        guard let number else { return nil }
        do {
            return try OwnedDescriptor.inheritedFile(Int32(truncatingIfNeeded: number))
        } catch {
            throw RoleFailure("\(option) \(number): \(error.reason)")
        }
    }

    /// Waits for the interface and attaches it to the engine.
    private func attach(_ envoy: consuming NamespaceEnvoy?) throws {
        guard let envoy else { return }
        var hasEnded = false
        let child = try ChildProcess(adopting: envoy.process, on: loop) { _, _ in hasEnded = true }
        let descriptor = try envoy.receive()
        // The sandbox permits no waiting for children.
        while !hasEnded { try loop.turn() }
        withExtendedLifetime(child) {}
        let link = TAPLink(try TAPDevice(adopting: descriptor), named: "tap", loop: loop)
        guard let receiver = network.attach(link) else { return }
        tap = link
        try link.start(for: receiver)
    }

    private func listen() throws(RoleFailure) {
        guard !settings.apiSocket.isEmpty else { return }
        let path = settings.apiSocket
        do {
            api = try ForwardSocket(
                at: path,
                network.forwards,
                guest: settings.network.guest,
                subnet: settings.subnet,
                prefix: settings.network.prefix,
                log: log
            )
        } catch {
            throw RoleFailure("api-socket \(path): \(error)")
        }
    }

    /// Prints the network's addresses, in slirp4netns's words.
    private func introduce(_ start: RoleStart<Slirp4netnsSettings>) {
        let network = settings.network
        start.surroundings.printOutput(
            """
            Starting slirp
            * MTU:             \(settings.mtu)
            * Network:         \(network.subnet.network)
            * Netmask:         \(network.subnet.mask)
            * Gateway:         \(network.hostAlias)
            * DNS:             \(network.gateway)
            * Recommended IP:  \(network.guest)

            """
        )
    }

    /// The exit descriptor's other end has closed.
    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if let exitWatch { loop.forget(exitWatch) }
        exitWatch = nil
        log.info("exiting, as the exit descriptor asks")
        loop.stop()
    }
}

/// What the operands of `slirp4netns` name.
struct Slirp4netnsTarget {
    /// Where to make the interface; nil for User Mode Linux.
    var namespace: JoinedNamespace?
    /// Where User Mode Linux connects; nil for a namespace.
    var link: LinkAddress?

    /// Interprets the operands.
    ///
    /// - Throws: `RoleFailure` with status 2.
    init(_ settings: Slirp4netnsSettings, _ operands: [String]) throws(RoleFailure) {
        guard let target = operands.first, operands.count <= 2 else {
            throw RoleFailure(
                "expected the PID or the path of a network namespace, and the interface's name",
                status: .misuse
            )
        }
        guard settings.target == .namespace else {
            guard StreamAddress.isPath(target) else {
                throw RoleFailure(
                    "\(target): expected the absolute path of a socket",
                    status: .misuse
                )
            }
            link = .packets(target)
            return
        }
        var (user, path): (String?, String) = (nil, target)
        if settings.namespaceType == .process {
            guard let process = target.decimal(upTo: UInt64(Int32.max)), process > 0 else {
                throw RoleFailure(
                    "\(target): expected the ID of a process; a path needs --netns-type=path",
                    status: .misuse
                )
            }
            user = "/proc/\(process)/ns/user"
            path = "/proc/\(process)/ns/net"
        }
        if !settings.userNamespace.isEmpty { user = settings.userNamespace }
        namespace = JoinedNamespace(
            userNamespace: user,
            network: path,
            interface: NamespaceInterface(
                name: operands.count > 1 ? operands[1] : "tap0",
                mac: settings.mac,
                configuration: settings.configuresInterface ? settings.interface : nil
            )
        )
    }
}

extension Slirp4netnsSettings {
    /// How the guest's interface is configured.
    fileprivate var interface: NamespaceInterface.Configuration {
        let network = network
        let subnet = network.subnet
        return NamespaceInterface.Configuration(
            ipv4: NamespaceInterface.Family(
                address: InterfaceAddress(
                    address: network.guest,
                    prefixLength: subnet.prefixLength
                ),
                router: network.hostAlias
            ),
            ipv6: network.prefix.flatMap {
                InterfaceAddress(matching: network.guest, in: subnet, $0)
            }.map { NamespaceInterface.Family(address: $0, router: .gatewayLinkLocal) },
            mtu: mtu
        )
    }
}
