import Testing

@testable import RDNetKit

/// `gvproxy`'s command line and file, and the configuration that they yield together.
@Suite("gvproxy's configuration")
struct GVProxyConfigurationTests {
    private func settings(_ arguments: [String]) throws -> GVProxySettings {
        let inputs = ConfigurationInputs(
            arguments: arguments,
            environment: { _ in nil },
            readFile: { _ in .absent },
            roles: ["gvproxy"],
            networkKeys: []
        )
        return try Configuration(role: "gvproxy", options: Option.gvproxy, inputs: inputs).settings
    }

    private func configure(
        _ arguments: [String],
        _ yaml: String? = nil,
        existing: [String] = []
    ) throws -> GVProxyConfiguration {
        let file = try yaml.map { try GVProxyFile($0) }
        let machine = GVProxyConfiguration.Machine(
            exists: existing.contains,
            isOccupied: existing.contains
        )
        return try GVProxyConfiguration(try settings(arguments), file, machine)
    }

    @Test("without anything it is the usual network")
    func hasDefaults() throws {
        let result = try configure([])
        #expect(result.listen.isEmpty && result.services.isEmpty && result.links == GVProxyLinks())
        #expect(result.network.mtu == 1_500)
        #expect("\(result.network.gateway)" == "192.168.127.1")
        #expect("\(result.network.guest)" == "192.168.127.2")
        #expect("\(result.network.hostAlias)" == "192.168.127.254")
        #expect(result.network.gatewayMAC == .standardGateway)
        #expect(result.sshPort == 2_222)
        #expect(result.zones.map(\.name) == ["containers.internal.", "docker.internal."])
        #expect(result.zones[0].records.map(\.address) == ["192.168.127.1", "192.168.127.254"])
        #expect(result.network.searchesHostDomains)
        #expect(result.network.effectiveStaticLeases.map(\.mac) == [.standardGuest])
        #expect(result.network.machines.values.map(\.description) == ["5a:94:ef:e4:0c:ee"])
        #expect(result.logLevel == .info)
    }

    @Test("guests are kept from each other on request")
    func isolates() throws {
        #expect(try !configure([]).network.isolatesGuests)
        #expect(try configure(["-isolate"]).network.isolatesGuests)
        #expect(try configure(["--isolate"], "stack: {mtu: 4000}").network.isolatesGuests)
    }

    @Test("with a file the usual guest, the zones and the SSH port are the file's own")
    func dropsDefaults() throws {
        let result = try configure(["-ssh-port", "80", "-pcap", "x.pcap"], "stack: {mtu: 4000}")
        #expect(result.sshPort == nil)
        #expect(result.zones.isEmpty)
        #expect(result.network.dnsSearch == [] && !result.network.searchesHostDomains)
        #expect(result.network.effectiveStaticLeases.isEmpty)
        #expect(result.network.machines.isEmpty)
        #expect(result.network.captureFile.isEmpty)
        #expect(result.network.mtu == 4_000)
    }

    @Test("the whole schema is read")
    func readsFile() throws {
        let result = try configure(
            [],
            """
            listen: [unix:///tmp/a.sock]
            log-level: WARN
            pid-file: /tmp/p   # a comment
            log-file: /tmp/l
            services: tcp://127.0.0.1:7777
            notification: unix:///tmp/n
            unknown: {anything: [1, 2]}
            interfaces:
              vfkit: unixgram:///tmp/v
            forwards:
              - socket: /tmp/s
                dest: /run/podman/podman.sock
                user: core
                identity: /key
            stack:
              debug: false
              capture-file: c.pcap
              mtu: 9000
              subnet: 10.1.0.0/16
              gatewayIP: 10.1.0.5
              deviceIP: 10.1.0.6
              hostIP: 10.1.0.7
              gatewayMacAddress: 02:00:00:00:00:01
              dns:
                - name: my.zone.
                  defaultIP: 10.1.9.9
                  records:
                    - {name: a, ip: 10.1.0.9}
                    - {regexp: "^b.*", ip: 10.1.0.10}
              dnsSearchDomains: [x.test]
              forwards:
                ":2222": 10.1.0.6:22
                udp:127.0.0.1:53: 10.1.0.6:53
              nat: {10.1.0.7: 127.0.0.1, 10.1.0.8: 10.9.9.9}
              gatewayVirtualIPs: [10.1.0.7, 10.1.0.8]
              dhcpStaticLeases: {10.1.0.6: "5A:94:EF:E4:0C:EE"}
              vpnKitUUIDMacAddresses: {abc: "02:00:00:00:00:02"}
              ec2MetadataAccess: true
            """,
            existing: ["/key"]
        )
        #expect(result.listen == ["unix:///tmp/a.sock"])
        #expect(result.services == "tcp://127.0.0.1:7777")
        #expect((result.pidFile, result.logFile) == ("/tmp/p", "/tmp/l"))
        #expect(result.notification == "/tmp/n" && result.logLevel == .warning)
        #expect(result.links.vfkit == "unixgram:///tmp/v")
        #expect(result.socketForwards.map(\.user) == ["core"])
        #expect("\(result.network.gateway)" == "10.1.0.5")
        #expect("\(result.network.hostAlias)" == "10.1.0.7")
        #expect(result.network.captureFile == "c.pcap" && result.network.allowsLinkLocal)
        #expect(result.zones[0].records.map(\.pattern) == ["", "^b.*"])
        #expect(result.network.dnsSearch == ["x.test"])
        #expect(result.network.machines.keys.sorted() == ["abc"])
        #expect(result.forwards.map(\.key) == [":2222", "udp:127.0.0.1:53"])
        #expect(result.network.effectiveStaticLeases.map(\.mac) == [.standardGuest])
        let plan = GatewayPlan(result.network)
        let second = try #require(IPAddress("10.1.0.8"))
        let behind = try #require(IPAddress("10.9.9.9"))
        #expect(plan.destination(of: second) == .host(behind))
        #expect(plan.isOwn(second) && !plan.isGuest(second))
        #expect(plan.seenByGuests(behind) == second)
    }

