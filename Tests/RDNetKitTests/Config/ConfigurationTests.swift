import Testing

@testable import RDNetKit

@Suite("configuration")
struct ConfigurationTests {
    /// A machine with at most one file and a few variables.
    private struct Machine {
        var file: String?
        var path = CommonSettings.defaultConfigurationFile
        var variables: [String: String] = [:]

        func inputs(_ arguments: [String]) -> ConfigurationInputs {
            ConfigurationInputs(
                arguments: arguments,
                environment: { variables[$0] },
                readFile: { $0 == path ? file.map { .text($0) } ?? .absent : .absent },
                roles: ["host-switch", "vm-switch", "up"],
                networkKeys: [
                    "subnet", "subnet6", "ipv6", "mtu", "gateway-mac", "guest-mac", "profile",
                ]
            )
        }

        func hostSwitch(_ arguments: String...) throws(ConfigurationError)
            -> Configuration<HostSwitchSettings>
        {
            try Configuration(
                role: "host-switch",
                options: Option.hostSwitch,
                inputs: inputs(arguments)
            )
        }

        func vmSwitch(_ arguments: String...) throws(ConfigurationError)
            -> Configuration<VMSwitchSettings>
        {
            try Configuration(
                role: "vm-switch",
                options: Option.vmSwitch,
                inputs: inputs(arguments)
            )
        }
    }

    private func source<Settings>(
        _ name: String,
        _ value: Int = 0,
        in configuration: Configuration<Settings>
    ) throws -> ValueSource {
        let option = try #require(configuration.options.firstIndex { $0.name == name })
        return configuration.source(of: option, value: value)
    }

    // MARK: Order

    @Test
    func `a stronger source wins: default, network, role, shared variable, own variable, argument`()
        throws
    {
        var machine = Machine()
        var configuration = try machine.hostSwitch()
        #expect(configuration.settings.network.mtu == 1500)
        #expect(try source("mtu", in: configuration) == .defaultValue)

        machine.file = "[network]\nmtu = 2000"
        configuration = try machine.hostSwitch()
        #expect(configuration.settings.network.mtu == 2000)
        #expect(try source("mtu", in: configuration) == .file(path: "/etc/rdnet.conf", line: 2))

        machine.file = "[host-switch]\nmtu = 3000\n[network]\nmtu = 2000"
        configuration = try machine.hostSwitch()
        #expect(configuration.settings.network.mtu == 3000)
        #expect(try source("mtu", in: configuration) == .file(path: "/etc/rdnet.conf", line: 2))

        machine.variables["RDNET_MTU"] = "4000"
        configuration = try machine.hostSwitch()
        #expect(configuration.settings.network.mtu == 4000)
        #expect(try source("mtu", in: configuration) == .environment("RDNET_MTU"))

        machine.variables["RDNET_HOST_SWITCH_MTU"] = "5000"
        configuration = try machine.hostSwitch()
        #expect(configuration.settings.network.mtu == 5000)
        #expect(try source("mtu", in: configuration) == .environment("RDNET_HOST_SWITCH_MTU"))

        configuration = try machine.hostSwitch("-mtu", "6000")
        #expect(configuration.settings.network.mtu == 6000)
        #expect(try source("mtu", in: configuration) == .argument)
    }

    @Test func `of one source's values for one option the last wins`() throws {
        let machine = Machine(file: "[network]\nmtu = 2000\nmtu = 3000")
        #expect(try machine.hostSwitch().settings.network.mtu == 3000)
        #expect(try machine.hostSwitch("-mtu=600", "-mtu=700").settings.network.mtu == 700)
    }

    @Test func `a repeatable option's values come from the strongest source that has any`() throws {
        var machine = Machine(file: "[host-switch]\napi = unix:///a\napi = unix:///b")
        var configuration = try machine.hostSwitch()
        #expect(configuration.settings.network.apiAddresses == [.unix("/a"), .unix("/b")])
        #expect(try source("api", 1, in: configuration) == .file(path: "/etc/rdnet.conf", line: 3))

        machine.variables["RDNET_HOST_SWITCH_API"] = " unix:///c \t unix:///d"
        configuration = try machine.hostSwitch()
        #expect(configuration.settings.network.apiAddresses == [.unix("/c"), .unix("/d")])

        configuration = try machine.hostSwitch("--api", "unix:///e", "--api=unix:///f")
        #expect(configuration.settings.network.apiAddresses == [.unix("/e"), .unix("/f")])
    }

