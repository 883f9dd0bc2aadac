/// Runs `vm-switch`: a TAP, a stream to the host, a DHCP client.
///
/// If the program inherited the stream, it ends with the stream (exit status 1), and the parent
/// creates a new one. In two cases the program continues, and interface, address and routes stay
/// unchanged: rdnet's own `network-setup` passes new streams to the running program (`LinkSupply`),
/// and a stream that the program itself connected is reconnected.
final class GuestEnd {
    private let settings: VMSwitchSettings
    private let log: Logger
    private let loop: EventLoop
    private let relay: FrameRelay
    private let mac: MACAddress
    private let printOutput: (String) -> Void
    /// Nil if leases change the interface only.
    private let leaseBroker: LeaseBroker?
    private let sandbox: Sandbox
    private let fileBroker: FileBroker?
    /// The waiting service manager; nil if there is none, or a DHCP script notifies it.
    private let manager: ServiceNotification?
    private var dhcp: GuestDHCP?
    private var signals: RoleSignals?
    private var dialer: LinkDialer?
    /// Whether the interface exists, as far as is known.
    private var hasInterface = true
    /// The delays between a deleted interface and its successor.
    private var recreation = Backoff(first: .milliseconds(100), maximum: .seconds(30))
    private var redial = Backoff(first: .milliseconds(100), maximum: .seconds(2))
    private var supply: LinkSupply?
    private var outcome: String?
    private var traces = false
    private var hasAnnounced = false

    /// Creates the interface; connects nothing yet.
    ///
    /// - Parameters:
    ///   - settings: The role's settings.
    ///   - log: The role's logger.
    ///   - surroundings: The environment, which may name the source of new streams, set by
    ///     network-setup (`LinkSupply`), and a process in its namespace
    ///     (`ResolverFile.processVariable`).
    /// - Throws: `RoleFailure`.
    init(
        _ settings: VMSwitchSettings,
        log: Logger,
        surroundings: ProcessSurroundings
    ) throws(RoleFailure) {
        self.settings = settings
        self.log = log
        printOutput = surroundings.printOutput
        let script = settings.dhcpScript
        if !script.isEmpty, !ProgramPath.isExecutable(script) {
            throw .notExecutable(script, option: "dhcp-script")
        }
        let supplier = settings.link == nil ? surroundings.environment(LinkSupply.variable) : nil
        let process = surroundings.environment(ResolverFile.processVariable)
        sandbox = Sandbox(settings, log: log)
        do {
            // The children come first: they must not hold the stream or the interface.
            leaseBroker = try LeaseBroker.start(
                settings,
                namespaceProcess: process.flatMap { Int32($0) },
                log: log
            )
            fileBroker = try sandbox.prepare()
            loop = try EventLoop()
            try leaseBroker?.report(to: loop)
            if let supplier { supply = try LinkSupply(supplier, loop: loop) }
            let isWaited = script.isEmpty && !settings.skipsDHCP
            let socket = isWaited ? surroundings.environment(ServiceNotification.variable) : nil
            manager = ServiceNotification.connect(to: socket, log: log)
            let name = settings.tapInterface
            let device = try GuestInterface.make(
                named: name,
                mac: settings.tapMACAddress,
                mtu: nil,
                settings.ownership,
                leavesIPv6: settings.leavesIPv6
            )
            relay = try FrameRelay(TAPLink(device, named: name, loop: loop), loop: loop)
            mac = try GuestInterface.mac(of: name)
        } catch {
            throw RoleFailure(wrapping: error)
        }
    }

    /// Connects, and forwards frames until the stream or a signal ends it.
    ///
    /// - Returns: Failure, because it has no normal end.
    /// - Throws: `RoleFailure` if it cannot start, or the inherited stream ended.
    func run() throws(RoleFailure) -> ExitCode {
        defer { leaseBroker?.close() }
        relay.streamEnded = { [unowned self] cause in streamEnded(cause) }
        relay.tapEnded = { [unowned self] cause in tapEnded(cause) }
        supply?.supplied = { [unowned self] stream in adopt(supplied: stream) }
        supply?.ended = { [unowned self] in end("network-setup has exited") }
        if settings.tracesPackets { setTracing(true) }
        let refused: RefusedCalls?
        do {
            try watchSignals()
            refused = try sandbox.enter(with: fileBroker, loop: loop)
            if sandbox.isProbe {
                return try SandboxProbe.run(
                    on: loop,
                    needed: Sandbox.neededByGuestEnd,
                    printOutput
                )
            }
            if settings.link == nil {
                try adopt(.inherited(Int32(truncatingIfNeeded: settings.vsockDescriptor)))
            } else {
                connect()
            }
            // The first stream may have ended before the loop started.
            if outcome == nil { try loop.run() }
        } catch let failure as RoleFailure {
            throw failure
        } catch {
            throw RoleFailure("link \(settings.effectiveLink): \(error)")
        }
        withExtendedLifetime(refused) {}
        relay.stop()
        dialer?.close()
        reportTraffic()
        if let outcome { throw RoleFailure("link \(settings.effectiveLink): \(outcome)") }
        return .failure
    }

    private func end(_ reason: String) {
        outcome = reason
        loop.stop()
    }

