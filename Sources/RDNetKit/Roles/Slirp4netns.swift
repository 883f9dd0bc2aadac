/// The settings of `slirp4netns`, with that program's names and defaults.
struct Slirp4netnsSettings: RoleSettings {
    var common = CommonSettings()
    var configuresInterface = false
    var exitDescriptor: Int?
    var readyDescriptor: Int?
    var mtu = 1500
    var apiSocket = ""
    var subnet = Self.standardSubnet
    var blocksHostLoopback = false
    var namespaceType = NamespaceType.process
    var userNamespace = ""
    var disablesNames = false
    var mac: MACAddress?
    var target = Target.namespace
    var hasIPv6 = false
    /// Whether the caller asks for what this program always does.
    var asksForSandbox = false
    var asksForFilter = false
    var printsVersion = false
    var sandbox = SandboxSettings()

    fileprivate static let standardSubnet =
        Subnet(address: IPAddress(ipv4: 0x0a00_0200), prefixLength: 24) ?? .standard

    /// What the first operand is.
    enum NamespaceType: String, Sendable {
        case process = "pid"
        case path
    }

    /// What the network is for.
    enum Target: String, Sendable {
        case namespace = "netns"
        case bess
    }

    var conflict: SettingsConflict? {
        if subnet.prefixLength > 25 {
            return SettingsConflict(
                option: "cidr",
                value: "\(subnet)",
                expected: "a network with a prefix of at most 25 bits: the guest's address is 100"
            )
        }
        if mac != nil, !configuresInterface {
            return SettingsConflict(
                option: "macaddress",
                value: mac.map { "\($0)" } ?? "",
                expected: "--configure with it"
            )
        }
        if target == .bess, configuresInterface || !userNamespace.isEmpty {
            return SettingsConflict(
                option: "target-type",
                value: target.rawValue,
                expected: "netns with --configure or --userns-path"
            )
        }
        return nil
    }

    /// The virtual network: 10.0.2.2 is the host, 10.0.2.3 answers DNS, the guest is 10.0.2.100.
    ///
    /// In IPv6 they are fd00::2, fd00::3 and fd00::64, the same numbers.
    var network: NetworkSettings {
        var network = NetworkSettings()
        network.chosenSubnet = subnet
        network.mtu = mtu
        network.prefixChoice = hasIPv6 ? .prefix(.slirp) : .off
        network.hostAddress = subnet.host(2)
        network.gatewayAddress = subnet.host(3)
        network.guestAddress = subnet.host(100)
        if let mac { network.guestMAC = mac }
        network.forwardsFromHostAlias = true
        network.blocksHostLoopback = blocksHostLoopback
        network.servesNames = !disablesNames
        network.access.guestAPI = APIAccess.GuestAPI.none
        network.reachesGuestLoopback = false
        return network
    }
}

extension Option<Slirp4netnsSettings> {
    /// The options of `slirp4netns`.
    static let slirp4netns: [Option<Slirp4netnsSettings>] =
        interface + descriptors + network + namespace + process
        + [Option<SandboxSettings>.sandboxMode.within(\.sandbox)] + common

    private static let interface =
        pair(
            "c",
            Option(
                "configure",
                \.configuresInterface,
                .boolean,
                help: "give the interface its address and routes, and bring it up",
                reason: "Without it, the caller configures the interface."
            )
        )
        + pair(
            "m",
            Option(
                "mtu",
                \.mtu,
                .integer(576...65_521, "OCTETS"),
                help: "the interface's MTU",
                reason: "The default is slirp4netns's; large transfers are as fast with any MTU."
            )
        )
        + [
            Option(
                "macaddress",
                \.mac,
                .optional(.mac),
                unset: "the kernel's choice",
                help: "the MAC address of the interface, with --configure only",
                reason: ""
            )
        ]

    private static let descriptors =
        pair(
            "e",
            Option(
                "exit-fd",
                \.exitDescriptor,
                .optional(.integer(0...Int(Int32.max), "FD")),
                reach: .commandLine,
                unset: "none",
                help: "exit when this descriptor's other end closes, or has something to read",
                reason: ""
            )
        )
        + pair(
            "r",
            Option(
                "ready-fd",
                \.readyDescriptor,
                .optional(.integer(0...Int(Int32.max), "FD")),
                reach: .commandLine,
                unset: "none",
                help: "write 1 to this descriptor when the network is ready",
                reason: ""
            )
        )
        + pair(
            "a",
            Option(
                "api-socket",
                \.apiSocket,
                .optionalPath,
                unset: "none",
                help: "a unix socket where callers add, list and remove forwards in JSON",
                reason: "Only its owner can connect."
            )
        )

    private static let network =
        [
            Option(
                "cidr",
                \.subnet,
                .subnet,
                help: "the network: its addresses 2, 3 and 100 are the host, DNS and the guest",
                reason: ""
            )
        ]
        + pair(
            "6",
            Option(
                "enable-ipv6",
                \.hasIPv6,
                .boolean,
                help: "give the guest IPv6: the host is fd00::2, DNS fd00::3, the guest fd00::64",
                reason: """
                    The guest has a default route if the host has one. Podman passes this option by \
                    default.
                    """
            )
        ) + [
            Option(
                "disable-host-loopback",
                \.blocksHostLoopback,
                .boolean,
                help: "keep the guest from the host's 127.0.0.1",
                reason: ""
            ),
            Option(
                "disable-dns",
                \.disablesNames,
                .boolean,
                help: "answer no DNS queries",
                reason: ""
            ),
        ]

    private static let namespace = [
        Option(
            "netns-type",
            \.namespaceType,
            .word("TYPE", expected: "pid or path"),
            help: "what the first word is: the process, or the path, of a network namespace",
            reason: "With pid, the process's user namespace is entered first."
        ),
        Option(
            "userns-path",
            \.userNamespace,
            .optionalPath,
            unset: "that of the process, or none",
            help: "the user namespace to enter first",
            reason: ""
        ),
        Option(
            "target-type",
            \.target,
            .word("TYPE", expected: "netns or bess"),
            help: "netns for a namespace, or bess for the socket of User Mode Linux",
            reason: "With bess, the first word is the path of the socket to listen at."
        ),
    ]

    private static let process = [
        Option(
            "enable-sandbox",
            \.asksForSandbox,
            .boolean,
            help: "for compatibility: the sandbox is always on",
            reason: "See --sandbox."
        ),
        Option(
            "enable-seccomp",
            \.asksForFilter,
            .boolean,
            help: "for compatibility: system calls are always filtered",
            reason: "See --sandbox."
        ),
        .version(\.printsVersion),
        .version(\.printsVersion, named: "v"),
    ]
}

extension Role {
    /// The network of rootless containers, with slirp4netns's command line.
    static let slirp4netns = Role(
        name: "slirp4netns",
        summary: "the network of a rootless container's namespace",
        operands: "PID|PATH [INTERFACE]",
        options: Option.slirp4netns,
        hasMixedArguments: true,
        arranging: { ShortOptions.separated($0, valued: "erma", plain: "c6hv") }
    ) { start throws(RoleFailure) in
        if start.settings.printsVersion {
            // Callers compare the number, so it is that of the program with these options.
            start.surroundings.printOutput(
                "slirp4netns version 1.2.0\nrdnet \(RoleRegistry.version)\n"
            )
            return .success
        }
        return try Slirp4netnsSession.run(start)
    }
}