    @Test func `an option of the role has only the role's own variable`() throws {
        let machine = Machine(variables: ["RDNET_TAP_INTERFACE": "x", "RDNET_LOG_FORMAT": "json"])
        let settings = try machine.vmSwitch().settings
        #expect(settings.tapInterface == "eth0")
        #expect(settings.common.logFormat == .json)
    }

    @Test func `the guest's address of [network] is vm-switch's tap-mac-address`() throws {
        let machine = Machine(file: "[network]\nguest-mac = 02:00:00:00:00:01")
        let expected = MACAddress("02:00:00:00:00:01")
        #expect(try machine.vmSwitch().settings.tapMACAddress == expected)
        #expect(try machine.hostSwitch().settings.network.guestMAC == expected)
        #expect(try machine.vmSwitch("-tap-mac-address", "").settings.tapMACAddress == nil)
    }

    @Test func `-debug false is true, and an ignored word`() throws {
        let configuration = try Machine().vmSwitch("-debug", "false", "-vsock-fd", "9")
        #expect(configuration.settings.common.logLevel == .debug)
        #expect(configuration.settings.vsockDescriptor == 3)
        #expect(configuration.operands == ["false", "-vsock-fd", "9"])
    }

    @Test func `up's command is everything after the options`() throws {
        let configuration = try Configuration(
            role: "up",
            options: Option.up,
            inputs: Machine().inputs(["-mtu", "0x5dc", "--", "curl", "-s", "--", "x"])
        )
        #expect(configuration.operands == ["curl", "-s", "--", "x"])
        #expect(configuration.settings.network.mtu == 1500)
    }

    // MARK: File

