import Testing

@testable import RDNetKit

@Suite("DHCPv6 leases")
struct DHCPv6LeaseTests {
    private typealias Text = DHCPv6Text

    private static let stranger = DHCPv6Scene.stranger
    private static func mac(_ number: UInt64) -> MACAddress {
        MACAddress(rawValue: 0x0200_0000_0000 + number)
    }

    private static func addressLines(_ lines: [String]?) -> [String] {
        (lines ?? []).filter { $0.hasPrefix("  address") || $0.hasPrefix("  status") }
            .map { String($0.dropFirst(2)) }
    }

    // MARK: The number

    @Test func `IPv6 gets the number that IPv4 has`() throws {
        let scene = try DHCPv6Scene()
        for number in 1...20 as ClosedRange<UInt64> {
            _ = try scene.four.lease(to: Self.mac(number))
        }
        #expect(try scene.address(of: Self.mac(20)) == "fdc0:a87f::16")
        #expect(try scene.four.lease(to: Self.mac(20)) == "192.168.127.22")
    }

    @Test func `IPv4 gets the number that IPv6 has, whatever its client calls itself`() throws {
        let scene = try DHCPv6Scene()
        #expect(try scene.address(of: Self.mac(7)) == "fdc0:a87f::3")
        #expect(try scene.address(of: Self.mac(8)) == "fdc0:a87f::4")
        var discover = DHCPServerScene.message(.discover, from: Self.mac(8))
        discover.options[.clientIdentifier] = [255, 1, 2, 3, 4, 0, 2, 0, 0, 0xab, 0x11, 9]
        let offer = try #require(try scene.four.reply(to: discover))
        #expect("\(offer.yourAddress)" == "192.168.127.4")
        #expect(try scene.four.lease(to: Self.mac(7)) == "192.168.127.3")
    }

    @Test func `a static lease has its number in both families`() throws {
        let scene = try DHCPv6Scene()
        #expect(try scene.address(of: DHCPServerScene.guest) == "fdc0:a87f::2")
        #expect(try scene.address(of: Self.stranger) == "fdc0:a87f::3")
        let wish = Text.addresses("fdc0:a87f::2")
        let lines = try scene.answer(to: 1, Text.client(), wish, from: Self.mac(9))
        #expect(Self.addressLines(lines) == ["address fdc0:a87f::4 3600 3600"])
    }

    @Test func `a machine that has the number in one family keeps it from others in both`() throws {
        let scene = try DHCPv6Scene(subnet: "192.168.127.0/29")
        // 2 is the guest's, 6 the host's: 3, 4 and 5 remain.
        #expect(try scene.address(of: Self.mac(1)) == "fdc0:a87f::3")
        #expect(try scene.four.lease(to: Self.mac(2)) == "192.168.127.4")
        #expect(try scene.address(of: Self.mac(3)) == "fdc0:a87f::5")
        #expect(try scene.four.lease(to: Self.mac(4)) == nil)
        #expect(try scene.address(of: Self.mac(4)) == nil)
        #expect(scene.server.statistics.exhausted == 1)
        let refused = DHCPServerScene.message(
            .request,
            from: Self.mac(4),
            requesting: "192.168.127.3"
        )
        #expect(try scene.four.reply(to: refused)?.type == .nak)
        #expect(try scene.four.lease(to: Self.mac(1)) == "192.168.127.3")
        #expect(try scene.address(of: Self.mac(2)) == "fdc0:a87f::4")
    }

    @Test func `a number is free for others when its leases have ended in both families`() throws {
        let scene = try DHCPv6Scene(subnet: "192.168.127.0/29")
        for number in 1...3 as ClosedRange<UInt64> {
            _ = try scene.four.lease(to: Self.mac(number))
        }
        scene.four.now = scene.four.now + .seconds(3000)
        _ = try scene.address(of: Self.mac(1))
        scene.four.now = scene.four.now + .seconds(1000)
        #expect(try scene.address(of: Self.mac(4)) == "fdc0:a87f::4")
        #expect(try scene.four.lease(to: Self.mac(5)) == "192.168.127.5")
        #expect(try scene.four.lease(to: Self.mac(6)) == nil)
        scene.four.now = scene.four.now + .seconds(2600)
        #expect(try scene.four.lease(to: Self.mac(6)) == "192.168.127.3")
    }

