import Testing

@testable import RDNetKit

@Suite("IPv6 packets from a guest")
struct IPv6PacketTests {
    private let guest: IPv6Guest

    init() throws {
        guest = try IPv6Guest()
    }

    /// An echo request to the gateway, as far as its checksum.
    private static let echo: [UInt8] = {
        var message: [UInt8] = [128, 0, 0, 0, 0x12, 0x34, 0, 1, 9, 8, 7]
        let sum = IPv6Guest.checksum(
            message,
            58,
            from: IPv6Guest.address,
            to: IPv6Guest.gateway
        )
        PlainChecksum.store(sum, in: &message, at: 2)
        return message
    }()

    /// The types, codes and second words of the ICMPv6 messages to the guest.
    private func answers() throws -> [[Int]] {
        try guest.take().map {
            [Int($0.payload[0]), Int($0.payload[1]), GuestWire.number($0.payload, 4, 4)]
        }
    }

    private static let isAnswered = [[129, 0, 0x1234_0001]]

    @Test func `the gateway answers echo requests with the same data`() throws {
        guest.send(58, Self.echo, to: IPv6Guest.gateway)
        let reply = try #require(try guest.take().first)
        #expect(reply.source == IPv6Guest.gateway && reply.destination == IPv6Guest.address)
        #expect(Array(reply.payload[4...]) == Array(Self.echo[4...]) && reply.type == 129)
    }

    @Test(
        "extension headers in front of the transport are skipped (RFC 8200, 4)",
        arguments: [
            // A PadN option of 4 octets fills each header.
            (0, [58, 0, 1, 4, 0, 0, 0, 0]),
            (60, [58, 0, 1, 4, 0, 0, 0, 0]),
            (0, [60, 0, 1, 4, 0, 0, 0, 0, 58, 1, 1, 12] + [UInt8](repeating: 0, count: 12)),
            // A routing header without segments left.
            (43, [58, 0, 253, 0, 0, 0, 0, 0]),
            // The only fragment of a packet (RFC 6946).
            (44, [58, 0, 0, 0, 1, 2, 3, 4]),
            // An unknown option whose highest bits say "skip".
            (60, [58, 0, 0x1e, 4, 0, 0, 0, 0]),
        ] as [(UInt8, [UInt8])]
    )
    func extensions(first: UInt8, headers: [UInt8]) throws {
        guest.send(first, headers + Self.echo, to: IPv6Guest.gateway)
        #expect(try answers() == Self.isAnswered)
    }

    @Test(
        "what cannot be handled is reported at its place (RFC 4443, 3.4)",
        arguments: [
            // An unknown transport: its number is at offset 6, or in the extension header.
            (132, [1, 2, 3, 4], [4, 1, 6]),
            (60, [132, 0, 1, 4, 0, 0, 0, 0, 1, 2], [4, 1, 40]),
            // Unknown options: silence, or a report.
            (60, [58, 0, 0x5e, 4, 0, 0, 0, 0], []),
            (60, [58, 0, 0x9e, 4, 0, 0, 0, 0], [4, 2, 42]),
            (60, [58, 0, 0xde, 4, 0, 0, 0, 0], [4, 2, 42]),
            // A hop-by-hop header that is not the first.
            (60, [0, 0, 1, 4, 0, 0, 0, 0, 58, 0, 1, 4, 0, 0, 0, 0], [4, 1, 40]),
            // Segments left in an unknown routing type.
            (43, [58, 0, 253, 1, 0, 0, 0, 0], [4, 0, 42]),
            // Nothing follows, and nothing is said.
            (59, [], []),
        ] as [(UInt8, [UInt8], [Int])]
    )
    func complaints(first: UInt8, payload: [UInt8], answer: [Int]) throws {
        guest.send(first, payload, to: IPv6Guest.gateway)
        let packets = try guest.take()
        #expect(packets.count == (answer.isEmpty ? 0 : 1))
        guard let packet = packets.first else { return }
        #expect(packet.payload[0] == answer[0] && packet.payload[1] == answer[1])
        #expect(GuestWire.number(packet.payload, 4, 4) == answer[2])
        // The quotation is the packet as it was sent.
        #expect(Array(packet.payload[8..<12]) == [0x60, 0, 0, 0])
        #expect(Array(packet.payload[48...]) == payload)
    }

    @Test func `an option that asks for it is reported even to a group's sender`() throws {
        let group = IPv6Guest.text("ff02::1:ff00:1")
        guest.send(60, [58, 0, 0xde, 4, 0, 0, 0, 0] + Self.echo, to: group)
        #expect(try guest.take().isEmpty)
        guest.send(60, [58, 0, 0x9e, 4, 0, 0, 0, 0] + Self.echo, to: group)
        #expect(try answers() == [[4, 2, 42]])
    }

    @Test(
        "headers that are cut short or contradict each other are dropped",
        arguments: [
            (0, [58, 1, 1, 4, 0, 0, 0, 0]),
            (0, [58]),
            (44, [58, 0, 0, 0]),
            (58, [128, 0, 0]),
            (60, [60, 0, 1, 4, 0, 0, 0, 0].repeated(20)),
        ] as [(UInt8, [UInt8])]
    )
    func cut(first: UInt8, payload: [UInt8]) throws {
        guest.send(first, payload, to: IPv6Guest.gateway)
        #expect(try guest.take().isEmpty)
        #expect(guest.dropped(.malformed) == 1)
    }

