import Testing

@testable import RDNetKit

@Suite("pasta's addresses")
struct PastaNetworkTests {
    private static let uplink = HostUplink(
        interface: "eth0",
        address: InterfaceAddress(address: IPAddress(ipv4: 0xc000_020a), prefixLength: 24),
        router: IPAddress(ipv4: 0xc000_0201)
    )
    private static let uplinkIPv6 = HostUplink(
        interface: "eth6",
        address: InterfaceAddress(
            address: IPAddress(high: 0x2001_0db8_0001_0000, low: 0x10),
            prefixLength: 64
        ),
        router: IPAddress(high: 0xfe80 << 48, low: 0x99)
    )
    private static let onlyIPv4 = PastaNetwork.Uplinks(ipv4: uplink)
    private static let both = PastaNetwork.Uplinks(ipv4: uplink, ipv6: uplinkIPv6)

    private func configuration(
        _ arguments: [String]
    ) throws -> Configuration<PastaSettings> {
        let inputs = ConfigurationInputs(
            arguments: arguments,
            environment: { _ in nil },
            readFile: { _ in .absent },
            roles: [],
            networkKeys: []
        )
        return try Configuration(role: "pasta", options: Option.pasta, inputs: inputs)
    }

    private func settings(_ arguments: [String]) throws -> PastaSettings {
        try configuration(arguments).settings
    }

    @Test(
        "are the host's, unless options say otherwise",
        arguments: [
            ([], "eth0", "192.0.2.10/24", "192.0.2.1"),
            (["-I", "tap0"], "tap0", "192.0.2.10/24", "192.0.2.1"),
            (["--address=10.0.2.100"], "eth0", "10.0.2.100/8", "192.0.2.1"),
            (["--address=172.16.0.9"], "eth0", "172.16.0.9/16", "192.0.2.1"),
            (["--address=192.168.7.9"], "eth0", "192.168.7.9/24", "192.0.2.1"),
            (["--address=192.0.2.77"], "eth0", "192.0.2.77/24", "192.0.2.1"),
            (["-a", "10.0.2.100/28"], "eth0", "10.0.2.100/28", "192.0.2.1"),
            (["-n", "255.255.0.0"], "eth0", "192.0.2.10/16", "192.0.2.1"),
            (
                ["--address=10.0.2.100", "--netmask=24", "--gateway=10.0.2.2"], "eth0",
                "10.0.2.100/24", "10.0.2.2"
            ),
        ] as [([String], String, String, String)]
    )
    func addresses(
        arguments: [String],
        interface: String,
        address: String,
        gateway: String
    ) throws {
        let plan = try PastaNetwork(settings(arguments), Self.onlyIPv4)
        #expect(plan.interface == interface && plan.ipv6 == nil)
        let ipv4 = try #require(plan.ipv4)
        #expect("\(ipv4.address)" == address)
        #expect("\(ipv4.router)" == gateway)
        let network = plan.network
        #expect(network.guest == ipv4.address.address && network.gateway == ipv4.router)
        #expect(network.subnet.contains(network.guest))
    }

    @Test func `a host without a default route has a network with the namespace alone`() throws {
        let plan = try PastaNetwork(settings([]), PastaNetwork.Uplinks())
        #expect(plan.interface == "tap0" && plan.ipv6 == nil)
        let ipv4 = try #require(plan.ipv4)
        #expect("\(ipv4.address) \(ipv4.router)" == "169.254.2.1/16 169.254.2.2")
    }

