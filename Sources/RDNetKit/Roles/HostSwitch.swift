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
        summary: "the host end: a network whose gateway leads to the host's sockets",
        operands: "",
        options: Option.hostSwitch
    ) { start throws(RoleFailure) in
        start.printConfiguration()
        return .success
    }
}