    @Test func `an offer reserves the number for a minute`() throws {
        let scene = try DHCPv6Scene(subnet: "192.168.127.0/29")
        for number in 1...3 as ClosedRange<UInt64> {
            _ = try scene.answer(to: 1, Text.client(), Text.addresses(), from: Self.mac(number))
        }
        #expect(try scene.address(of: Self.mac(4)) == nil)
        scene.four.now = scene.four.now + .seconds(61)
        #expect(try scene.address(of: Self.mac(4)) == "fdc0:a87f::3")
    }

    @Test func `a returning machine gets its earlier number`() throws {
        let scene = try DHCPv6Scene()
        _ = try scene.address(of: Self.mac(1))
        #expect(try scene.address(of: Self.mac(2)) == "fdc0:a87f::4")
        scene.four.now = scene.four.now + .seconds(86_400)
        #expect(try scene.address(of: Self.mac(3)) == "fdc0:a87f::5")
        #expect(try scene.four.lease(to: Self.mac(2)) == "192.168.127.4")
        #expect(try scene.address(of: Self.mac(1)) == "fdc0:a87f::3")
    }

    // MARK: Renewal

    @Test("RFC 8415 18.3.4, 18.3.5: a renewal extends the lease", arguments: [5, 6] as [UInt8])
    func renewal(type: UInt8) throws {
        let scene = try DHCPv6Scene()
        #expect(try scene.address(of: Self.stranger) == "fdc0:a87f::3")
        scene.four.now = scene.four.now + .seconds(3000)
        let server = type == 5 ? Text.server() : ""
        let own = Text.addresses("fdc0:a87f::3")
        let lines = try scene.answer(to: type, Text.client(), server, own, from: Self.stranger)
        #expect(Self.addressLines(lines) == ["address fdc0:a87f::3 3600 3600"])
        let leases = scene.server.leases(in: scene.four.server.pool, now: scene.four.now)
        #expect(leases.map { $0.expires - scene.four.now } == [.seconds(3600)])
    }

    @Test("a lease survives a restart of the server", arguments: [3, 5, 6] as [UInt8])
    func restart(type: UInt8) throws {
        let scene = try DHCPv6Scene()
        let server = type == 6 ? "" : Text.server()
        let own = Text.addresses("fdc0:a87f::77")
        let lines = try scene.answer(to: type, Text.client(), server, own, from: Self.stranger)
        #expect(Self.addressLines(lines) == ["address fdc0:a87f::77 3600 3600"])
        #expect(try scene.four.lease(to: Self.stranger) == "192.168.127.119")
    }

    @Test(
        "RFC 8415 18.3.4: an address that the machine cannot have is taken back",
        arguments: ["fdc0:a87f::2", "fdc0:a87f::1", "fdc0:a87f::fe", "fdc0:a880::3"]
    )
    func replaced(address: String) throws {
        let scene = try DHCPv6Scene()
        let old = Text.addresses(address)
        let renew = { (mac: MACAddress) in
            try scene.answer(to: 5, Text.client(), Text.server(), old, from: mac)
        }
        let expected = ["address fdc0:a87f::3 3600 3600", "address \(address) 0 0"]
        #expect(Self.addressLines(try renew(Self.stranger)) == expected)
    }

    @Test func `IPv6 follows a number that IPv4 insists on`() throws {
        let scene = try DHCPv6Scene()
        #expect(try scene.address(of: Self.stranger) == "fdc0:a87f::3")
        let reboot = DHCPServerScene.message(
            .request,
            from: Self.stranger,
            requesting: "192.168.127.50"
        )
        #expect(try scene.four.reply(to: reboot)?.type == .ack)
        #expect(try scene.four.lease(to: Self.mac(2)) == "192.168.127.4")
        let own = Text.addresses("fdc0:a87f::3")
        let lines = try scene.answer(
            to: 5,
            Text.client(),
            Text.server(),
            own,
            from: Self.stranger
        )
        let expected = ["address fdc0:a87f::32 3600 3600", "address fdc0:a87f::3 0 0"]
        #expect(Self.addressLines(lines) == expected)
        let discover = DHCPServerScene.message(
            .discover,
            from: Self.mac(3),
            requesting: "192.168.127.3"
        )
        let offer = try #require(try scene.four.reply(to: discover))
        #expect("\(offer.yourAddress)" == "192.168.127.3")
    }

