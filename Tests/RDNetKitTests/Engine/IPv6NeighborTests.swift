import Testing

@testable import RDNetKit

@Suite("neighbor discovery with a guest")
struct IPv6NeighborTests {
    private let guest: IPv6Guest
    private static let ownLink: [UInt8] =
        [1, 1] + GuestWire.octets(Int(ScriptedGuest.mac.rawValue), 6)
    private static let gatewayMAC: [UInt8] = [0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd]

    init() throws {
        guest = try IPv6Guest()
    }

    private func solicit(
        _ target: IPAddress,
        from source: IPAddress = IPv6Guest.linkLocal,
        to destination: IPAddress? = nil,
        hopLimit: UInt8 = 255,
        code: UInt8 = 0,
        options: [UInt8] = ownLink
    ) {
        let last = IPv6Guest.octets(target)[13...]
        let group = IPAddress(
            high: 0xff02 << 48,
            low: 0x1_ff00_0000 | UInt64(GuestWire.number(last, 0, 3))
        )
        guest.sendICMP(
            135,
            code: code,
            [0, 0, 0, 0] + IPv6Guest.octets(target) + options,
            from: source,
            to: destination ?? group,
            hopLimit: hopLimit
        )
    }

    @Test(
        "each address of the gateway is answered (RFC 4861, 7.2.4)",
        arguments: [IPv6Guest.gateway, IPv6Guest.alias, IPv6Guest.router]
    )
    func own(target: IPAddress) throws {
        solicit(target)
        let answer = try #require(try guest.take().first)
        #expect(answer.type == 136 && answer.hopLimit == 255)
        #expect(answer.source == target && answer.destination == IPv6Guest.linkLocal)
        #expect(answer.mac == GuestWire.octets(Int(ScriptedGuest.mac.rawValue), 6))
        // Router, solicited, override; the target; its link-layer address.
        let rest = [0xe0, 0, 0, 0] + IPv6Guest.octets(target) + [2, 1] + Self.gatewayMAC
        expectBytes(Array(answer.payload[4...]), equals: rest)
    }

    @Test func `a guest that checks a taken address is told so by all (RFC 4862, 5.4.3)`() throws {
        solicit(IPv6Guest.gateway, from: .anyIPv6, options: [])
        let answer = try #require(try guest.take().first)
        #expect(answer.destination == IPv6Guest.allNodes)
        #expect(answer.mac == [0x33, 0x33, 0, 0, 0, 1])
        #expect(answer.payload[4] == 0xa0, "not an answer to somebody's solicitation")
    }

    @Test(
        "another address is not answered",
        arguments: ["fdc0:a87f::3", "fdc0:a87f::2", "fe80::3", "2001:db8::1"]
    )
    func foreign(target: String) throws {
        solicit(IPv6Guest.text(target))
        #expect(try guest.take().isEmpty)
    }

    @Test func `a message that a router may have passed on is discarded (RFC 4861, 7.1.1)`() throws
    {
        solicit(IPv6Guest.gateway, hopLimit: 254)
        solicit(IPv6Guest.gateway, code: 1)
        solicit(IPv6Guest.gateway, options: [1, 0, 0, 0, 0, 0, 0, 0])
        solicit(IPv6Guest.gateway, from: .anyIPv6)
        #expect(try guest.take().isEmpty)
        #expect(guest.dropped(.malformed) == 4)
    }

    @Test func `a wrong checksum is dropped`() throws {
        var message = [135, 0, 0, 0] + [0, 0, 0, 0] + IPv6Guest.octets(IPv6Guest.gateway)
        PlainChecksum.store(0x1234, in: &message, at: 2)
        guest.send(58, message, to: IPv6Guest.gateway, hopLimit: 255)
        #expect(try guest.take().isEmpty)
        #expect(guest.dropped(.badChecksum) == 1)
    }

    @Test func `a packet for a guest whose MAC address is unknown waits for its advertisement`()
        throws
    {
        let other = Endpoint(address: IPv6Guest.text("fdc0:a87f::77"), port: 9)
        let source = Endpoint(address: IPv6Guest.gateway, port: 53)
        [1, 2, 3].withUnsafeBytes { guest.guest.engine.udp.send($0, from: source, to: other) }
        let question = try #require(try guest.take().first)
        #expect(question.type == 135 && question.hopLimit == 255)
        #expect(question.source == IPv6Guest.router)
        #expect(question.destination == IPv6Guest.text("ff02::1:ff00:77"))
        #expect(question.mac == [0x33, 0x33, 0xff, 0, 0, 0x77])
        let target = IPv6Guest.octets(other.address)
        expectBytes(
            Array(question.payload[4...]),
            equals: [0, 0, 0, 0] + target + [1, 1] + Self.gatewayMAC
        )
        // Solicited, override, and the target's link-layer address.
        guest.sendICMP(
            136,
            [0x60, 0, 0, 0] + target + [2] + Self.ownLink[1...],
            from: other.address,
            to: IPv6Guest.router
        )
        let datagram = try #require(try guest.take().first)
        #expect(datagram.next == 17 && datagram.destination == other.address)
    }

    @Test func `a router solicitation reaches the router, an advertisement does not`() throws {
        var heard: [IPAddress] = []
        guest.guest.engine.routerSolicited = { address, _ in heard.append(address) }
        guest.sendICMP(
            133,
            [0, 0, 0, 0] + Self.ownLink,
            from: IPv6Guest.linkLocal,
            to: IPv6Guest.text("ff02::2")
        )
        guest.sendICMP(133, [0, 0, 0, 0], from: .anyIPv6, to: IPv6Guest.text("ff02::2"))
        #expect(heard == [IPv6Guest.linkLocal, .anyIPv6])
        guest.sendICMP(
            134,
            [64, 0, 7, 8] + [UInt8](repeating: 0, count: 8),
            from: IPv6Guest.linkLocal,
            to: IPv6Guest.allNodes
        )
        #expect(guest.dropped(.routerMessage) == 1)
    }

    @Test func `the gateway's addresses belong to no guest`() throws {
        for address in [IPv6Guest.gateway, IPv6Guest.alias, IPv6Guest.router] {
            guest.sendICMP(128, [0, 1, 0, 1], from: address, to: IPv6Guest.gateway)
        }
        guest.sendICMP(128, [0, 1, 0, 1], from: .anyIPv6, to: IPv6Guest.gateway)
        guest.sendICMP(128, [0, 1, 0, 1], from: IPv6Guest.allNodes, to: IPv6Guest.gateway)
        #expect(try guest.take().isEmpty)
        #expect(guest.dropped(.badSource) == 5)
    }
}
