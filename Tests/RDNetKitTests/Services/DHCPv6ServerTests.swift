import Testing

@testable import RDNetKit

/// The messages of dhclient 4.4, dhcpcd 9.4 and systemd-networkd 252 were captured on a virtual
/// cable to other servers; server identifiers in them are replaced.
@Suite("DHCPv6 server")
struct DHCPv6ServerTests {
    private typealias Text = DHCPv6Text

    private static let echoed = "1 \(DHCPv6Scene.clientIdentifier)"
    private static let identified = "2 \(DHCPv6Scene.serverIdentifier)"
    private static let resolver = "23 fdc0a87f000000000000000000000001"
    private static let domains = "24 036c616e0004636f7270076578616d706c6500"

    // MARK: Clients

    @Test func `RFC 8415 18.3.1: dhclient gets an offer with everything that it asks for`() throws {
        let scene = try DHCPv6Scene()
        let solicit = Text.octets(
            "01a1f77c0001000e00010001329ef9d75a94efe40cee00060008001700180027001f000800020000"
                + "0003000cefe40cee00000e1000001518"
        )
        let expected = [
            "type 2 a1f77c", Self.echoed, Self.identified, "7 ff", Self.resolver, Self.domains,
            "3 efe40cee 1800 2880", "  address fdc0:a87f::2 3600 3600",
        ]
        #expect(try scene.answer(to: solicit) == expected)
        #expect(scene.leased.isEmpty)
        #expect(scene.server.leases(in: scene.four.server.pool, now: scene.four.now).isEmpty)
        #expect(scene.server.statistics.advertisements == 1)
    }

    @Test func `RFC 8415 18.3.2: dhclient gets the address of the offer`() throws {
        let scene = try DHCPv6Scene()
        let request = Text.octets(
            "03762d710001000e00010001329ef9d75a94efe40cee0002000a000300015a94efe40cdd"
                + "00060008001700180027001f00080002000000030028efe40cee00000e1000001518"
                + "00050018fdc0a87f00000000000000000000000200001c2000001d4c"
        )
        let expected = [
            "type 7 762d71", Self.echoed, Self.identified, Self.resolver, Self.domains,
            "3 efe40cee 1800 2880", "  address fdc0:a87f::2 3600 3600",
        ]
        #expect(try scene.answer(to: request) == expected)
        #expect(scene.leased == ["fdc0:a87f::2 5a:94:ef:e4:0c:ee"])
        let leases = scene.server.leases(in: scene.four.server.pool, now: scene.four.now)
        #expect(leases.map { "\($0.address) \($0.mac)" } == scene.leased)
        #expect(leases.map { $0.expires - scene.four.now } == [.seconds(3600)])
    }