    @Test func `RFC 8415 18.3.2: a request for an address of another link is refused`() throws {
        let scene = try DHCPv6Scene()
        let wish = Text.addresses("fdc0:a880::3")
        let lines = try scene.answer(to: 3, Text.client(), Text.server(), wish)
        #expect(Self.addressLines(lines) == ["status 4"])
        #expect(scene.leased.isEmpty)
    }

    @Test func `one machine has one address, also with two associations`() throws {
        let scene = try DHCPv6Scene()
        let both = Text.addresses() + Text.addresses(identifier: "00000002")
        let lines = try scene.answer(to: 1, Text.client(), both, from: Self.stranger)
        #expect(Self.addressLines(lines) == ["address fdc0:a87f::3 3600 3600", "status 2"])
    }

    // MARK: The end

    @Test func `RFC 8415 18.3.8: a declined address is not leased for ten minutes`() throws {
        let scene = try DHCPv6Scene()
        #expect(try scene.address(of: Self.stranger) == "fdc0:a87f::3")
        let own = Text.addresses("fdc0:a87f::3")
        let decline = [Text.client(), Text.server(), own].joined()
        let lines = try scene.answer(to: 9, decline, from: Self.stranger)
        #expect(lines?.last == "status 0")
        #expect(scene.server.statistics.declines == 1)
        #expect(try scene.address(of: Self.stranger) == "fdc0:a87f::4")
        #expect(try scene.address(of: Self.mac(2)) == "fdc0:a87f::5")
        #expect(try scene.four.lease(to: Self.mac(3)) == "192.168.127.6")
        scene.four.now = scene.four.now + .seconds(601)
        let wish = Text.addresses("fdc0:a87f::3")
        let later = try scene.answer(to: 1, Text.client(), wish, from: Self.mac(4))
        #expect(Self.addressLines(later) == ["address fdc0:a87f::3 3600 3600"])
    }

    @Test("a machine cannot end the lease of another", arguments: [8, 9] as [UInt8])
    func foreignEnd(type: UInt8) throws {
        let scene = try DHCPv6Scene()
        #expect(try scene.address(of: Self.stranger) == "fdc0:a87f::3")
        let own = Text.addresses("fdc0:a87f::3")
        let lines = try scene.answer(to: type, Text.client(), Text.server(), own)
        #expect(Self.addressLines(lines) == ["status 3"])
        let leases = scene.server.leases(in: scene.four.server.pool, now: scene.four.now)
        #expect(leases.map { "\($0.address)" } == ["fdc0:a87f::3"])
    }

    @Test func `the end of a lease in one family does not end that in the other`() throws {
        let scene = try DHCPv6Scene()
        #expect(try scene.four.lease(to: Self.stranger) == "192.168.127.3")
        #expect(try scene.address(of: Self.stranger) == "fdc0:a87f::3")
        let four = DHCPServerScene.message(
            .release,
            from: Self.stranger,
            server: "192.168.127.1",
            holding: "192.168.127.3"
        )
        _ = scene.four.response(to: four)
        #expect(scene.four.server.leases(now: scene.four.now).isEmpty)
        #expect(try scene.four.lease(to: Self.mac(2)) == "192.168.127.4")
        #expect(try scene.address(of: Self.stranger) == "fdc0:a87f::3")
        #expect(try scene.four.lease(to: Self.stranger) == "192.168.127.3")
        let six = Text.client() + Text.server() + Text.addresses("fdc0:a87f::3")
        _ = try scene.answer(to: 8, six, from: Self.stranger)
        let leases = scene.four.server.leases(now: scene.four.now).map { "\($0.0)" }
        #expect(leases == ["192.168.127.3", "192.168.127.4"])
    }

    // MARK: A restart with state