    @Test func `a hop limit that ends here is reported (RFC 4443, 3.3)`() throws {
        for hopLimit in [0, 1] as [UInt8] {
            guest.send(58, Self.echo, to: IPv6Guest.text("2001:db8::1"), hopLimit: hopLimit)
        }
        #expect(try answers() == [[3, 0, 0], [3, 0, 0]])
        // The gateway itself is no hop.
        guest.send(58, Self.echo, to: IPv6Guest.gateway, hopLimit: 1)
        #expect(try answers() == Self.isAnswered)
    }

    @Test func `a link-local source goes no further than the link (RFC 4291, 2.5.6)`() throws {
        guest.sendICMP(
            128,
            [0, 1, 0, 1],
            from: IPv6Guest.linkLocal,
            to: IPv6Guest.text("2001:db8::1")
        )
        #expect(try answers() == [[1, 2, 0]])
        guest.sendICMP(128, [0, 1, 0, 1], from: IPv6Guest.linkLocal, to: IPv6Guest.router)
        #expect(try answers() == [[129, 0, 0x0001_0001]])
    }

    @Test(
        "a source outside of the prefix is dropped",
        arguments: ["2001:db8::2", "::1", "::2", "fdc0:a87e::2", "fdc0:a87f::"]
    )
    func strangers(source: String) throws {
        guest.sendICMP(128, [0, 1, 0, 1], from: IPv6Guest.text(source), to: IPv6Guest.gateway)
        #expect(try guest.take().isEmpty)
        #expect(guest.dropped(.badSource) == 1)
    }

    @Test func `groups that concern others are ignored, not dropped`() throws {
        // MLD (RFC 3810), with its router alert option.
        let alert: [UInt8] = [58, 0, 5, 2, 0, 0, 1, 0]
        var report: [UInt8] = [143, 0, 0, 0, 0, 0, 0, 0]
        let group = IPv6Guest.text("ff02::16")
        let sum = IPv6Guest.checksum(report, 58, from: IPv6Guest.linkLocal, to: group)
        PlainChecksum.store(sum, in: &report, at: 2)
        guest.send(0, alert + report, from: IPv6Guest.linkLocal, to: group, hopLimit: 1)
        // mDNS.
        let query = IPv6Guest.datagram(
            [0],
            from: Endpoint(address: IPv6Guest.linkLocal, port: 5353),
            to: Endpoint(address: IPv6Guest.text("ff02::fb"), port: 5353)
        )
        guest.send(17, query, from: IPv6Guest.linkLocal, to: IPv6Guest.text("ff02::fb"))
        #expect(try guest.take().isEmpty)
        #expect(guest.guest.engine.drops.total == 0)
        #expect(guest.guest.engine.ignored.count(of: .ipv6) == 2)
    }

    // MARK: Fragments

    private func fragment(
        _ octets: [UInt8],
        at offset: Int,
        isLast: Bool,
        identification: UInt8 = 1
    ) {
        let header = [58, 0] + GuestWire.octets(offset | (isLast ? 0 : 1), 2)
        guest.send(
            44,
            header + [0, 0, 0, identification] + octets,
            to: IPv6Guest.gateway
        )
    }

    @Test func `fragments in any order become a packet (RFC 8200, 4.5)`() throws {
        let data = (0..<3000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        var message = [128, 0, 0, 0, 0, 7, 0, 1] + data
        let sum = IPv6Guest.checksum(
            message,
            58,
            from: IPv6Guest.address,
            to: IPv6Guest.gateway
        )
        PlainChecksum.store(sum, in: &message, at: 2)
        fragment(Array(message[1200..<2400]), at: 1200, isLast: false)
        fragment(Array(message[2400...]), at: 2400, isLast: true)
        fragment(Array(message[..<1200]), at: 0, isLast: false)
        // The answer exceeds the MTU and is fragmented, too.
        let parts = try guest.take()
        #expect(parts.count == 3)
        #expect(parts.allSatisfy { $0.next == 44 && $0.payload[0] == 58 })
        #expect(Set(parts.map { GuestWire.number($0.payload, 4, 4) }).count == 1)
        let whole = parts.sorted { offset($0) < offset($1) }.flatMap { $0.payload[8...] }
        expectBytes(Array(whole[8...]), equals: data)
    }

    private func offset(_ packet: IPv6Guest.Packet) -> Int {
        GuestWire.number(packet.payload, 2, 2) & ~7
    }

    @Test func `a fragment of a wrong length is reported, an overlap is not`() throws {
        fragment([UInt8](repeating: 128, count: 13), at: 0, isLast: false)
        #expect(try answers() == [[4, 0, 4]])
        fragment([UInt8](repeating: 128, count: 100), at: 65_528, isLast: true, identification: 2)
        #expect(try answers() == [[4, 0, 42]])
        fragment([UInt8](repeating: 1, count: 16), at: 0, isLast: false, identification: 3)
        fragment([UInt8](repeating: 1, count: 16), at: 8, isLast: true, identification: 3)
        #expect(try guest.take().isEmpty)
        #expect(guest.dropped(.fragment) == 3)
    }

    @Test func `a packet that stays incomplete is reported if its start came`() throws {
        fragment(Array(Self.echo[..<8]), at: 0, isLast: false)
        fragment(Array(Self.echo[8...]), at: 800, isLast: true, identification: 2)
        try guest.guest.advance(.seconds(61))
        #expect(try answers() == [[3, 1, 0]])
    }
}

extension [UInt8] {
    fileprivate func repeated(_ count: Int) -> [UInt8] { (0..<count).flatMap { _ in self } }
}
