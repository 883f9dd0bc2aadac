/// The settings of `host-switch`.
struct HostSwitchSettings: RoleSettings {
    var common = CommonSettings()
    var network = NetworkSettings()
    var links: [LinkAddress] = []

    var conflict: SettingsConflict? { network.conflict }
}

extension Option<HostSwitchSettings> {
    /// The options of `host-switch`.
    static let hostSwitch: [Option<HostSwitchSettings>] =
        [
            Option(
                "link",
                repeating: \.links,
                .link,
                unset: "none",
                help: "where guests connect",
                reason: """
                    All links meet in one switch. Addresses are listened on; a descriptor is used as \
                    it is. Without a link no guest can connect.
                    """
            )
        ]
        + Option.network(within: \.network)
        + Option.common
}

extension Role {
    /// The host end of a virtual machine's network.
    static let hostSwitch = Role(
        name: "host-switch",
        summary: "the host end: a network whose gateway leads to host sockets",
        operands: "",
        options: Option.hostSwitch
    ) { start throws(RoleFailure) in try HostSwitch.run(start) }
}

/// The host end at work.
enum HostSwitch {
    /// Serves until a signal ends it.
    ///
    /// - Parameter start: Settings and logger.
    /// - Returns: Failure, as the original does: there is no other end than being told to.
    /// - Throws: `RoleFailure` when it cannot begin.
    static func run(_ start: RoleStart<HostSwitchSettings>) throws(RoleFailure) -> ExitCode {
        guard !start.settings.links.isEmpty else {
            throw RoleFailure(
                "no guest can connect: expected at least one --link ADDRESS",
                status: .misuse
            )
        }
        ProcessLimits.raiseDescriptors()
        do {
            let loop = try EventLoop()
            let network = HostNetwork(start.settings.network, loop: loop, log: start.logger)
            defer { network.stop() }
            try network.open()
            for link in start.settings.links { try network.open(link) }
            let signals = try watchSignals(loop, network, start.logger)
            try withExtendedLifetime(signals) { () throws(SystemError) in try loop.run() }
            return .failure
        } catch let failure as RoleFailure {
            throw failure
        } catch let error as SystemError {
            throw RoleFailure(error)
        } catch {
            throw RoleFailure("\(error)")
        }
    }

    private static func watchSignals(
        _ loop: EventLoop,
        _ network: HostNetwork,
        _ log: Logger
    ) throws(SystemError) -> SignalWatch {
        try SignalWatch([.terminate, .interrupt, .hangUp, .user1], loop: loop) { signal in
            if signal == .user1 { return network.toggleCapture() }
            log.info("ended by a signal", ["signal": signal.name])
            loop.stop()
        }
    }
}
