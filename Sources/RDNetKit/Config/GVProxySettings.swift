/// The settings of `gvproxy` as its command line gives them.
///
/// Addresses stay texts here: what is wrong with one is said in gvproxy's own words when the configuration is made of them.
struct GVProxySettings: RoleSettings {
    static let defaultSSHPort = 2222

    var common = CommonSettings()
    /// A YAML file; empty for none.
    var file = ""
    var listen: [String] = []
    var services = ""
    var links = GVProxyLinks()
    var pcap = ""
    /// 0 leaves it to the file.
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
    var printsVersion = false

    var conflict: SettingsConflict? { nil }
}

/// Where virtual machines connect, in gvproxy's forms; empty for nowhere.
struct GVProxyLinks: Equatable, Sendable {
    var qemu = ""
    var bess = ""
    var vfkit = ""
    var vpnkit = ""
    /// Anything at all stands for standard input and output.
    var stdio = ""
}

extension Option<GVProxySettings> {
    /// The options of `gvproxy`.
    static let gvproxy: [Option<GVProxySettings>] =
        files + links + addressing + forwards + logging

    private static let files = [
        Option(
            "config",
            \.file,
            .optionalPath,
            unset: "none",
            help: "a YAML file with the whole configuration",
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
            help: "where the process's number is written while it runs",
            reason: "Decimal, without a line end; removed at the end."
        ),
        Option(
            "notification",
            \.notification,
            .url,
            unset: "none",
            help: "unix://PATH of a socket that is told of events",
            reason: """
                One JSON object a connection: ready, connection_established, connection_closed, \
                hypervisor_error. At most 100 wait; nobody there is a warning.
                """
        ),
        Option(
            "version",
            \.printsVersion,
            .boolean,
            reach: .commandLine,
            help: "print the version and end",
            reason: "In the form that callers parse: gvproxy version vX.Y.Z."
        ),
    ]

    private static let endsWithMachine =
        "Any number of virtual machines; the program ends with the last one."

    private static let links = [
        Option(
            "listen",
            repeating: \.listen,
            .url,
            unset: "none",
            help: "where the HTTP API is offered, /connect with it",
            reason: "unix://, tcp:// or vsock://; a unix socket has mode 0600."
        ),
        Option(
            "services",
            \.services,
            .url,
            unset: "none",
            help: "where the HTTP API without /connect is offered",
            reason: "The same forms as --listen."
        ),
        Option(
            "listen-qemu",
            \.links.qemu,
            .url,
            unset: "none",
            help: "unix:// or tcp:// address for QEMU's -netdev stream",
            reason: Self.endsWithMachine
        ),
        Option(
            "listen-bess",
            \.links.bess,
            .url,
            unset: "none",
            help: "unixpacket:// address for User Mode Linux",
            reason: Self.endsWithMachine
        ),
        Option(
            "listen-vfkit",
            \.links.vfkit,
            .url,
            unset: "none",
            help: "unixgram:// address for vfkit",
            reason: Self.endsWithMachine
        ),
        Option(
            "listen-vpnkit",
            \.links.vpnkit,
            .url,
            unset: "none",
            help: "unix:// or tcp:// address for HyperKit",
            reason: "Any number of virtual machines come and go."
        ),
        Option(
            "listen-stdio",
            \.links.stdio,
            .anything("ANY"),
            unset: "no",
            help: "frames on standard input and output, whatever the value",
            reason: "One virtual machine, which ends with the program's input."
        ),
    ]

    private static let addressing = [
        Option(
            "mtu",
            \.mtu,
            .integer(-(1 << 31)...(1 << 31 - 1), "OCTETS"),
            unset: "0",
            help: "the largest IP packet; 0 for the file's, or 1500",
            reason: "Guests are told by DHCP."
        ),
        Option(
            "subnet",
            \.subnet,
            .anything("CIDR"),
            help: "the virtual network",
            reason: "The file is stronger."
        ),
        Option(
            "gatewayIP",
            \.gateway,
            .anything("ADDRESS"),
            unset: "the first usable address",
            help: "the gateway's address",
            reason: "The file is stronger."
        ),
        Option(
            "deviceIP",
            \.device,
            .anything("ADDRESS"),
            unset: "the second usable address",
            help: "the usual guest's address",
            reason: "The file is stronger."
        ),
        Option(
            "hostIP",
            \.host,
            .anything("ADDRESS"),
            unset: "the last usable address",
            help: "the address that stands for the host's 127.0.0.1",
            reason: "The file is stronger."
        ),
        Option(
            "ec2-metadata-access",
            \.allowsMetadata,
            .boolean,
            help: "forward 169.254.0.0/16",
            reason: "A cloud host keeps its credentials there, so it is refused unless asked for."
        ),
    ]

    private static let forwards = [
        Option(
            "ssh-port",
            \.sshPort,
            .integer(-(1 << 31)...(1 << 31 - 1), "PORT"),
            help: "the port of 127.0.0.1 that leads to the guest's SSH; -1 for none",
            reason: "Without --config only: 1024 to 65535."
        ),
        Option(
            "forward-sock",
            repeating: \.forwardSockets,
            .anything("PATH"),
            unset: "none",
            help: "a unix socket of the host that leads to one of the guest's, over SSH",
            reason:
                "Belongs to the --forward-dest, -user and -identity of the same place in their rows."
        ),
        Option(
            "forward-dest",
            repeating: \.forwardDestinations,
            .anything("PATH"),
            unset: "none",
            help: "the guest's unix socket",
            reason: "One for each --forward-sock."
        ),
        Option(
            "forward-user",
            repeating: \.forwardUsers,
            .anything("NAME"),
            unset: "none",
            help: "whom to log in as",
            reason: "One for each --forward-sock."
        ),
        Option(
            "forward-identity",
            repeating: \.forwardIdentities,
            .anything("FILE"),
            unset: "none",
            help: "the private key to log in with",
            reason: "One for each --forward-sock."
        ),
    ]

    private static var logging: [Option<GVProxySettings>] {
        let pcap = Option(
            "pcap",
            \.pcap,
            .optionalPath,
            unset: "no capture",
            help: "the file that gets every frame of the gateway's port",
            reason: "In pcap form. Without --config only."
        )
        let logFile = Option(
            "log-file",
            \.common.logFile,
            .optionalPath,
            unset: "standard error",
            help: "where log lines go",
            reason: "Lines are appended. SIGHUP opens the file again, for log rotation."
        )
        // gvproxy has a --config and a --log-file of its own.
        return [pcap, logFile] + Option.common.filter { !["config", "logfile"].contains($0.name) }
    }
}

extension ValueSyntax where Value == String {
    /// Any text, also none.
    static func anything(_ placeholder: String) -> ValueSyntax {
        ValueSyntax(placeholder: placeholder, expected: "a text", parse: { $0 }, text: { $0 })
    }

    /// An address with a scheme, looked at later.
    static let url = anything("URL")
}
