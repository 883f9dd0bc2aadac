import Testing

@testable import RDNetKit

@Suite("DNS zones")
struct DNSZoneTests {
    static let gateway = IPAddress(ipv4: 0xc0a8_7f01)
    static let host = IPAddress(ipv4: 0xc0a8_7ffe)

    static func question(_ name: String, _ type: UInt16) throws -> DNSQuestion {
        try DNSQuery(reading: DNSOctets.query(name, type: type)).question
    }

    @Test(
        "built in answer for gateway and host",
        arguments: [
            ("gateway.rancher-desktop.internal", 1, .noError, [.address(gateway)]),
            ("host.rancher-desktop.internal", 1, .noError, [.address(host)]),
            ("gateway.docker.internal", 1, .noError, [.address(gateway)]),
            ("host.docker.internal", 1, .noError, [.address(host)]),
            ("host.containers.internal", 1, .noError, [.address(host)]),
            ("HOST.Docker.INTERNAL", 1, .noError, [.address(host)]),
            ("host.docker.internal", 255, .noError, [.address(host)]),
            ("host.docker.internal", 28, .noError, []),  // AAAA: exists, no such record
            ("host.docker.internal", 65, .noError, []),  // HTTPS
            ("nobody.docker.internal", 1, .nameError, []),
            ("nobody.docker.internal", 28, .nameError, []),
            ("x.host.docker.internal", 1, .nameError, []),
            ("docker.internal", 1, .noError, []),  // the zone itself exists (RFC 8020)
            ("docker.internal", 6, .noError, [.authority(0)]),
        ] as [(String, UInt16, DNSResponseCode, [DNSRecord])]
    )
    func builtIn(name: String, type: UInt16, code: DNSResponseCode, records: [DNSRecord]) throws {
        let zones = DNSZones.builtIn(gateway: Self.gateway, hostAlias: Self.host)
        let answer = try #require(zones.answer(to: try Self.question(name, type)))
        #expect(answer.code == code)
        #expect(answer.records == records)
    }

    @Test(
        "leave names outside alone",
        arguments: ["example.com", "xdocker.internal", "internal", "host.docker.internal.example"]
    )
    func leaveNamesOutsideAlone(name: String) throws {
        let zones = DNSZones.builtIn(gateway: Self.gateway, hostAlias: Self.host)
        #expect(zones.answer(to: try Self.question(name, 1)) == nil)
    }

    @Test func `ask the first zone in the list that fits, not the longest`() throws {
        var zones = DNSZones([
            DNSZone(name: "b.", records: [.init(name: "x.a", address: Self.gateway)])
        ])
        let added12 = zones.add(
            DNSZone(name: "a.b.", records: [.init(name: "x", address: Self.host)])
        )
        #expect(added12)
        let answer = zones.answer(to: try Self.question("x.a.b", 1))
        #expect(answer?.records == [.address(Self.gateway)])
    }

    @Test func `a name above a record exists without records (RFC 8020)`() throws {
        let zones = DNSZones([
            DNSZone(name: "b", records: [.init(name: "x.a", address: Self.gateway)])
        ])
        let answer = zones.answer(to: try Self.question("a.b", 1))
        #expect(answer == DNSLocalAnswer(code: .noError, records: [], zone: 2))
    }

    @Test func `answer with the default address for every name without a record`() throws {
        let zones = DNSZones([
            DNSZone(
                name: "apps.testing.",
                records: [.init(name: "known", address: Self.gateway)],
                defaultAddress: Self.host
            )
        ])
        #expect(
            zones.answer(to: try Self.question("any.thing.apps.testing", 1))?.records
                == [.address(Self.host)]
        )
        #expect(
            zones.answer(to: try Self.question("known.apps.testing", 1))?.records
                == [.address(Self.gateway)]
        )
        #expect(zones.answer(to: try Self.question("any.apps.testing", 28))?.records == [])
    }

    @Test func `answer AAAA from an IPv6 record, and nothing from one without an address`() throws {
        let ipv6 = IPAddress(high: 0xfd00_0000_0000_0000, low: 1)
        let zones = DNSZones([
            DNSZone(
                name: "z.",
                records: [.init(name: "six", address: ipv6), .init(name: "bare", address: nil)]
            )
        ])
        #expect(zones.answer(to: try Self.question("six.z", 28))?.records == [.address(ipv6)])
        #expect(zones.answer(to: try Self.question("six.z", 1))?.records == [])
        #expect(
            zones.answer(to: try Self.question("bare.z", 1))
                == DNSLocalAnswer(code: .noError, records: [], zone: 5)
        )
    }

    @Test func `merge a known zone: in its place, new records in front, default replaced`() throws {
        var zones = DNSZones([
            DNSZone(
                name: "a.",
                records: [.init(name: "old", address: Self.gateway)],
                defaultAddress: Self.gateway
            ),
            DNSZone(name: "b.", records: []),
        ])
        let newer = DNSZone(name: "A", records: [.init(name: "old", address: Self.host)])
        let added13 = zones.add(newer)
        #expect(added13)
        #expect(zones.all.map(\.name) == ["a.", "b."])
        #expect(zones.all[0].records.map(\.address) == [Self.host, Self.gateway])
        #expect(zones.all[0].defaultAddress == nil)
        #expect(zones.answer(to: try Self.question("old.a", 1))?.records == [.address(Self.host)])
        #expect(zones.answer(to: try Self.question("new.a", 1))?.code == .nameError)
    }

    @Test func `an unnamed zone holds every name`() throws {
        var zones = DNSZones.builtIn(gateway: Self.gateway, hostAlias: Self.host)
        let added14 = zones.add(DNSZone(name: "", records: []))
        #expect(added14)
        #expect(zones.answer(to: try Self.question("example.com", 1))?.code == .nameError)
        #expect(zones.answer(to: try Self.question("host.docker.internal", 1))?.code == .noError)
    }

    @Test func `a zone whose name is none matches nothing, but is listed`() throws {
        let name = String(repeating: "x", count: 64)
        let zones = DNSZones([DNSZone(name: name, records: [], defaultAddress: Self.host)])
        #expect(zones.answer(to: try Self.question("x", 1)) == nil)
        #expect(zones.all.map(\.name) == [name])
    }

    @Test func `stay within their bounds`() {
        var zones = DNSZones()
        for number in 0..<DNSZones.limit {
            let added15 = zones.add(DNSZone(name: "z\(number).", records: []))
            #expect(added15)
        }
        let added16 = zones.add(DNSZone(name: "one-more.", records: []))
        #expect(!added16)
        let record = DNSZone.Record(name: "r", address: Self.host)
        for _ in 0..<3 {
            let added17 = zones.add(
                DNSZone(name: "z0.", records: Array(repeating: record, count: 3000))
            )
            #expect(added17)
        }
        #expect(zones.all[0].records.count == DNSZone.recordLimit)
    }
}
