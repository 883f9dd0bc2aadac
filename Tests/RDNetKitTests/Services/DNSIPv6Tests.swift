import Testing

@testable import RDNetKit

/// Queries to the DNS service of a network with IPv6.
@Suite("names in IPv6")
struct DNSIPv6Tests {
    private static let ipv6Address: UInt16 = 28
    private static let pointer: UInt16 = 12
    private static let guest = IPAddress(ipv4: 0xc0a8_7f02)

    private static func fixture(hosts: String = "") throws -> DNSFixture {
        let plan = try DNSFixture.ipv6()
        let fixture = try DNSFixture(upstreams: 0, hosts: hosts) { $0.ipv6 = plan }
        let scene = try DHCPServerScene()
        var request = DHCPServerScene.message(.request, requesting: "\(guest)")
        request.options[.hostName] = Array("fedora".utf8)
        #expect(try scene.reply(to: request)?.type == .ack)
        fixture.service.guestNames = { scene.server.guestNames }
        fixture.clock.now = scene.now
        _ = try fixture.loop.turn(waitingAtMost: .zero)
        return fixture
    }

    /// The octets of the only record of an answer; nil if the answer has no record.
    private static func record(
        _ name: String,
        _ type: UInt16,
        in fixture: DNSFixture
    ) throws -> [UInt8]? {
        let query = DNSOctets.query(name, type: type)
        let answer = try fixture.answer(to: query)
        guard answer[7] > 0 else { return nil }
        #expect(DNSOctets.code(answer) == 0)
        #expect(answer[7] == 1)
        return Array(answer.dropFirst(query.count + 12))
    }

    private static func octets(_ address: String) throws -> [UInt8] {
        try #require(IPAddress(address)).octets
    }

    @Test(
        "gateway and host have both addresses",
        arguments: ["rancher-desktop", "docker", "containers"]
    )
    func builtInNames(domain: String) throws {
        let fixture = try Self.fixture()
        for (name, ipv4, ipv6) in [
            ("gateway", "192.168.127.1", "fdc0:a87f::1"),
            ("host", "192.168.127.254", "fdc0:a87f::fe"),
        ] {
            let name = "\(name).\(domain).internal"
            #expect(try Self.record(name, 1, in: fixture) == Self.octets(ipv4))
            #expect(try Self.record(name, Self.ipv6Address, in: fixture) == Self.octets(ipv6))
        }
        #expect(fixture.service.counters.local == 4)
    }

    @Test func `without IPv6 their names have no IPv6 address, at once`() throws {
        let fixture = try DNSFixture(upstreams: 0)
        let answer = try fixture.answer(
            to: DNSOctets.query("host.docker.internal", type: Self.ipv6Address)
        )
        // No error and no record, but the zone's SOA (RFC 2308, 2.2).
        #expect(DNSOctets.code(answer) == 0)
        #expect(answer[7] == 0)
        #expect(answer[9] == 1)
    }

    @Test func `a zone's own record for the host has both addresses, unless it names one`() throws {
        let fixture = try Self.fixture()
        let own = try #require(IPAddress("2001:db8::7"))
        let isAdded = fixture.service.zones.add(
            DNSZone(
                name: "lab.",
                records: [
                    .init(name: "one", address: DNSFixture.hostAlias),
                    .init(name: "two", address: DNSFixture.hostAlias),
                    .init(name: "two", address: own), .init(name: "other", address: Self.guest),
                ],
                defaultAddress: DNSFixture.gateway.address
            )
        )
        #expect(isAdded)
        func address(_ name: String) throws -> [UInt8]? {
            try Self.record("\(name).lab", Self.ipv6Address, in: fixture)
        }
        #expect(try address("one") == Self.octets("fdc0:a87f::fe"))
        #expect(try address("two") == own.octets)
        #expect(try address("other") == nil)
        #expect(try address("any") == Self.octets("fdc0:a87f::1"))
    }

