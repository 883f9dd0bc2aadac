/// The settings of `host-switch`.
struct HostSwitchSettings: RoleSettings {
    var common = CommonSettings()
    var network = NetworkSettings()
    var sandbox = SandboxSettings()
    var links: [LinkAddress] = []
    var machines: [VMAddress] = []
    var handshake = HandshakeSettings()
    /// Seconds; 0 for no limit.
    var handshakeTimeout = 300

    var conflict: SettingsConflict? { network.conflict }

    /// Whether to search for a virtual machine: not if guests connect by links only.
    var looksForMachine: Bool { links.isEmpty || !machines.isEmpty }

    /// The network to create: `-debug` starts a capture, as in the original.
    var effectiveNetwork: NetworkSettings {
        var network = network
        if common.isDebugging, network.captureFile.isEmpty {
            network.captureFile = Self.debugCapture
        }
        return network
    }

    private static let debugCapture = "capture.pcap"
}

extension Option<HostSwitchSettings> {
    /// The options of `host-switch`.
    static let hostSwitch: [Option<HostSwitchSettings>] =
        waysToGuests
        + Option<HandshakeSettings>.handshake(dataPort: "vsock-listen-port")
        .map { $0.within(\.handshake) }
        + Option.network(within: \.network)
        + [.state(\.network.stateDirectory), .portFiles]
        + (Option<SandboxSettings>.sandbox + [.socketFolder]).map { $0.within(\.sandbox) }
        + Option.common

    private static let portFiles = Option.portFiles(
        \.network.portFileAddresses,
        named: "port-fs",
        reason: """
            The guest mounts it and opens ports of the host through it, as VPNKit's guests do: the \
            first address of a request is the host's, the second one the guest's or that of a \
            container in it. A TCP address of the gateway is served on the virtual network only. \
            --guest-bind restricts the ports.
            """
    )

    private static let waysToGuests = [
        Option(
            "vm",
            repeating: \.machines,
            .machine,
            unset: "without --link vsock contexts 1 and 3 to 66, else none",
            help: "a VM to find by the handshake",
            reason: """
                The first VM that answers with the phrase is used; when its stream ends, the \
                search restarts. The section "The handshake" describes the forms.
                """
        ),
        Option(
            "link",
            repeating: \.links,
            .link,
            unset: "none",
            help: "a listening address for guests that need no handshake",
            reason: """
                All links share one switch. An inherited descriptor is used as a link itself.
                """
        ),
        Option(
            "handshake-timeout",
            \.handshakeTimeout,
            .integer(0...86_400, "SECONDS"),
            help: "how long to search for a VM before giving up; 0 for no limit",
            reason: """
                The default is Rancher Desktop's. It restarts the program after exit status \
                1.
                """
        ),
    ]
}

extension Role {
    /// The host end of a virtual machine's network.
    static let hostSwitch = Role(
        name: "host-switch",
        summary: "the host end: a switch with a gateway that uses host sockets",
        operands: "",
        options: Option.hostSwitch
    ) { start throws(RoleFailure) in try HostSwitch.run(start) }
}