    private func restore(_ address: String, _ rest: Duration, in scene: DHCPv6Scene) -> Bool {
        let lease = DHCPv6Server.Lease(
            address: DHCPServerScene.address(address),
            mac: Self.stranger,
            expires: scene.four.now + rest
        )
        return scene.server.restore(lease, in: &scene.four.server.pool, now: scene.four.now)
    }

    @Test func `a lease of an earlier run keeps others from the number in both families`() throws {
        let scene = try DHCPv6Scene()
        #expect(restore("fdc0:a87f::3", .seconds(600), in: scene))
        #expect(try scene.address(of: Self.mac(7)) == "fdc0:a87f::4")
        #expect(try scene.four.lease(to: Self.mac(8)) == "192.168.127.5")
        let records = scene.server.records(in: scene.four.server.pool)
        #expect(records.map { "\($0.address)" } == ["fdc0:a87f::3", "fdc0:a87f::4"])
        let rests = records.map { $0.expires - scene.four.now }
        #expect(rests == [.seconds(600), .seconds(3600)])
        #expect(try scene.four.lease(to: Self.stranger) == "192.168.127.3")
        #expect(try scene.address(of: Self.stranger) == "fdc0:a87f::3")
    }

    @Test func `a lease of an earlier run ends after the lease time at the latest`() throws {
        let scene = try DHCPv6Scene()
        #expect(restore("fdc0:a87f::9", .seconds(1 << 40), in: scene))
        scene.four.now = scene.four.now + .seconds(3600)
        let pool = scene.four.server.pool
        #expect(scene.server.leases(in: pool, now: scene.four.now).isEmpty)
        #expect(scene.server.records(in: pool).count == 1)
    }

    @Test func `a lease that ended before is remembered`() throws {
        let scene = try DHCPv6Scene()
        #expect(restore("fdc0:a87f::9", .seconds(-7200), in: scene))
        #expect(scene.server.leases(in: scene.four.server.pool, now: scene.four.now).isEmpty)
        #expect(try scene.address(of: Self.stranger) == "fdc0:a87f::9")
    }

    @Test(
        "a lease of an earlier run is dropped if this network cannot give its address",
        arguments: [
            "fdc0:a880::9", "fdc0:a87f::1", "fdc0:a87f::2", "fdc0:a87f::fe",
            "fdc0:a87f::5894:efff:fee4:cee",
        ]
    )
    func dropped(address: String) throws {
        #expect(!restore(address, .seconds(600), in: try DHCPv6Scene()))
    }

    // MARK: Hostile machines

    @Test func `a guest that invents machines takes no number away from other links`() throws {
        let scene = try DHCPv6Scene()
        scene.server.link = { $0.rawValue < 0x0200_0001_0000 ? 1 : 2 }
        scene.four.server.link = scene.server.link
        for number in 0..<300 as Range<UInt64> { _ = try scene.address(of: Self.mac(number)) }
        #expect(scene.server.statistics.exhausted > 40)
        let neighbor = try #require(try scene.address(of: Self.mac(0x1_0000)))
        #expect(try scene.address(of: Self.mac(500)) == nil)
        #expect(try scene.address(of: Self.mac(0x1_0000)) == neighbor)
        #expect(try scene.four.lease(to: Self.mac(0x1_0000)) != nil)
    }

    @Test func `a long search list is cut to what fits the smallest MTU`() throws {
        let domains = (0..<60).map { "department-\($0).example.com" }
        let scene = try DHCPv6Scene(domains: domains)
        let inform = [11, 1, 2, 3] + Text.octets(Text.client())
        let datagram = ServiceDatagram(
            source: Endpoint(address: .gatewayLinkLocal, port: 546),
            destination: Endpoint(address: .allDHCPv6Servers, port: 547),
            sourceMAC: Self.stranger,
            payload: inform
        )
        let reply = scene.server.respond(
            to: datagram,
            leasing: &scene.four.server.pool,
            now: scene.four.now
        )
        #expect((1000...1232).contains(try #require(reply).count))
        #expect(try scene.answer(to: inform)?.contains { $0.hasPrefix("24 ") } == true)
    }
}