    @Test(
        "have both families on a host with both, unless options say otherwise",
        arguments: [
            ([], "eth0", "192.0.2.10/24", "2001:db8:1::10/64 fe80::99"),
            (["-4"], "eth0", "192.0.2.10/24", nil),
            (["-6"], "eth6", nil, "2001:db8:1::10/64 fe80::99"),
            (["-m", "1279"], "eth0", "192.0.2.10/24", nil),
            (["-a", "2001:db8:7::7"], "eth0", "192.0.2.10/24", "2001:db8:7::7/64 fe80::99"),
            (
                ["-a", "2001:db8:7::7/80", "-a", "10.0.0.7/24", "-g", "2001:db8:7::1"], "eth0",
                "10.0.0.7/24", "2001:db8:7::7/80 2001:db8:7::1"
            ),
        ] as [([String], String, String?, String?)]
    )
    func families(arguments: [String], interface: String, ipv4: String?, ipv6: String?) throws {
        let settings = try settings(arguments)
        #expect(settings.conflict == nil)
        let plan = try PastaNetwork(settings, Self.both)
        #expect(plan.interface == interface)
        #expect(plan.ipv4.map { "\($0.address)" } == ipv4)
        #expect(plan.ipv6.map { "\($0.address) \($0.router)" } == ipv6)
        let engine = GatewayPlan(plan.network)
        #expect(engine.hasIPv4 == (ipv4 != nil) && (engine.ipv6 == nil) == (ipv6 == nil))
        #expect(plan.guest.isIPv4 == (ipv4 != nil))
    }

