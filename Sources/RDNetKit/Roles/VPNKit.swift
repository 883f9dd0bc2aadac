/// The settings of `vpnkit`, with that program's names and defaults.
struct VPNKitSettings: RoleSettings {
    var common = CommonSettings()
    var sandbox = SandboxSettings()
    var socket = ""
    var mtu = 1500
    var hostAddress = Self.subnet.host(2)
    var printsVersion = false

    /// VPNKit's network, whose addresses its clients have in their own code.
    fileprivate static let subnet =
        Subnet(address: IPAddress(ipv4: 0xc0a8_4100), prefixLength: 24) ?? .standard

    var conflict: SettingsConflict? {
        let isUsable =
            hostAddress == .anyIPv4
            || Self.subnet.contains(hostAddress)
                && ![Self.subnet.network, Self.subnet.broadcast, Self.subnet.host(1)]
                    .contains(hostAddress)
        return isUsable
            ? nil
            : SettingsConflict(
                option: "host-ip",
                value: "\(hostAddress)",
                expected: "0.0.0.0, or an address of 192.168.65.0/24 from 192.168.65.2"
            )
    }

    /// Where clients connect.
    var link: LinkAddress { .stream(.unix(socket), .vpnkit) }

    /// The virtual network: 192.168.65.1 is the gateway and answers DNS, .2 is the host, and
    /// clients follow.
    var network: NetworkSettings {
        var network = NetworkSettings()
        network.chosenSubnet = Self.subnet
        network.mtu = mtu
        // Its clients configure IPv4 only.
        network.prefixChoice = .off
        network.blocksHostLoopback = hostAddress == .anyIPv4
        network.hostAddress = network.blocksHostLoopback ? Self.subnet.host(2) : hostAddress
        network.guestAddress = Self.subnet.host(3)
        network.hasUsualGuest = false
        network.machines = [:]
        network.knowsMachines = true
        network.access.guestAPI = APIAccess.GuestAPI.none
        return network
    }
}

extension Option<VPNKitSettings> {
    /// The options of `vpnkit`.
    static let vpnkit: [Option<VPNKitSettings>] =
        [
            Option(
                "ethernet",
                \.socket,
                .optionalPath,
                unset: "none",
                help: "the unix socket at which clients connect",
                reason: "It is required."
            ),
            Option(
                "mtu",
                \.mtu,
                .integer(576...65_521, "OCTETS"),
                help: "the clients' MTU",
                reason: "The default is VPNKit's."
            ),
            Option(
                "host-ip",
                \.hostAddress,
                .hostAddress,
                help: "the address that leads to the host's 127.0.0.1, or 0.0.0.0 for none",
                reason: "RootlessKit's --disable-host-loopback is 0.0.0.0."
            ),
            .version(\.printsVersion),
        ] + [Option<SandboxSettings>.sandboxMode.within(\.sandbox)] + common
}

extension ValueSyntax where Value == IPAddress {
    /// An IPv4 address; 0.0.0.0 stands for none.
    fileprivate static let hostAddress = ValueSyntax(
        placeholder: "ADDRESS",
        expected: "an IPv4 address such as 192.168.65.2, or 0.0.0.0",
        parse: { IPAddress($0).flatMap { $0.isIPv4 ? $0 : nil } },
        text: { $0.description }
    )
}

extension Role {
    /// The network of RootlessKit's `--net=vpnkit`, with VPNKit's command line.
    static let vpnkit = Role(
        name: "vpnkit",
        summary: "the network of RootlessKit's --net=vpnkit",
        operands: "",
        options: Option.vpnkit
    ) { start throws(RoleFailure) in
        if start.settings.printsVersion {
            start.surroundings.printOutput("rdnet \(RoleRegistry.version)\n")
            return .success
        }
        guard !start.settings.socket.isEmpty else {
            throw RoleFailure(
                "--ethernet: expected the path of the socket at which clients connect",
                status: .misuse
            )
        }
        return try VPNKitSession.run(start)
    }
}