    @Test("the command line is stronger, but for the network's addresses")
    func prefers() throws {
        let file = """
            listen: [unix:///tmp/a]
            pid-file: /a
            log-level: error
            notification: /a
            interfaces: {qemu: "unix:///tmp/a"}
            forwards: [{socket: /a, dest: /a, user: a, identity: /a}]
            stack: {subnet: 10.0.0.0/24, mtu: 1400}
            """
        let result = try configure(
            [
                "-listen", "unix:///tmp/b", "-pid-file=/b", "-debug", "-mtu", "1300",
                "-notification", "unix:///b", "-listen-qemu", "tcp://127.0.0.1:1",
                "-subnet", "10.5.0.0/24", "-gatewayIP", "10.0.0.9",
                "-forward-sock", "/b", "-forward-dest", "/b", "-forward-user", "b",
                "-forward-identity", "/b",
            ],
            file,
            existing: ["/a", "/b"]
        )
        #expect(result.listen == ["unix:///tmp/b"] && result.pidFile == "/b")
        #expect(result.logLevel == .debug && result.network.mtu == 1_300)
        #expect(result.notification == "/b" && result.links.qemu == "tcp://127.0.0.1:1")
        #expect("\(result.network.subnet)" == "10.0.0.0/24")
        #expect("\(result.network.gateway)" == "10.0.0.9")
        #expect(result.socketForwards.map(\.socket) == ["/a", "/b"])
    }

    @Test(
        "what cannot be is said in gvproxy's words",
        arguments: [
            (["-subnet", "foo"], "failed to parse subnet: netip.ParsePrefix(\"foo\"): no '/'"),
            (
                ["-subnet", "192.168.1.0/30"],
                "failed to identify usable gateway IP address in subnet: subnet too small"
            ),
            (
                ["-subnet", "fd00::/64"],
                "failed to parse subnet: netip.ParsePrefix(\"fd00::/64\"): expected an IPv4 network"
            ),
            (
                ["-gatewayIP", "xyz"],
                "failed to validate configuration IPs: invalid IP address: xyz"
            ),
            (
                ["-hostIP", "1.2.3.4"],
                "failed to validate configuration IPs: IP (1.2.3.4) not in subnet (192.168.127.0/24)"
            ),
            (
                ["-deviceIP", "192.168.127.0"],
                "failed to validate configuration IPs: IP must not be address of subnet: 192.168.127.0"
            ),
            (
                ["-deviceIP", "192.168.127.255"],
                "failed to validate configuration IPs: IP must not be broadcast address: 192.168.127.255"
            ),
            (
                ["-deviceIP", "192.168.127.1"],
                "failed to validate configuration IPs: IP addresses need to be distinct"
            ),
            (["-notification", "/x"], "notification listen address must be unix:// address"),
            (["-listen-qemu", "unix:///there"], "\"/there\" already exists"),
            (["-listen-bess", "unixpacket:///there"], "\"/there\" already exists"),
            (["-listen-vfkit", "unixgram:///there"], "\"/there\" already exists"),
            (["-listen-bess", "unix:///x"], "bess listen address must be unixpacket:// address"),
            (["-listen-vfkit", "unix:///x"], "vfkit listen address must be unixgram:// address"),
            (
                ["-listen-qemu", "unix:///x", "-listen-vpnkit", "unix:///y"],
                "cannot use qemu and vpnkit protocol at the same time"
            ),
            (
                ["-listen-bess", "unixpacket:///x", "-listen-vpnkit", "unix:///y"],
                "cannot use bess and vpnkit protocol at the same time"
            ),
            (
                ["-listen-qemu", "unix:///x", "-listen-bess", "unixpacket:///y"],
                "cannot use qemu and bess protocol at the same time"
            ),
            (["-ssh-port", "0"], "ssh-port value must be between 1024 and 65535"),
            (["-ssh-port", "-2"], "ssh-port value must be between 1024 and 65535"),
            (["-ssh-port", "65536"], "ssh-port value must be between 1024 and 65535"),
            (["-mtu", "-1"], "mtu is out of range: expected 576 to 65520, found -1"),
            (
                ["-forward-sock", "/a", "-forward-user", "b"],
                """
                --forward-sock, --forward-dest, --forward-user, and --forward-identity must all be \
                specified together, the same number of times, or not at all
                """
            ),
            (
                [
                    "-forward-sock", "/a", "-forward-dest", "/b", "-forward-user", "c",
                    "-forward-identity", "/none",
                ],
                "identity file \"/none\" can't be loaded: stat /none: no such file or directory"
            ),
        ]
    )
    func refuses(_ arguments: [String], _ message: String) {
        #expect(throws: GVProxyConfiguration.Fault(message)) {
            try configure(arguments, existing: ["/there"])
        }
    }

    @Test("the SSH port may be switched off")
    func switchesOff() throws {
        #expect(try configure(["-ssh-port", "-1"]).sshPort == nil)
    }

    @Test("vfkit and standard streams go with anything")
    func combines() throws {
        let result = try configure([
            "-listen-qemu", "unix:///x", "-listen-vfkit", "unixgram:///y", "-listen-stdio",
            "accept",
        ])
        #expect(result.links.stdio == "accept")
    }
}
