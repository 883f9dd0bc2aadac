/// Runs `slirp4netns`: the engine in this process, and for a moment a child that makes the
/// interface in the container's namespace.
final class Slirp4netnsSession: ReadinessObserver {
    /// How long the child may take.
    private static let patience: Duration = .seconds(10)
    /// Limit on the child's explanation in bytes.
    private static let messageLength = 512

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
            let interface = try Interface(target.namespace)
            let session = try Slirp4netnsSession(start)
            defer { session.network.stop() }
            return try session.serve(start, target, interface)
        } catch {
            throw RoleFailure(wrapping: error)
        }
    }

    /// The child that makes the interface, and the socket by which its descriptor comes.
    private struct Interface: ~Copyable {
        var process: Int32?
        var control: OwnedDescriptor?

        init(_ namespace: JoinedNamespace?) throws(SystemError) {
            guard let namespace else { return }
            let pair = try Socket.pair()
            let (own, other) = (pair.one.number, pair.other.number)
            process = try Namespace.fork {
                // Otherwise the child would not notice the end of its parent.
                _ = OwnedDescriptor(adopting: own)
                let socket = OwnedDescriptor(adopting: other)
                do {
                    try namespace.make(for: socket)
                    return 0
                } catch {
                    let text = "\(namespace.interface): \(error)".utf8.prefix(messageLength)
                    do { _ = try Socket.send(socket, Array(text)) } catch { return 2 }
                    return 1
                }
            }
            control = .some(pair.one)
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
        _ interface: consuming Interface
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
        try attach(interface)
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
    private func attach(_ interface: consuming Interface) throws {
        guard let process = interface.process, let control = interface.control.take() else {
            return
        }
        var hasEnded = false
        let child = try ChildProcess(adopting: process, on: loop) { _, _ in hasEnded = true }
        let socket = WaitingSocket(control)
        try socket.waitForBytes(within: Self.patience)
        guard
            let message = try DescriptorPassing.receivePacket(
                over: socket.descriptor,
                upTo: Self.messageLength
            )
        else {
            throw RoleFailure("no interface")
        }
        let text = String(decoding: message.octets, as: UTF8.self)
        guard let descriptor = message.descriptor else {
            throw RoleFailure(text.isEmpty ? "no interface" : text)
        }
        // The sandbox permits no waiting for children.
        while !hasEnded { try loop.turn() }
        withExtendedLifetime(child) {}
        let link = TAPLink(try TAPDevice(adopting: descriptor), named: "tap", loop: loop)
        guard network.attach(link) else { return }
        tap = link
        try link.start(for: network.engine)
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
        let network = settings.network
        namespace = JoinedNamespace(
            userNamespace: user,
            network: path,
            interface: operands.count > 1 ? operands[1] : "tap0",
            configuration: settings.configuresInterface
                ? JoinedNamespace.Configuration(
                    address: InterfaceAddress(
                        address: network.guest,
                        prefixLength: network.subnet.prefixLength
                    ),
                    gateway: network.hostAlias,
                    ipv6: network.prefix.flatMap {
                        InterfaceAddress(matching: network.guest, in: network.subnet, $0)
                    },
                    mtu: settings.mtu,
                    mac: settings.mac
                ) : nil
        )
    }
}
