/// The settings from `gvproxy`'s command line.
///
/// Addresses remain texts here; the configuration parses them later and reports errors in gvproxy's
/// words.
struct GVProxySettings: RoleSettings {
    static let defaultSSHPort = 2222

    var common = CommonSettings()
    /// The path of a YAML file; empty for none.
    var file = ""
    var listen: [String] = []
    var services = ""
    var access = APIAccess()
    var sandbox = SandboxSettings()
    var links = GVProxyLinks()
    var pcap = ""
    /// 0: the file's value.
    var mtu = 0
    var sshPort = GVProxySettings.defaultSSHPort
    var subnet = Subnet.standard.description
    var gateway = ""
    var device = ""
    var host = ""
    var forwardSockets: [String] = []
    var forwardDestinations: [String] = []
    var forwardUsers: [String] = []
    var forwardIdentities: [String] = []
    var pidFile = ""
    var notification = ""
    var allowsMetadata = false
    var usesMulticastDNS = true
    /// Nil for nobody's choice.
    var isolation: Bool?
    fileprivate var isolatesGuests: Bool {
        get { isolation ?? false }
        set { isolation = newValue }
    }
    var policy = PolicySettings()
    var limits = GuestLimits()
    var ipv6 = IPv6Mode.auto
    var prefixChoice = IPv6PrefixChoice.matching
    var stateDirectory = ""
    var printsVersion = false

    var conflict: SettingsConflict? { nil }
}

/// Listening addresses for VMs in gvproxy's forms; empty for none.
struct GVProxyLinks: Equatable, Sendable {
    var qemu = ""
    var bess = ""
    var vfkit = ""
    /// Not in gvproxy itself.
    var vhost = ""
    var vpnkit = ""
    /// Any text selects standard input and output.
    var stdio = ""
}

extension Option<GVProxySettings> {
    /// The options of `gvproxy`.
    static let gvproxy: [Option<GVProxySettings>] =
        files + links + Option<APIAccess>.access.map { $0.within(\.access) }
        + Option<PolicySettings>.policy.map { $0.within(\.policy) }
        + Option<GuestLimits>.limits.map { $0.within(\.limits) } + addressing + ipv6
        + forwards
        + (Option<SandboxSettings>.sandbox + [.socketFolder]).map { $0.within(\.sandbox) } + logging

    private static let files = [
        Option(
            "config",
            \.file,
            .optionalPath,
            unset: "none",
            help: "a YAML configuration file",
            reason: """
                With it the name zones, the usual guest's lease, the SSH port and --pcap come from the \
                file alone. What both say, the command line decides, but for the addresses of the network.
                """
        ),
        Option(
            "pid-file",
            \.pidFile,
            .optionalPath,
            unset: "none",
            help: "the pid file",
            reason: "It contains the decimal process ID without a line end, and is removed at exit."
        ),
        .state(\.stateDirectory),
        Option(
            "notification",
            \.notification,
            .url,
            unset: "none",
            help: "unix://PATH of a socket to notify of events",
            reason: """
                One JSON object a connection: ready, connection_established, connection_closed, \
                hypervisor_error. At most 100 wait; nobody there is a warning.
                """
        ),
        .version(
            \.printsVersion,
            reason: "The form is the one that callers parse: gvproxy version vX.Y.Z."
        ),
    ]

    private static let endsWithMachine =
        "Any number of VMs can connect; the program exits with the last one."

    private static let links = [
        Option(
            "listen",
            repeating: \.listen,
            .url,
            unset: "none",
            help: "serve the HTTP API, including /connect, at an address",
            reason: "unix://, tcp:// or vsock://; a unix socket has mode 0600."
        ),
        Option(
            "services",
            \.services,
            .url,
            unset: "none",
            help: "serve the HTTP API without /connect at an address",
            reason: "It takes the same forms as --listen."
        ),
        Option(
            "listen-qemu",
            \.links.qemu,
            .url,
            unset: "none",
            help: "a unix:// or tcp:// listening address for QEMU's -netdev stream",
            reason: Self.endsWithMachine
        ),
        Option(
            "listen-bess",
            \.links.bess,
            .url,
            unset: "none",
            help: "a unixpacket:// listening address for User Mode Linux",
            reason: Self.endsWithMachine
        ),
        Option(
            "listen-vfkit",
            \.links.vfkit,
            .url,
            unset: "none",
            help: "a unixgram:// listening address for vfkit",
            reason: Self.endsWithMachine
        ),
        Option(
            "listen-vhost",
            \.links.vhost,
            .url,
            unset: "none",
            help: "a unix:// listening address for QEMU's -netdev vhost-user",
            reason: Self.endsWithMachine
        ),
        Option(
            "listen-vpnkit",
            \.links.vpnkit,
            .url,
            unset: "none",
            help: "a unix:// or tcp:// listening address for HyperKit",
            reason: "Any number of VMs can connect and disconnect."
        ),
        Option(
            "listen-stdio",
            \.links.stdio,
            .anything("ANY"),
            unset: "no",
            help: "exchange frames on standard input and output; any value enables it",
            reason: "One VM; its link closes at the end of standard input."
        ),
    ]

