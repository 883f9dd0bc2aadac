/// The settings of `vm-switch`.
struct VMSwitchSettings: RoleSettings {
    var common = CommonSettings()
    var tapInterface = "eth0"
    /// Nil to leave the kernel's.
    var tapMACAddress: MACAddress? = .standardGuest
    var subnet = Subnet.standard
    var vsockDescriptor = 3
    /// Nil to use the descriptor.
    var link: LinkAddress?
    /// Empty for none.
    var dhcpScript = ""
    var skipsDHCP = false
    /// Empty to leave it alone.
    var resolvConf = "/etc/resolv.conf"
    var tracesPackets = false
    /// Whose the interface is, and the most that its MTU may be: what gvforwarder has options for.
    var ownership = TAPDevice.Ownership.exclusive
    var largestMTU: Int?

    init() {
        common.logFile = "/var/log/vm-switch.log"
    }

    /// The stream to the host: the one to dial, else the inherited one.
    var effectiveLink: LinkAddress {
        link ?? .descriptor(Int32(truncatingIfNeeded: vsockDescriptor))
    }

    var conflict: SettingsConflict? {
        guard skipsDHCP, !dhcpScript.isEmpty else { return nil }
        return SettingsConflict(
            option: "dhcp-script",
            value: dhcpScript,
            expected: "nothing, because --no-dhcp leaves nothing to run it for"
        )
    }
}

extension Option<VMSwitchSettings> {
    /// The options of `vm-switch`.
    static let vmSwitch: [Option<VMSwitchSettings>] =
        [interface, links, address, log].flatMap { $0 }
        + Option.common

    private static let interface = [
        Option(
            "tap-interface",
            \.tapInterface,
            .interfaceName,
            help: "the name of the interface to make",
            reason: "One of that name must not exist in the namespace yet."
        ),
        Option.tapMACAddress(\.tapMACAddress),
        Option.subnet(\.subnet),
    ]

    private static let links = [
        Option(
            "vsock-fd",
            \.vsockDescriptor,
            .integer(0...Int(Int32.max), "NUMBER"),
            help: "the descriptor of a connected stream to the host",
            reason: "network-setup hands the connection over as descriptor 3."
        ),
        Option(
            "link",
            \.link,
            .optionalLink,
            unset: "the descriptor of --vsock-fd",
            help: "the host to dial, instead of using a descriptor",
            reason:
                "A connection that was dialled is dialled again when it ends; a descriptor cannot be."
        ),
    ]

    private static let address = [
        Option(
            "dhcp-script",
            \.dhcpScript,
            .optionalPath,
            unset: "none",
            help: "a program to run at each change of the lease, instead of applying it",
            reason: """
                It is called as udhcpc calls its script: one argument (deconfig, bound, renew, \
                leasefail or nak), and the lease in the environment.
                """
        ),
        Option(
            "no-dhcp",
            \.skipsDHCP,
            .boolean,
            help: "do not ask for an address",
            reason: "For a guest that runs a DHCP client of its own."
        ),
        Option(
            "resolv-conf",
            \.resolvConf,
            .optionalPath,
            unset: "none",
            help: "the file to write the lease's name servers to; empty to write none",
            reason: "Not written when a script is run: then it is the script's business."
        ),
    ]

    private static let log = [
        Option(
            "logfile-append",
            \.common.appendsToLogFile,
            .boolean,
            help: "whether the log file keeps its content at start",
            reason: "--logfile-append=false empties the file at every start."
        ),
        Option(
            "trace-packets",
            \.tracesPackets,
            .boolean,
            help: "log every frame in both directions",
            reason: "SIGUSR1 switches it while the program runs. It slows everything down."
        ),
    ]
}

extension Role {
    /// The guest end of a virtual machine's network.
    static let vmSwitch = Role(
        name: "vm-switch",
        summary: "the guest end: TAP interface, DHCP, frames to and from the host",
        operands: "",
        options: Option.vmSwitch
    ) { start throws(RoleFailure) in
        try GuestEnd(
            start.settings,
            log: start.logger,
            supplier: start.surroundings.environment(LinkSupply.variable)
        ).run()
    }
}