    @Test func `RFC 8415 18.3.7: dhclient's release ends the lease`() throws {
        let scene = try DHCPv6Scene()
        #expect(try scene.address(of: DHCPServerScene.guest) == "fdc0:a87f::2")
        let release = Text.octets(
            "08650dce0001000e00010001329ef9d75a94efe40cee0002000a000300015a94efe40cdd"
                + "00060008001700180027001f00080002000000030028efe40cee0000000000000000"
                + "00050018fdc0a87f0000000000000000000000020000000000000000"
        )
        #expect(
            try scene.answer(to: release)
                == ["type 7 650dce", Self.echoed, Self.identified, "status 0"]
        )
        #expect(scene.server.leases(in: scene.four.server.pool, now: scene.four.now).isEmpty)
        let again = ["type 7 650dce", Self.echoed, Self.identified, "status 0"]
        #expect(
            try scene.answer(to: release) == again + ["3 efe40cee 0 0", "  status 3"]
        )
    }

    @Test func `RFC 8415 18.3.6: dhclient -S gets parameters only`() throws {
        let scene = try DHCPv6Scene()
        let inform = Text.octets(
            "0b7b23c60001000a000300015a94efe40cee00060008001700180027001f000800020000"
        )
        let expected = [
            "type 7 7b23c6", "1 000300015a94efe40cee", Self.identified, Self.resolver, Self.domains,
        ]
        #expect(try scene.answer(to: inform) == expected)
        #expect(scene.leased.isEmpty)
    }

    @Test func `RFC 8415 21.5 and 21.21: there are no temporary addresses and no prefixes`() throws
    {
        let scene = try DHCPv6Scene()
        // dhclient -P -T
        let solicit = Text.octets(
            "019c075c0001000e00010001329ef9d75a94efe40cee00060008001700180027001f000800020000"
                + "00040004efe40cee0019000cefe40cee00000e1000001518"
        )
        let expected = [
            "type 2 9c075c", Self.echoed, Self.identified, "7 ff", Self.resolver, Self.domains,
            "4 efe40cee", "  status 2", "25 efe40cee 0 0", "  status 6",
        ]
        #expect(try scene.answer(to: solicit) == expected)
    }

    @Test func `RFC 8415 18.3.3: dhcpcd may keep an address of the link`() throws {
        let scene = try DHCPv6Scene()
        let confirm = { (address: String) in
            Text.octets(
                "0462cfd90001000e00010001329ef9d75a94efe40cee00030028efe40cee00000000"
                    + "0000000000050018" + address + "00000e1000000e10"
                    + "0006000400520053000800020000"
            )
        }
        let success = ["type 7 62cfd9", Self.echoed, Self.identified, "status 0"]
        let refusal = ["type 7 62cfd9", Self.echoed, Self.identified, "status 4"]
        let stranger = DHCPv6Scene.stranger
        let own = confirm("fdc0a87f000000000000000000000011")
        #expect(try scene.answer(to: own, from: stranger) == success)
        #expect(scene.leased == ["fdc0:a87f::11 02:00:00:00:00:01"])
        #expect(try scene.address(of: stranger) == "fdc0:a87f::11")
        let offLink = confirm("fdc0a880000000000000000000000011")
        #expect(try scene.answer(to: offLink, from: stranger) == refusal)
        let another = MACAddress(rawValue: 0x0200_0000_0002)
        #expect(try scene.answer(to: own, from: another) == refusal)
        let reserved = confirm("fdc0a87f0000000000000000000000fe")
        #expect(try scene.answer(to: reserved, from: stranger) == refusal)
        _ = try scene.four.lease(to: another)
        let free = confirm("fdc0a87f000000000000000000000077")
        #expect(try scene.answer(to: free, from: another) == refusal, "its number is another")
        let autoconfigured = confirm("fdc0a87f000000005894effffee40cee")
        #expect(try scene.answer(to: autoconfigured, from: stranger) == success)
    }

    @Test func `RFC 8415 18.2.1: systemd-networkd gets its lease with one message`() throws {
        let scene = try DHCPv6Scene()
        let solicit = Text.octets(
            "014d5224000e00000003000c549a799200000000000000000019000c549a79920000000000000000"
                + "002700040102766d000600080017001f003800520001000e00020000ab110033bdebf95e192c"
                + "000800020000"
        )
        let expected = [
            "type 7 4d5224", "1 00020000ab110033bdebf95e192c", Self.identified, "14 ",
            Self.resolver, "3 549a7992 1800 2880", "  address fdc0:a87f::2 3600 3600",
            "25 549a7992 0 0", "  status 6",
        ]
        #expect(try scene.answer(to: solicit) == expected)
        #expect(scene.leased == ["fdc0:a87f::2 5a:94:ef:e4:0c:ee"])
        #expect(scene.named == ["fdc0:a87f::2 vm"])
    }

    // MARK: Names (RFC 4704)

    @Test(
        "RFC 4704 4: the first label of the client's name",
        arguments: [
            ("0103626f78", "box"), ("0003426f78036c616e00", "Box"),
            // Flag N: the client wants no record.
            ("0403626f78", "-"), ("0503626f78", "-"),
            // No name, a label beyond the end, a pointer, and a label that is too long.
            ("", "-"), ("01", "-"), ("0100", "-"), ("0104626f78", "-"), ("01c00c", "-"),
            ("0140" + String(repeating: "61", count: 64), "-"),
            ("013f" + String(repeating: "61", count: 63), String(repeating: "a", count: 63)),
        ]
    )
    func names(value: String, name: String) throws {
        let scene = try DHCPv6Scene()
        let option = Text.option(39, Text.hexadecimal(Text.octets(value)))
        let request = Text.client() + Text.server() + Text.addresses() + option
        _ = try scene.answer(to: 3, request)
        #expect(scene.named == ["fdc0:a87f::2 \(name)"])
    }

    @Test func `an offer gives no name, and the end of the lease takes it away`() throws {
        let scene = try DHCPv6Scene()
        let name = Text.option(39, "0103626f78")
        _ = try scene.answer(to: 1, Text.client(), Text.addresses(), name)
        #expect(scene.named.isEmpty)
        _ = try scene.answer(to: 3, Text.client(), Text.server(), Text.addresses(), name)
        let own = Text.addresses("fdc0:a87f::2")
        _ = try scene.answer(to: 8, Text.client(), Text.server(), own, name)
        #expect(scene.named == ["fdc0:a87f::2 box", "fdc0:a87f::2 -"])
    }

    // MARK: Section 16

    @Test(
        "RFC 8415 16: a message that a server must discard gets no answer",
        arguments: [
            (1, [], "16.2: Solicit without a client"),
            (1, [Text.client(), Text.server()], "16.2: Solicit to a server"),
            (2, [Text.client(), Text.server()], "16.3: Advertise"),
            (3, [Text.server()], "16.4: Request without a client"),
            (3, [Text.client()], "16.4: Request without a server"),
            (3, [Text.client(), Text.server("0003000102000000ffff")], "16.4: another server"),
            (4, [], "16.5: Confirm without a client"),
            (4, [Text.client(), Text.server()], "16.5: Confirm to a server"),
            (4, [Text.client()], "18.3.3: Confirm without an address"),
            (5, [Text.client()], "16.6: Renew without a server"),
            (5, [Text.server()], "16.6: Renew without a client"),
            (5, [Text.client(), Text.server("0003000102000000ffff")], "16.6: another server"),
            (6, [Text.client(), Text.server()], "16.7: Rebind to a server"),
            (6, [], "16.7: Rebind without a client"),
            (7, [Text.client(), Text.server()], "16.10: Reply"),
            (8, [Text.client()], "16.9: Release without a server"),
            (8, [Text.server()], "16.9: Release without a client"),
            (9, [Text.client()], "16.8: Decline without a server"),
            (9, [Text.server()], "16.8: Decline without a client"),
            (10, [Text.client(), Text.server()], "16.11: Reconfigure"),
            (11, [Text.server("0003000102000000ffff")], "16.12: another server"),
            (11, [Text.client(), Text.addresses()], "16.12: with an association"),
            (12, [Text.client()], "relay-forward"), (13, [Text.client()], "relay-reply"),
            (0, [Text.client()], "no type"), (255, [Text.client()], "no type"),
        ] as [(UInt8, [String], String)]
    )
    func discarded(type: UInt8, options: [String], rule: String) throws {
        let scene = try DHCPv6Scene()
        #expect(try scene.answer(to: type, options.joined()) == nil, "\(rule)")
        #expect(scene.server.statistics.ignored == 1)
        #expect(scene.leased.isEmpty)
    }

    @Test(
        "RFC 8415 18.4: a message by unicast is refused or discarded",
        arguments: [1, 3, 4, 5, 6, 8, 9, 11] as [UInt8]
    )
    func unicast(type: UInt8) throws {
        let scene = try DHCPv6Scene()
        let names = [3, 5, 8, 9].contains(type)
        let options =
            Text.client() + (names ? Text.server() : "")
            + (type == 11 ? "" : Text.addresses("fdc0:a87f::2"))
        let message = [type, 1, 2, 3] + Text.octets(options)
        let refusal = ["type 7 010203", Self.echoed, Self.identified, "status 5"]
        #expect(try scene.answer(to: message, at: "fdc0:a87f::1") == (names ? refusal : nil))
        #expect(scene.leased.isEmpty)
    }

    @Test(
        "lengths that contradict each other are malformed",
        arguments: [
            "", "01", "010203", "01010203ff", "01010203000300", "010102030003000c00000001",
            "0101020300030004" + "00000001", "01010203" + Text.option(1, "0001"),
            "01010203" + Text.option(1, String(repeating: "00", count: 131)),
            "01010203" + Text.option(3, String(repeating: "00", count: 12) + "0005001800"),
            "01010203" + Text.option(3, String(repeating: "00", count: 12) + "00050001aa"),
            "01010203" + String(repeating: Text.addresses(), count: 17),
        ]
    )
    func malformed(message: String) throws {
        let scene = try DHCPv6Scene()
        #expect(try scene.answer(to: Text.octets(message)) == nil)
        #expect(scene.server.statistics.malformed == 1)
    }

    @Test("random messages get an answer that is well-formed, or none", arguments: 0..<20)
    func randomMessages(seed: UInt64) throws {
        let scene = try DHCPv6Scene()
        var random = SeededRandom(seed: seed)
        for _ in 0..<200 {
            let type = UInt8.random(in: 1...11, using: &random)
            var message = [type, 1, 2, 3] + Text.octets(Text.client())
            if Bool.random(using: &random) { message += Text.octets(Text.server()) }
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                let number = Int.random(in: 0...300, using: &random)
                let address = IPv6Prefix.standard.address(number)
                message += Text.octets(Text.addresses("\(address)"))
            }
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                let offset = Int.random(in: 0..<message.count, using: &random)
                message[offset] = .random(in: 0...255, using: &random)
            }
            let mac = MACAddress(rawValue: 0x0200_0000_0000 + .random(in: 0...400, using: &random))
            let lines = try scene.answer(to: message, from: mac)
            #expect(lines?.isEmpty != true)
            scene.four.now = scene.four.now + .seconds(Int64.random(in: 0...60, using: &random))
        }
    }
}
