import Testing

@testable import RDNetKit

@Suite("pasta's addresses")
struct PastaNetworkTests {
    private static let uplink = HostUplink(
        interface: "eth0",
        address: InterfaceAddress(address: IPAddress(ipv4: 0xc000_020a), prefixLength: 24),
        router: IPAddress(ipv4: 0xc000_0201)
    )

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
        let plan = try PastaNetwork(settings(arguments), Self.uplink)
        #expect(plan.interface == interface)
        #expect("\(plan.address)" == address)
        #expect("\(plan.gateway)" == gateway)
        let network = plan.network
        #expect(network.guest == plan.address.address && network.gateway == plan.gateway)
        #expect(network.subnet.contains(network.guest))
    }

    @Test func `a host without a default route has a network with the namespace alone`() throws {
        let plan = try PastaNetwork(settings([]), nil)
        #expect(plan.interface == "tap0")
        #expect("\(plan.address) \(plan.gateway)" == "169.254.2.1/16 169.254.2.2")
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
            let network = try PastaNetwork(settings, Self.uplink).network
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
        let network = try PastaNetwork(settings(arguments), Self.uplink).network
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
        let network = try PastaNetwork(settings, Self.uplink).network
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