    private func watchSignals() throws(SystemError) {
        signals = try RoleSignals(
            log: log,
            loop: loop,
            endsOnQuit: true,
            toggled: { [unowned self] in
                setTracing(!traces)
                reportTraffic()
            },
            ended: { [unowned self] signal in
                log.info("exiting on signal", ["signal": signal.name])
                loop.stop()
            }
        )
    }

    // MARK: The interface

    private func tapEnded(_ cause: String) {
        let name = settings.tapInterface
        // The owner of a borrowed interface decides when there is another.
        guard settings.ownership != .borrowed else { return end("\(name): \(cause)") }
        log.warning("\(name): \(cause); creating it again")
        hasInterface = false
        dhcp?.abandon()
        dhcp = nil
        loop.after(recreation.failed(now: loop.now)) { [weak self] _ in self?.recreateInterface() }
    }

    private func recreateInterface() {
        let name = settings.tapInterface
        do {
            let device = try GuestInterface.make(
                named: name,
                mac: mac,
                mtu: nil,
                settings.ownership,
                leavesIPv6: settings.leavesIPv6
            )
            try relay.replaceTAP(by: TAPLink(device, named: name, loop: loop))
            hasInterface = true
            recreation.succeeded(now: loop.now)
            if relay.isConnected { try startDHCP() }
        } catch {
            end("\(error)")
        }
    }

    // MARK: The stream

    private func streamEnded(_ cause: String) {
        if let supply {
            log.warning("stream to the host closed; waiting for another", ["cause": cause])
            supply.request()
        } else if settings.link == nil {
            end(cause)
        } else {
            connectLater(after: cause)
        }
    }

    private func adopt(supplied stream: consuming OwnedDescriptor) {
        guard !relay.isConnected else { return }
        do throws(SystemError) {
            try adopt(stream)
        } catch {
            streamEnded("\(error)")
        }
    }

    private func connect() {
        dialer?.close()
        let outcome = LinkDialer.Outcome(
            connected: { [unowned self] stream in
                do throws(SystemError) {
                    try adopt(stream)
                } catch {
                    connectLater(after: "\(error)")
                }
            },
            failed: { [unowned self] cause in connectLater(after: cause) }
        )
        let dialer = LinkDialer(settings.effectiveLink, loop: loop, outcome: outcome)
        self.dialer = dialer
        dialer.start()
    }

    private func connectLater(after cause: String) {
        let delay = redial.failed(now: loop.now)
        log.log(
            redial.failures == 1 ? .warning : .debug,
            "no connection to the host",
            ["link": "\(settings.effectiveLink)", "cause": cause]
        )
        loop.after(delay) { [weak self] _ in self?.connect() }
    }

    private func adopt(_ descriptor: consuming OwnedDescriptor) throws(SystemError) {
        let address = settings.effectiveLink
        let format = LinkOpener.format(of: address)
        let stream = StreamLink(
            descriptor,
            StreamLink.Configuration(
                name: "\(address)",
                format: format,
                mtu: Self.plainMTU,
                role: format == .bigEndian32 ? .silent : .offering(relay.capabilities),
                subnet: settings.subnet,
                mac: mac
            ),
            loop: loop,
            log: log
        )
        redial.succeeded(now: loop.now)
        try relay.attach(stream, now: loop.now)
        log.info("connected to the host", ["link": "\(address)"])
        try startDHCP()
    }

    /// The frame size for a host without offloads: the host may have a different MTU, but every
    /// host accepts this one.
    private static let plainMTU = 1500

    private func startDHCP() throws(SystemError) {
        if settings.skipsDHCP || !hasInterface { return }
        if let dhcp {
            dhcp.linkRestored()
            return
        }
        var options = GuestDHCP.Settings()
        if settings.dhcpScript.isEmpty {
            options.nameServers = leaseBroker?.nameServers
        } else {
            options.recipient = leaseBroker
        }
        options.maximumMTU = settings.maximumMTU
        let client = try GuestDHCP(
            loop: loop,
            interface: settings.tapInterface,
            mac: mac,
            settings: options,
            log: log
        )
        client.onBound = { [unowned self] _ in announce() }
        dhcp = client
        try client.start()
    }

    /// Notifies a waiting service manager that the network is up.
    private func announce() {
        guard !hasAnnounced else { return }
        hasAnnounced = true
        manager?.announce(log: log)
    }

    // MARK: Tracing

    private func setTracing(_ enabled: Bool) {
        traces = enabled
        guard enabled else {
            relay.trace = nil
            return log.info("packet tracing is off")
        }
        log.info("packet tracing is on")
        relay.trace = { [log] frame, isFromGuest in
            log.info(FrameSummary.text(of: frame), ["direction": isFromGuest ? "out" : "in"])
        }
    }
    private func reportTraffic() {
        let interface = settings.tapInterface
        log.info("traffic", ["link": interface], counters: relay.interfaceCounters)
        let stream = "\(settings.effectiveLink)"
        log.info("traffic", ["link": stream], counters: relay.streamCounters)
    }
}

extension VMSwitchSettings {
    /// Whether somebody else configures the interface.
    fileprivate var leavesIPv6: Bool { skipsDHCP || !dhcpScript.isEmpty }
}
