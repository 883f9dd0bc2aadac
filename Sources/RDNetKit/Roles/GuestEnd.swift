/// `vm-switch` at work: a TAP, a stream to the host, a DHCP client.
///
/// A stream that it was handed ends the program when it ends (exit 1): whoever handed it over makes a new one. A stream that it
/// dialled is dialled again, while interface, address and routes stay as they are.
final class GuestEnd {
    private static let firstRedial: Duration = .milliseconds(100)
    private static let longestRedial: Duration = .seconds(2)
    /// A connection that lasts this long was a good one: the next is dialled at once again.
    private static let settled: Duration = .seconds(5)

    private let settings: VMSwitchSettings
    private let environment: [String]
    private let log: Logger
    private let loop: EventLoop
    private let relay: FrameRelay
    private let mac: MACAddress
    private var dhcp: GuestDHCP?
    private var signals: SignalWatch?
    private var call: HostCall?
    private var redial = GuestEnd.firstRedial
    private var connections = 0
    private var traces = false

    /// Makes the interface; nothing is connected yet.
    ///
    /// - Parameters:
    ///   - settings: What the role was told.
    ///   - log: For what a person should know.
    /// - Throws: `RoleFailure`.
    init(_ settings: VMSwitchSettings, log: Logger) throws(RoleFailure) {
        self.settings = settings
        self.log = log
        environment = ProcessEnvironment.all
        do {
            loop = try EventLoop()
            let name = settings.tapInterface
            let device = try GuestInterface.make(
                named: name,
                mac: settings.tapMACAddress,
                mtu: nil,
                settings.ownership
            )
            relay = try FrameRelay(TAPLink(device, named: name, loop: loop), loop: loop)
            mac = try GuestInterface.mac(of: name)
        } catch let error as SystemError {
            throw RoleFailure(error)
        } catch {
            throw RoleFailure("\(error)")
        }
    }

    /// Connects and carries frames until the stream or a signal ends it.
    ///
    /// - Returns: Failure: there is no normal end.
    /// - Throws: `RoleFailure` when it cannot begin, or the handed stream ended.
    func run() throws(RoleFailure) -> ExitCode {
        var reason: String?
        relay.streamEnded = { [unowned self] cause in
            if settings.link == nil {
                reason = cause
                loop.stop()
            } else {
                connectLater(after: cause)
            }
        }
        relay.tapEnded = { [unowned self] cause in
            reason = "\(settings.tapInterface): \(cause)"
            loop.stop()
        }
        if settings.tracesPackets { setTracing(true) }
        do {
            try watchSignals()
            if settings.link == nil {
                try adopt(.inherited(Int32(truncatingIfNeeded: settings.vsockDescriptor)))
            } else {
                connect()
            }
            try loop.run()
        } catch {
            throw RoleFailure("link \(settings.effectiveLink): \(error)")
        }
        relay.stop()
        call?.close()
        if let reason { throw RoleFailure("link \(settings.effectiveLink): \(reason)") }
        return .failure
    }

    private func watchSignals() throws(SystemError) {
        signals = try SignalWatch([.terminate, .interrupt, .user1], loop: loop) {
            [unowned self] signal in
            if signal == .user1 { return setTracing(!traces) }
            log.info("ended by a signal", ["signal": signal.name])
            loop.stop()
        }
    }

    // MARK: The stream

    private func connect() {
        call?.close()
        let outcome = HostCall.Outcome(
            connected: { [unowned self] stream in
                do throws(SystemError) {
                    try adopt(stream)
                } catch {
                    connectLater(after: "\(error)")
                }
            },
            failed: { [unowned self] cause in connectLater(after: cause) }
        )
        let call = HostCall(settings.effectiveLink, loop: loop, outcome: outcome)
        self.call = call
        call.start()
    }

    private func connectLater(after cause: String) {
        let level: LogLevel = redial == Self.firstRedial ? .warning : .debug
        log.log(
            level,
            "no connection to the host",
            ["link": "\(settings.effectiveLink)", "cause": cause]
        )
        loop.after(redial) { [weak self] _ in self?.connect() }
        redial = min(redial * 2, Self.longestRedial)
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
        connections += 1
        let number = connections
        loop.after(Self.settled) { [weak self] _ in
            guard let self, connections == number, relay.isConnected else { return }
            redial = Self.firstRedial
        }
        try relay.attach(stream, now: loop.now)
        log.info("connected to the host", ["link": "\(address)"])
        try startDHCP()
    }

    /// What frames are cut to for a host that knows no offloads: it may have an MTU of its own, and every one takes this.
    private static let plainMTU = 1500

    private func startDHCP() throws(SystemError) {
        if settings.skipsDHCP { return }
        if let dhcp {
            dhcp.linkRestored()
            return
        }
        var options = GuestDHCP.Settings()
        options.script = settings.dhcpScript.isEmpty ? nil : settings.dhcpScript
        options.resolverFile = settings.resolvConf.isEmpty ? nil : settings.resolvConf
        options.environment = environment
        options.largestMTU = settings.largestMTU
        let client = try GuestDHCP(
            loop: loop,
            interface: settings.tapInterface,
            mac: mac,
            settings: options,
            log: log
        )
        dhcp = client
        try client.start()
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
}