    @Test func `IPv6 alone needs an address of the host or of an option`() throws {
        #expect(throws: RoleFailure.self) {
            try PastaNetwork(settings(["-6"]), Self.onlyIPv4)
        }
        #expect(throws: RoleFailure.self) {
            try PastaNetwork(settings(["-6"]), Self.both, hasIPv6: false)
        }
        let chosen = try PastaNetwork(settings(["-6", "-a", "fd00::5"]), Self.onlyIPv4)
        #expect(chosen.ipv6.map { "\($0.address) \($0.router)" } == "fd00::5/64 fe80::1")
    }

    @Test(
        "the meaning of IPv6 addresses",
        arguments: [
            ([], "fe80::99", .host(.loopbackIPv6)),
            ([], "2001:db8:1::1", .host(IPAddress(high: 0x2001_0db8_0001_0000, low: 1))),
            ([], "2001:db8:1::10", .nowhere), ([], "fe80::1", .nowhere), ([], "::1", .nowhere),
            (["--no-map-gw"], "fe80::99", .gateway),
            (["-g", "2001:db8:1::1"], "2001:db8:1::1", .host(.loopbackIPv6)),
            (["-g", "2001:db8:1::1"], "fe80::1", .gateway),
            (["--map-host-loopback", "fd00::7"], "fd00::7", .host(.loopbackIPv6)),
            (["--map-host-loopback", "fd00::7"], "fe80::99", .gateway),
            (["--map-host-loopback", "none"], "fe80::99", .gateway),
            (
                ["--map-guest-addr=fd00::8"], "fd00::8",
                .host(IPAddress(high: 0x2001_0db8_0001_0000, low: 0x10))
            ),
            (["--dns-forward", "fd00::9"], "fd00::9", .gateway),
            ([], "fd00:ec2::254", .refused),
        ] as [([String], String, GatewayPlan.Destination)]
    )
    func meanings(arguments: [String], address: String, meaning: GatewayPlan.Destination) throws {
        let plan = GatewayPlan(try PastaNetwork(settings(arguments), Self.both).network)
        let address = try #require(IPAddress(address))
        #expect(plan.destination(of: address) == meaning)
        #expect(
            plan.isOwn(address)
                == (meaning == .gateway || address.isLinkLocal && meaning != .nowhere
                    || meaning == .host(.loopbackIPv6)
                    || arguments.contains("--map-guest-addr=fd00::8"))
        )
    }

    @Test(
        "options that contradict each other",
        arguments: [
            (["-4", "-6"], "ipv6-only"), (["-a", "10.0.0.1", "-a", "10.0.0.2"], "address"),
            (["-g", "fe80::1", "-g", "fe80::2"], "gateway"), (["-4", "-g", "fe80::1"], "gateway"),
            (["-6", "--dns-forward", "10.0.0.3"], "dns-forward"),
            (["--map-guest-addr", "none", "--map-guest-addr", "fd00::1"], "map-guest-addr"),
        ]
    )
    func contradictions(arguments: [String], option: String) throws {
        do {
            let settings = try settings(arguments)
            #expect(settings.conflict?.option == option)
        } catch {
            #expect("\(error)".contains(option))
        }
    }

    @Test(
        "an address of a point-to-point link is in a network in which it belongs to a host",
        arguments: [
            ("10.0.0.5/32", "10.0.0.5/30"), ("10.0.0.4/31", "10.0.0.4/29"),
            ("10.0.0.7/32", "10.0.0.7/28"), ("10.0.0.0/32", "nil"), ("10.0.0.5/24", "10.0.0.5/24"),
        ]
    )
    func smallNetworks(address: String, subnet: String) throws {
        let settings = try settings(["-a", address])
        do throws(RoleFailure) {
            let network = try PastaNetwork(settings, Self.onlyIPv4).network
            #expect("\(network.subnet)" == subnet)
        } catch {
            #expect(subnet == "nil" && error.status == .misuse)
        }
    }

    @Test(
        "leads to the host's 127.0.0.1 by one address at most",
        arguments: [
            ([], "192.0.2.1"), (["--no-map-gw"], nil), (["--map-gw"], "192.0.2.1"),
            (["--map-host-loopback", "192.0.2.77"], "192.0.2.77"),
            (["--no-map-gw", "--map-host-loopback=169.254.1.3"], "169.254.1.3"),
            (["--map-host-loopback", "none"], nil),
        ] as [([String], String?)]
    )
    func loopback(arguments: [String], address: String?) throws {
        let network = try PastaNetwork(settings(arguments), Self.onlyIPv4).network
        let plan = GatewayPlan(network)
        let mapped = plan.translations.filter { $0.host == .loopbackIPv4 }.map(\.seen)
        #expect(mapped.map { "\($0)" } == (address.map { [$0] } ?? []))
        if address != "192.0.2.1" {
            #expect(plan.destination(of: network.gateway) == .host(network.gateway))
        }
    }

    @Test func `what Podman 5 passes`() throws {
        let settings = try settings([
            "--config-net", "--pid", "/run/p", "--dns-forward", "169.254.1.1", "-t", "none", "-u",
            "none", "-T", "none", "-U", "none", "--no-map-gw", "--quiet", "--netns", "/run/n",
            "--map-guest-addr", "169.254.1.2",
        ])
        #expect(settings.conflict == nil && settings.configuresInterface)
        #expect(settings.common.logLevel == .warning && settings.pidFile == "/run/p")
        let network = try PastaNetwork(settings, Self.onlyIPv4).network
        let plan = GatewayPlan(network)
        #expect(plan.destination(of: IPAddress(ipv4: 0xa9fe_0101)) == .gateway)
        #expect(
            plan.destination(of: IPAddress(ipv4: 0xa9fe_0102))
                == .host(Self.uplink.address.address)
        )
        #expect(network.servesNames)
        let target = try PastaTarget(settings, [], shell: "sh")
        #expect(target.existing?.network == "/run/n" && target.existing?.userNamespace == nil)
        #expect(target.file == "/run/n" && target.command.isEmpty)
    }

    @Test(
        "the namespace is named by a PID, a path, a name, or a command",
        arguments: [
            (["42"], "/proc/42/ns/user", "/proc/42/ns/net", "", 42),
            (["--netns-only", "42"], nil, "/proc/42/ns/net", "", 42),
            (["--userns=/u", "42"], "/u", "/proc/42/ns/net", "", 42),
            (["--netns", "blue"], nil, "/run/netns/blue", "", nil),
            (["--netns", "/proc/7/ns/net"], nil, "/proc/7/ns/net", "", 7),
            (["--userns=/u", "--netns=/n/x"], "/u", "/n/x", "", nil),
            ([], nil, nil, "sh", nil),
            (["--", "42", "43"], nil, nil, "42 43", nil),
            (["ls", "-la"], nil, nil, "ls -la", nil),
        ] as [([String], String?, String?, String, Int32?)]
    )
    func targets(
        arguments: [String],
        user: String?,
        network: String?,
        command: String,
        process: Int32?
    ) throws {
        let configuration = try configuration(arguments)
        let (settings, operands) = (configuration.settings, configuration.operands)
        let target = try PastaTarget(settings, operands, shell: "sh")
        #expect(target.existing?.userNamespace == user)
        #expect(target.existing?.network == network)
        #expect(target.command.joined(separator: " ") == command)
        #expect(target.process == process)
        #expect((target.file == nil) == (process != nil || network == nil))
    }
}
