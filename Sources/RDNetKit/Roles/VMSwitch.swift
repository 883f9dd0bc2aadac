/// The settings of `vm-switch`.
struct VMSwitchSettings: RoleSettings {
    var common = CommonSettings()
    var tapInterface = "eth0"
    /// Nil to keep the kernel's.
    var tapMACAddress: MACAddress? = .standardGuest
    var subnet = Subnet.standard
    var vsockDescriptor = 3
    /// Nil to use the descriptor.
    var link: LinkAddress?
    /// Empty for none.
    var dhcpScript = ""
    var skipsDHCP = false
    var resolvConf = ResolverFileChoice.automatic
    var tracesPackets = false
    var sandbox = SandboxSettings()
    /// The interface's owner and its MTU limit; only gvforwarder has options for them.
    var ownership = TAPDevice.Ownership.exclusive
    var maximumMTU: Int?

    init() {
        common.logFile = "/var/log/vm-switch.log"
    }

    /// The stream to the host: the address to connect to, or else the inherited descriptor.
    var effectiveLink: LinkAddress {
        link ?? .descriptor(Int32(truncatingIfNeeded: vsockDescriptor))
    }

    /// Returns where to write the lease's name servers.
    ///
    /// - Parameter process: A process in the mount namespace of the guest's programs, or nil.
    /// - Returns: Nil if a script applies name servers, or nothing does.
    func resolverPlace(_ process: Int32?) -> ResolverFile.Place? {
        guard !skipsDHCP, dhcpScript.isEmpty else { return nil }
        return switch resolvConf {
        case .none: nil
        case .path(let path): .chosen(path)
        case .automatic: process.map { .mounted(process: $0) } ?? .standard
        }
    }

    var conflict: SettingsConflict? {
        guard skipsDHCP, !dhcpScript.isEmpty else { return nil }
        return SettingsConflict(
            option: "dhcp-script",
            value: dhcpScript,
            expected: "nothing, because --no-dhcp never runs it"
        )
    }
}

extension Option<VMSwitchSettings> {
    /// The options of `vm-switch`.
    static let vmSwitch: [Option<VMSwitchSettings>] =
        [interface, links, address, log].flatMap { $0 }
        + [Option<SandboxSettings>.sandboxMode.within(\.sandbox)] + Option.common

    private static let interface = [
        Option(
            "tap-interface",
            \.tapInterface,
            .interfaceName,
            help: "the name of the interface to create",
            reason: "The namespace must not contain an interface of that name yet."
        ),
        Option.tapMACAddress(\.tapMACAddress),
        Option.subnet(\.subnet),
    ]

    private static let links = [
        Option(
            "vsock-fd",
            \.vsockDescriptor,
            .integer(0...Int(Int32.max), "NUMBER"),
            help: "an inherited descriptor with a connected stream to the host",
            reason: "network-setup passes the connection as descriptor 3."
        ),
        Option(
            "link",
            \.link,
            .optionalLink,
            unset: "the descriptor of --vsock-fd",
            help: "the host to connect to, instead of using a descriptor",
            reason:
                "When the connection ends, vm-switch reconnects; it cannot reconnect a descriptor."
        ),
    ]

    private static let address = [
        Option(
            "dhcp-script",
            \.dhcpScript,
            .optionalPath,
            unset: "none",
            help: "a program to run when the lease changes, instead of applying the lease",
            reason: """
                It is run like udhcpc's script: one argument (deconfig, bound, renew, leasefail \
                or nak), and the lease in the environment.
                """
        ),
        Option(
            "no-dhcp",
            \.skipsDHCP,
            .boolean,
            help: "do not run the DHCP client",
            reason: "Use it for a guest that runs its own DHCP client."
        ),
        Option.resolvConf(
            \.resolvConf,
            reason: """
                It is not written if --dhcp-script is set, because the script is responsible \
                then.
                """
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
            reason: "SIGUSR1 toggles it at run time. It slows everything down."
        ),
    ]
}

extension Role {
    /// The guest end of a virtual machine's network.
    static let vmSwitch = Role(
        name: "vm-switch",
        summary: "the guest end: TAP interface, DHCP client, frames to the host",
        operands: "",
        options: Option.vmSwitch
    ) { start throws(RoleFailure) in
        try GuestEnd(start.settings, log: start.logger, surroundings: start.surroundings).run()
    }
}
