/// The settings of `pasta`, with that program's names and defaults.
struct PastaSettings: RoleSettings {
    var common = CommonSettings()
    var sandbox = SandboxSettings()
    // The namespace.
    var networkNamespace = ""
    var userNamespace = ""
    var joinsNetworkOnly = false
    var survivesNamespace = false
    // The interface.
    var configuresInterface = false
    var interface = ""
    var mtu = 65_520
    var mac: MACAddress?
    // The addresses.
    var template = ""
    /// At most one of each family, as all lists of addresses here.
    var addresses: [InterfaceAddress] = []
    var prefixLength: Int?
    var gateways: [IPAddress] = []
    var gatewayMAC = MACAddress.standardGateway
    var asksForGatewayMap = false
    var mapsNoGateway = false
    /// Empty: the gateways', unless `mapsNoGateway` is set.
    var loopbackMaps: [PastaMap] = []
    var guestMaps: [PastaMap] = []
    var isIPv4Only = false
    var isIPv6Only = false
    // Names.
    var resolvers: [IPAddress] = []
    var servers: [PastaServer] = []
    var search: [String] = []
    // Ports.
    var tcpPorts: [PastaPorts] = []
    var udpPorts: [PastaPorts] = []
    var tcpLoopbackPorts: [PastaPorts] = []
    var udpLoopbackPorts: [PastaPorts] = []
    /// Whether local clients of ports reach the namespace's loopback addresses.
    var connectsLoopback = false
    var hasNoTCP = false
    var hasNoUDP = false
    var hasNoEcho = false
    var hasNoLeases = false
    var hasNoNeighborDiscovery = false
    var hasNoRouterAdvertisements = false
    var hasNoDHCPv6 = false
    // The process.
    var staysInForeground = false
    var asksForStandardError = false
    var pidFile = ""
    var captureFile = ""
    var printsVersion = false

    /// Whether only warnings and errors are logged.
    var isQuiet: Bool {
        get { common.leastLogLevel == .warning }
        set { common.leastLogLevel = newValue ? .warning : .info }
    }

    var conflict: SettingsConflict? {
        if !userNamespace.isEmpty, joinsNetworkOnly {
            return SettingsConflict(
                option: "userns",
                value: userNamespace,
                expected: "no --netns-only with it"
            )
        }
        if asksForGatewayMap, mapsNoGateway {
            return SettingsConflict(
                option: "map-gw",
                value: "true",
                expected: "no --no-map-gw with it"
            )
        }
        if asksForStandardError, !common.logFile.isEmpty {
            return SettingsConflict(
                option: "stderr",
                value: "true",
                expected: "no --log-file with it"
            )
        }
        let lists = [
            ("tcp-ports", tcpPorts), ("udp-ports", udpPorts), ("tcp-ns", tcpLoopbackPorts),
            ("udp-ns", udpLoopbackPorts),
        ]
        for (option, list) in lists where list.isContradictory {
            return SettingsConflict(
                option: option,
                value: list.map { "\($0)" }.joined(separator: " "),
                expected: "either none, or auto, or lists of ports"
            )
        }
        return familyConflict
    }

    /// Options of addresses that contradict each other.
    private var familyConflict: SettingsConflict? {
        if isIPv4Only, isIPv6Only {
            return SettingsConflict(
                option: "ipv6-only",
                value: "true",
                expected: "no --ipv4-only with it"
            )
        }
        let lists = [
            ("address", addresses.map(\.address), 0), ("gateway", gateways, 0),
            ("dns-forward", resolvers, 0),
            ("map-host-loopback", loopbackMaps.addresses, loopbackMaps.nones),
            ("map-guest-addr", guestMaps.addresses, guestMaps.nones),
        ]
        for (option, list, nones) in lists {
            let families = Set(list.map(\.isIPv4)).count
            if families < list.count || nones > 0 && nones + list.count > 1 {
                return SettingsConflict(
                    option: option,
                    value: list.map { "\($0)" }.joined(separator: " "),
                    expected: "at most one address of each family"
                )
            }
            if let other = list.first(where: { $0.isIPv4 ? isIPv6Only : isIPv4Only }) {
                return SettingsConflict(
                    option: option,
                    value: "\(other)",
                    expected: "an address of the only family"
                )
            }
        }
        return nil
    }
}

/// The address that leads to one of the host's own addresses.
enum PastaMap: Hashable, Sendable {
    case none
    case address(IPAddress)
}

extension [PastaMap] {
    var addresses: [IPAddress] {
        compactMap { map in if case .address(let address) = map { address } else { nil } }
    }

    fileprivate var nones: Int { count { $0 == .none } }
}

/// A DNS server of `--dns`.
enum PastaServer: Hashable, Sendable {
    case none
    case server(ZonedEndpoint)
}

extension Role {
    /// The network of rootless containers, with pasta's command line.
    static let pasta = Role(
        name: "pasta",
        summary: "gives a namespace the host's own network",
        operands: "[PID | COMMAND [ARGUMENT ...]]",
        options: Option.pasta,
        arranging: { words in
            ShortOptions.separatedBeforeOperands(
                words,
                valued: "lpPmanMgiDStuTUI",
                plain: "dqfeh46",
                valuedNames: Option<PastaSettings>.pastaValued
            )
        }
    ) { start throws(RoleFailure) in
        if start.settings.printsVersion {
            start.surroundings.printOutput("pasta \(RoleRegistry.version)\nrdnet\n")
            return .success
        }
        return try PastaSession.run(start)
    }
}
