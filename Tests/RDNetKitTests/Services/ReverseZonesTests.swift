import Testing

@testable import RDNetKit

@Suite("reverse zones")
struct ReverseZonesTests {
    private static let pointer: UInt16 = 12

    private static func fixture(
        subnet: String = "192.168.127.0/24",
        hosts: String = ""
    ) throws -> DNSFixture {
        let network = try #require(Subnet(subnet))
        let fixture = try DNSFixture(hosts: hosts) { $0.subnet = network }
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message, code: 3, records: [99])] }
        return fixture
    }

    /// Whether the service answers a question itself.
    private static func isLocal(_ name: String, in fixture: DNSFixture) throws -> Bool {
        let before = fixture.upstreams[0].received.count
        _ = try fixture.answer(to: DNSOctets.query(name, type: pointer))
        return fixture.upstreams[0].received.count == before
    }

    @Test(
        "answers what no server can know (RFC 6303)",
        arguments: [
            "9.127.168.192.in-addr.arpa", "lb._dns-sd._udp.0.127.168.192.in-addr.arpa",
            "127.168.192.IN-ADDR.arpa", "1.1.0.127.in-addr.arpa", "0.0.0.0.in-addr.arpa",
            "0.in-addr.arpa", "255.255.255.255.in-addr.arpa", "254.169.254.169.in-addr.arpa",
            "7.2.0.192.in-addr.arpa", "7.100.51.198.in-addr.arpa", "7.113.0.203.in-addr.arpa",
            "1." + String(repeating: "0.", count: 31) + "ip6.arpa",
            String(repeating: "0.", count: 32) + "ip6.arpa",
            String(repeating: "0.", count: 29) + "8.e.f.ip6.arpa", "f.b.e.f.ip6.arpa",
            "1.8.b.d.0.1.0.0.2.ip6.arpa",
        ]
    )
    func answersWhatNoServerCanKnow(name: String) throws {
        #expect(try Self.isLocal(name, in: Self.fixture()))
    }

    @Test(
        "leaves the company's networks to the company's servers",
        arguments: [
            "9.128.168.192.in-addr.arpa", "168.192.in-addr.arpa", "192.in-addr.arpa",
            "1.0.0.10.in-addr.arpa", "1.0.16.172.in-addr.arpa", "1.0.64.100.in-addr.arpa",
            "8.8.8.8.in-addr.arpa", "in-addr.arpa", "arpa", "1.127.168.192.in-addr.arpa.example",
            "x127.168.192.in-addr.arpa", "1.0.0.0.d.f.ip6.arpa", "0.ip6.arpa", "ip6.arpa",
            "c.e.f.ip6.arpa",
        ]
    )
    func leavesTheRest(name: String) throws {
        #expect(try !Self.isLocal(name, in: Self.fixture()))
    }

    @Test(
        "cuts the network at octets",
        arguments: [
            ("10.1.2.3/8", "4.3.2.10.in-addr.arpa", true),
            ("10.1.2.3/8", "2.1.0.11.in-addr.arpa", false),
            ("172.16.0.0/12", "1.2.31.172.in-addr.arpa", true),
            ("172.16.0.0/12", "1.2.32.172.in-addr.arpa", false),
            ("192.168.48.0/20", "1.63.168.192.in-addr.arpa", true),
            ("192.168.48.0/20", "1.64.168.192.in-addr.arpa", false),
            ("192.168.48.0/20", "168.192.in-addr.arpa", false),
            ("192.168.5.64/26", "127.5.168.192.in-addr.arpa", true),
            ("192.168.5.64/26", "128.5.168.192.in-addr.arpa", false),
            ("192.168.5.64/26", "5.168.192.in-addr.arpa", false),
        ]
    )
    func cutsAtOctets(subnet: String, name: String, isLocal: Bool) throws {
        #expect(try Self.isLocal(name, in: Self.fixture(subnet: subnet)) == isLocal)
    }

    @Test(
        "cuts the IPv6 prefix at half octets",
        arguments: [
            ("fdc0:a87f::/64", "fdc0:a87f::9", true),
            ("fdc0:a87f::/64", "fdc0:a87f:0:0:ffff:ffff:ffff:ffff", true),
            ("fdc0:a87f::/64", "fdc0:a87f:0:1::9", false),
            ("fd00:0:0:1:2::/80", "fd00:0:0:1:2::9", true),
            ("fd00:0:0:1:2::/80", "fd00:0:0:1:3::9", false),
            ("fd00:0:0:1:4800::/70", "fd00:0:0:1:4bff::9", true),
            ("fd00:0:0:1:4800::/70", "fd00:0:0:1:4c00::9", false),
            ("fd00:0:0:1:4800::/70", "fd00:0:0:1:47ff::9", false),
        ]
    )
    func cutsAtHalfOctets(prefix: String, address: String, isLocal: Bool) throws {
        let plan = try DNSFixture.ipv6(prefix)
        let fixture = try DNSFixture { $0.ipv6 = plan }
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message, code: 3, records: [99])] }
        let name = DNSName(reverseOf: try #require(IPAddress(address)), parts: 32)
        #expect(try Self.isLocal("\(name)", in: fixture) == isLocal)
    }

    @Test func `an IPv6 prefix has a zone too`() throws {
        let zones = ReverseZones(subnet: .standard, prefix: .standard)
        func answer(_ text: String) throws -> DNSLocalAnswer? {
            let address = try #require(IPAddress(text))
            let name = DNSName(reverseOf: address, parts: 32)
            let query = try DNSQuery(reading: DNSOctets.query("\(name)", type: Self.pointer))
            return zones.answer(to: query.question) { $0.low == 1 ? DNSName("gateway") : nil }
        }
        #expect(try answer("fdc0:a87f::1")?.records == [.pointer(try #require(DNSName("gateway")))])
        #expect(try answer("fdc0:a87f::2")?.code == .nameError)
        #expect(try answer("fdc0:a87f:0:1::2") == nil)
    }

    @Test func `knows the gateway, the host, zones' records and the hosts file`() throws {
        let hosts = "192.168.127.9 build.example\n127.0.1.1 thishost\n"
        let fixture = try Self.fixture(hosts: hosts)
        let added = fixture.service.zones.add(
            DNSZone(
                name: "lab.",
                records: [.init(name: "db", address: IPAddress("192.168.127.7"))]
            )
        )
        #expect(added)
        func name(_ number: Int) throws -> [UInt8] {
            let query = DNSOctets.query("\(number).127.168.192.in-addr.arpa", type: Self.pointer)
            return Array(try fixture.answer(to: query).dropFirst(query.count + 12))
        }
        #expect(try name(1) == DNSOctets.name("gateway.rancher-desktop.internal"))
        // The host alias has the host's own name from the hosts file.
        #expect(try name(254) == DNSOctets.name("thishost"))
        #expect(try name(7) == DNSOctets.name("db.lab"))
        #expect(try name(9) == DNSOctets.name("build.example"))
        #expect(fixture.upstreams[0].received.isEmpty)
    }

    @Test(
        "denials carry the zone's SOA, and only addresses are denied",
        arguments: [
            ("9.127.168.192.in-addr.arpa", 12, 3, 1), ("127.168.192.in-addr.arpa", 6, 0, 0),
            ("127.168.192.in-addr.arpa", 12, 0, 1), ("3.0.127.in-addr.arpa", 12, 0, 1),
            ("1.127.168.192.in-addr.arpa", 16, 0, 1), ("x.127.168.192.in-addr.arpa", 12, 3, 1),
        ] as [(String, UInt16, UInt8, UInt8)]
    )
    func denials(name: String, type: UInt16, code: UInt8, authorities: UInt8) throws {
        let answer = try Self.fixture().answer(to: DNSOctets.query(name, type: type))
        #expect(DNSOctets.code(answer) == code)
        #expect(answer[9] == authorities)
        // A negative answer repeats the question and ends with the zone's SOA (RFC 2308).
        #expect(answer[7] == 1 - authorities)
    }

    @Test func `a guest's host name is found both ways while its lease lasts`() throws {
        let scene = try DHCPServerScene()
        var request = DHCPServerScene.message(.request, requesting: "192.168.127.2")
        request.options[.hostName] = Array("Fedora.lan".utf8)
        #expect(try scene.reply(to: request)?.type == .ack)
        let fixture = try Self.fixture()
        fixture.service.guestNames = { scene.server.guestNames }
        fixture.clock.now = scene.now
        _ = try fixture.loop.turn(waitingAtMost: .zero)
        let forward = DNSOctets.query("FEDORA.rancher-desktop.internal")
        #expect(try fixture.answer(to: forward).suffix(4) == [192, 168, 127, 2])
        let reverse = DNSOctets.query("2.127.168.192.in-addr.arpa", type: Self.pointer)
        #expect(
            try fixture.answer(to: reverse).dropFirst(reverse.count + 12)
                == DNSOctets.name("fedora.rancher-desktop.internal")[...]
        )
        try fixture.pass(.seconds(3_601))
        #expect(DNSOctets.code(try fixture.answer(to: reverse)) == 3)
        #expect(DNSOctets.code(try fixture.answer(to: forward)) == 3)
    }

    @Test(
        "takes no guest's word for more than its own name",
        arguments: [
            "gateway", "host", "", "-x", "a b", "\u{0}", "ä", String(repeating: "a", count: 64),
        ]
    )
    func takesNoWordForMore(hostName: String) throws {
        let scene = try DHCPServerScene()
        var request = DHCPServerScene.message(.request, requesting: "192.168.127.2")
        request.options[.hostName] = Array(hostName.utf8)
        _ = try scene.reply(to: request)
        let fixture = try Self.fixture()
        fixture.service.guestNames = { scene.server.guestNames }
        for (name, address) in [("gateway", 1), ("host", 254)] as [(String, UInt8)] {
            let query = DNSOctets.query("\(name).rancher-desktop.internal")
            #expect(try fixture.answer(to: query).suffix(4) == [192, 168, 127, address])
        }
        let reverse = DNSOctets.query("2.127.168.192.in-addr.arpa", type: Self.pointer)
        #expect(DNSOctets.code(try fixture.answer(to: reverse)) == 3)
    }

    @Test func `a released lease takes its name with it`() throws {
        let scene = try DHCPServerScene()
        var request = DHCPServerScene.message(.request, requesting: "192.168.127.2")
        request.options[.hostName] = Array("fedora".utf8)
        _ = try scene.reply(to: request)
        #expect(scene.server.guestNames.address(of: "fedora", now: scene.now) != nil)
        let release = DHCPServerScene.message(
            .release,
            server: "192.168.127.1",
            holding: "192.168.127.2"
        )
        _ = try scene.reply(to: release)
        #expect(scene.server.guestNames.address(of: "fedora", now: scene.now) == nil)
    }
}