    private static let addressing = [
        Option(
            "mtu",
            \.mtu,
            .integer(-(1 << 31)...(1 << 31 - 1), "OCTETS"),
            unset: "0",
            help: "the MTU; 0 for the file's value, or 1500",
            reason: "Guests learn it by DHCP."
        ),
        Option(
            "subnet",
            \.subnet,
            .anything("CIDR"),
            help: "the virtual network's subnet",
            reason: "The file overrides it."
        ),
        Option(
            "gatewayIP",
            \.gateway,
            .anything("ADDRESS"),
            unset: "the first usable address",
            help: "the gateway's address",
            reason: "The file overrides it."
        ),
        Option(
            "deviceIP",
            \.device,
            .anything("ADDRESS"),
            unset: "the second usable address",
            help: "the default guest's address",
            reason: "The file overrides it."
        ),
        Option(
            "hostIP",
            \.host,
            .anything("ADDRESS"),
            unset: "the last usable address",
            help: "the address that leads to the host's 127.0.0.1",
            reason: "The file overrides it."
        ),
        .cloudMetadata("ec2-metadata-access", \.allowsMetadata),
        .multicastDNS(\.usesMulticastDNS),
        .isolate(\.isolatesGuests),
    ]

    private static let ipv6 = Option.ipv6(mode: \.ipv6, prefix: \.prefixChoice)

    private static let forwards = [
        Option(
            "ssh-port",
            \.sshPort,
            .integer(-(1 << 31)...(1 << 31 - 1), "PORT"),
            help: "the port of 127.0.0.1 to forward to the guest's SSH server; -1 for none",
            reason: "From 1024 to 65535, and only without --config."
        ),
        Option(
            "forward-sock",
            repeating: \.forwardSockets,
            .anything("PATH"),
            unset: "none",
            help: "a unix socket on the host to forward to one in the guest over SSH",
            reason:
                "The first one belongs to the first --forward-dest, -user and -identity, and so on."
        ),
        Option(
            "forward-dest",
            repeating: \.forwardDestinations,
            .anything("PATH"),
            unset: "none",
            help: "the unix socket in the guest",
            reason: "One per --forward-sock."
        ),
        Option(
            "forward-user",
            repeating: \.forwardUsers,
            .anything("NAME"),
            unset: "none",
            help: "the user to log in as",
            reason: "One per --forward-sock."
        ),
        Option(
            "forward-identity",
            repeating: \.forwardIdentities,
            .anything("FILE"),
            unset: "none",
            help: "the private key file to log in with",
            reason: "One per --forward-sock."
        ),
    ]

    private static var logging: [Option<GVProxySettings>] {
        let pcap = Option(
            "pcap",
            \.pcap,
            .optionalPath,
            unset: "no capture",
            help: "write every frame of the gateway's port to a file",
            reason: "The format is pcap. Only without --config."
        )
        let logFile = Option(
            "log-file",
            \.common.logFile,
            .optionalPath,
            unset: "standard error",
            help: "the file to append log lines to",
            reason: "SIGHUP reopens the file, for log rotation."
        )
        // gvproxy has its own --config and --log-file.
        return [pcap, logFile] + Option.common.filter { !["config", "logfile"].contains($0.name) }
    }
}

extension ValueSyntax where Value == String {
    /// Any text, including an empty one.
    static func anything(_ placeholder: String) -> ValueSyntax {
        ValueSyntax(placeholder: placeholder, expected: "a text", parse: { $0 }, text: { $0 })
    }

    /// An address with a scheme, validated later.
    static let url = anything("URL")
}