    @Test func `a guest's name has its IPv6 address while the guest uses it`() throws {
        let fixture = try Self.fixture()
        let name = "fedora.rancher-desktop.internal"
        let reverse = DNSName(reverseOf: try #require(IPAddress("fdc0:a87f::2")), parts: 32)
        #expect(try Self.record(name, Self.ipv6Address, in: fixture) == nil)
        #expect(try Self.record("\(reverse)", Self.pointer, in: fixture) == nil)
        fixture.service.guestIPv6 = { $0 == Self.guest ? IPAddress("fdc0:a87f::2") : nil }
        #expect(try Self.record(name, 1, in: fixture) == Self.guest.octets)
        #expect(
            try Self.record(name, Self.ipv6Address, in: fixture) == Self.octets("fdc0:a87f::2")
        )
        #expect(try Self.record("\(reverse)", Self.pointer, in: fixture) == DNSOctets.name(name))
    }

    @Test func `a name of a lease in IPv6 is found both ways, and IPv4 comes first`() throws {
        let fixture = try Self.fixture()
        let leased = try #require(IPAddress("fdc0:a87f::3"))
        let stranger = try #require(IPAddress("fdc0:a87f::1:0:0:2"))
        let now = fixture.clock.now
        var names = fixture.service.guestNames()
        for (name, address) in [
            ("box", leased), ("fedora", stranger),
        ] {
            names.set(Array(name.utf8), of: address, until: now + .seconds(600), now: now)
        }
        fixture.service.guestNames = { names }
        let name = "box.rancher-desktop.internal"
        let reverse = DNSName(reverseOf: leased, parts: 32)
        #expect(try Self.record(name, Self.ipv6Address, in: fixture) == leased.octets)
        #expect(try Self.record(name, 1, in: fixture) == nil)
        #expect(try Self.record("\(reverse)", Self.pointer, in: fixture) == DNSOctets.name(name))
        let ipv4 = try #require(IPAddress("192.168.127.3"))
        fixture.service.guestIPv4 = { $0 == leased ? ipv4 : nil }
        #expect(try Self.record(name, 1, in: fixture) == ipv4.octets)
        // The guest that sent it with an IPv4 lease keeps its name.
        let fedora = "fedora.rancher-desktop.internal"
        #expect(try Self.record(fedora, 1, in: fixture) == Self.guest.octets)
        #expect(try Self.record(fedora, Self.ipv6Address, in: fixture) == nil)
        try fixture.pass(.seconds(601))
        #expect(try Self.record(name, Self.ipv6Address, in: fixture) == nil)
    }

    @Test(
        "reverse names lead to gateway and host, and other ones are denied at once",
        arguments: [
            ("fdc0:a87f::1", "gateway.rancher-desktop.internal"),
            ("fe80::1", "gateway.rancher-desktop.internal"),
            ("fdc0:a87f::fe", "host.rancher-desktop.internal"), ("fdc0:a87f::9", nil),
            ("fe80::9", nil), ("fdc0:a87f::1:0:0:2", nil),
        ] as [(String, String?)]
    )
    func reverseNames(address: String, name: String?) throws {
        let reverse = DNSName(reverseOf: try #require(IPAddress(address)), parts: 32)
        let fixture = try Self.fixture()
        #expect(
            try Self.record("\(reverse)", Self.pointer, in: fixture) == name.map(DNSOctets.name)
        )
        #expect(fixture.service.counters.local == 1)
    }

    @Test func `the host's own name leads to its alias in both families`() throws {
        let fixture = try Self.fixture(hosts: "127.0.1.1 thishost\n::1 thishost localhost\n")
        #expect(try Self.record("thishost", 1, in: fixture) == DNSFixture.hostAlias.octets)
        #expect(
            try Self.record("thishost", Self.ipv6Address, in: fixture)
                == Self.octets("fdc0:a87f::fe")
        )
        let reverse = DNSName(reverseOf: try #require(IPAddress("fdc0:a87f::fe")), parts: 32)
        #expect(
            try Self.record("\(reverse)", Self.pointer, in: fixture) == DNSOctets.name("thishost")
        )
    }

    @Test func `an address of the prefix on the host's links means nothing to guests`() throws {
        var settings = DNSSettings(hostAlias: DNSFixture.hostAlias)
        let address = try #require(IPAddress("fdc0:a87f::9"))
        #expect(settings.isUsable(address))
        settings.ipv6 = try DNSFixture.ipv6()
        #expect(!settings.isUsable(address))
    }
}