    @Test func `a file that is named is read instead of the default one`() throws {
        let machine = Machine(file: "[network]\nmtu = 2000", path: "/x.conf")
        #expect(try machine.hostSwitch().settings.network.mtu == 1500)
        #expect(try machine.hostSwitch("-config", "/x.conf").settings.network.mtu == 2000)
        #expect(throws: ConfigurationError.unreadableFile("/y: no such configuration file")) {
            try machine.hostSwitch("-config", "/y")
        }
    }

    @Test func `a file that cannot be read is an error even when it is the default one`() {
        var inputs = Machine().inputs([])
        inputs.readFile = { .unreadable("open \($0): Permission denied") }
        let expected = ConfigurationError.unreadableFile("open /etc/rdnet.conf: Permission denied")
        #expect(throws: expected) {
            try Configuration(role: "up", options: Option.up, inputs: inputs)
        }
    }

    @Test func `another role's section is left alone`() throws {
        let machine = Machine(file: "[vm-switch]\nanything = at all\n[up]\n[network]\nmtu = 600")
        #expect(try machine.hostSwitch().settings.network.mtu == 600)
    }

    @Test func `help is given whatever file and environment hold`() throws {
        let machine = Machine(file: "nonsense", variables: ["RDNET_MTU": "nonsense"])
        #expect(try machine.hostSwitch("-h").asksForHelp)
    }

    // MARK: Errors

    struct Complaint: Sendable {
        var file: String?
        var variables: [String: String] = [:]
        var arguments: [String] = []
        var sentence: String
    }

    @Test(
        "an error names the place, the value and what was expected",
        arguments: [
            Complaint(
                file: "[network]\n\nmtu = 100",
                sentence: "/etc/rdnet.conf:3: mtu: \"100\" is not valid; "
                    + "expected a whole number from 576 to 65520"
            ),
            Complaint(
                file: "[network]\nmut = 1500",
                sentence: "/etc/rdnet.conf:2: section [network] has no key mut; did you mean mtu?"
            ),
            Complaint(
                file: "[network]\ntap-interface = eth0",
                sentence: "/etc/rdnet.conf:2: section [network] has no key tap-interface"
            ),
            Complaint(
                file: "[host-switch]\nconfig = /x",
                sentence: "/etc/rdnet.conf:2: section [host-switch] has no key config"
            ),
            Complaint(
                file: "[hostswitch]",
                sentence: "/etc/rdnet.conf:1: there is no section [hostswitch]; "
                    + "did you mean [host-switch]?"
            ),
            Complaint(
                file: "mtu = 1500",
                sentence: "/etc/rdnet.conf:1: mtu precedes the first section; "
                    + "expected [network] or [ROLE]"
            ),
            Complaint(
                file: "[up]\nwhat",
                sentence: "/etc/rdnet.conf:2: \"what\" is not valid; "
                    + "expected [SECTION], KEY = VALUE or # comment"
            ),
            Complaint(
                variables: ["RDNET_HOST_SWITCH_DEBUG": "yes"],
                sentence: "environment variable RDNET_HOST_SWITCH_DEBUG: \"yes\" is not valid; "
                    + "expected true or false (also t, f, 1, 0)"
            ),
            Complaint(
                arguments: ["-subnet", "192.168.127.0"],
                sentence: "--subnet: \"192.168.127.0\" is not valid; expected an IPv4 network "
                    + "such as 192.168.127.0/24, with a prefix of 8 to 30 bits"
            ),
            Complaint(
                arguments: ["-subnet"],
                sentence: "--subnet needs a value; expected an IPv4 network "
                    + "such as 192.168.127.0/24, with a prefix of 8 to 30 bits"
            ),
            Complaint(
                arguments: ["--subent", "x"],
                sentence: "unknown option --subent; did you mean --subnet?"
            ),
            Complaint(
                arguments: ["---mtu"],
                sentence: "\"---mtu\" is not an option; expected -NAME, --NAME or --NAME=VALUE"
            ),
            Complaint(
                file: "[host-switch]\nstatic-lease = 02:00:00:00:00:01=192.168.127.1",
                sentence: "/etc/rdnet.conf:2: static-lease: "
                    + "\"02:00:00:00:00:01=192.168.127.1\" is not valid; expected an address of "
                    + "192.168.127.0/24 that is not the network's, the gateway's (192.168.127.1), "
                    + "the host's (192.168.127.254) or the broadcast address"
            ),
        ]
    )
    func complaint(row: Complaint) {
        let machine = Machine(file: row.file, variables: row.variables)
        do throws(ConfigurationError) {
            _ = try Configuration(
                role: "host-switch",
                options: Option.hostSwitch,
                inputs: machine.inputs(row.arguments)
            )
            Issue.record("accepted")
        } catch {
            #expect(error.description == row.sentence)
        }
    }

    // MARK: --print-config

    @Test func `the printed configuration says each value and its source`() throws {
        let machine = Machine(
            file: "[network]\nmtu = 2000",
            variables: ["RDNET_HOST_SWITCH_DEBUG": "1"]
        )
        let printed = try machine.hostSwitch("--api", "unix:///a", "--api", "unix:///b").printed
        let lines = printed.split(separator: "\n").map {
            $0.split(separator: " ").joined(separator: " ")
        }
        for expected in [
            "[network]", "[host-switch]", "subnet = 192.168.127.0/24 # default",
            "mtu = 2000 # /etc/rdnet.conf:2", "debug = true # environment RDNET_HOST_SWITCH_DEBUG",
            "api = unix:///a # argument", "api = unix:///b # argument",
            "# port-forward: none # default",
        ] {
            #expect(lines.contains(expected), "\(expected)")
        }
    }

    @Test func `the printed configuration, read as a file, says the same`() throws {
        let arguments = [
            "-subnet", "10.1.0.0/16", "--static-lease", "02:00:00:00:00:01=10.1.0.9", "--mtu=9000",
            "--port-forward", "127.0.0.1:80=10.1.0.9:80", "--link", "qemu+unix:///q", "-debug",
            "--link", "vsock://:6656", "--dns-server", "[2620:fe::fe]:5353", "--dns-search", "a.b",
            "--capture", "/tmp/c.pcap", "--lease-time", "60", "-allow-link-local", "--logfile",
            "/l", "--vm", "3-66", "--vm", "firecracker+unix:///a/", "--vsock-listen-port", "6657",
            "--limit-rate", "10mbit/50mbit", "--limit-flows", "99",
        ]
        let first = try Configuration(
            role: "host-switch",
            options: Option.hostSwitch,
            inputs: Machine().inputs(arguments)
        )
        let second = try Machine(file: first.printed).hostSwitch()
        let unset = ["api", "guest-bind", "allow", "deny", "api-path", "port-fs", "metrics"]
        for option in Option.hostSwitch where option.reach != .commandLine {
            #expect(option.values(first.settings) == option.values(second.settings))
            #expect(!option.values(second.settings).isEmpty || unset.contains(option.name))
        }
    }
}
