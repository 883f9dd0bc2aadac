import Testing

@testable import RDNetKit

/// The negotiation of two rdnets, which must understand each other across releases.
@Suite("offload negotiation message")
struct OffloadMessageTests {
    private static let offer: WireFields = [
        ("destination: never forwarded (IEEE 802.1Q)", "0180 c200 000e"),
        ("source", "5a94 efe4 0cee"),
        ("EtherType: local experimental 1", "88b5"),
        ("magic: RDNT", "5244 4e54"),
        ("version", "01"),
        ("kind: offer", "01"),
        ("capabilities: checksum, TSO4, TSO6, USO", "000f"),
        ("largest frame: 65,535", "0000 ffff"),
        ("subnet", "c0a8 7f00"),
        ("prefix length", "18"),
        ("padding", "00 00000000 00000000 00000000 00000000 00000000 00000000 00000000"),
    ]

    private static func read(_ fields: WireFields) throws -> OffloadMessage {
        try OffloadMessage(reading: fields.octets.span.bytes)
    }

    @Test func `an offer is read and written`() throws {
        let message = try Self.read(Self.offer)
        #expect(message.kind == .offer)
        #expect(message.capabilities == .all)
        #expect(message.maximumFrame == 65_535)
        #expect(message.subnet == .standard)
        let octets = written(60) { message.write(to: &$0, source: .standardGuest) }
        expectBytes(octets, equals: Self.offer)
    }

    @Test(
        "the other kinds have their numbers",
        arguments: [("02", .accept), ("03", .start)] as [(String, OffloadMessage.Kind)]
    )
    func kinds(value: String, kind: OffloadMessage.Kind) throws {
        let fields = Self.offer.setting("kind: offer", to: value)
        let message = try Self.read(fields)
        #expect(message.kind == kind)
        let octets = written(60) { message.write(to: &$0, source: .standardGuest) }
        expectBytes(octets, equals: fields)
    }

    @Test(
        "each capability has its bit; unknown ones are left out",
        arguments: [
            ("0001", .checksum), ("0002", .tcpIPv4), ("0004", .tcpIPv6), ("0008", .udp),
            ("fff0", []), ("8005", [.checksum, .tcpIPv6]),
        ] as [(String, OffloadCapabilities)]
    )
    func capabilities(value: String, expected: OffloadCapabilities) throws {
        let name = "capabilities: checksum, TSO4, TSO6, USO"
        #expect(try Self.read(Self.offer.setting(name, to: value)).capabilities == expected)
    }

    @Test(
        "every other frame is no negotiation",
        arguments: [
            ("destination: never forwarded (IEEE 802.1Q)", "0180 c200 0000"),
            ("EtherType: local experimental 1", "88b6"), ("magic: RDNT", "5244 4e55"),
            ("version", "02"), ("kind: offer", "00"), ("kind: offer", "04"),
            ("prefix length", "07"), ("prefix length", "1f"),
        ]
    )
    func other(field: String, value: String) {
        #expect(throws: PacketError.notThisFormat) {
            try Self.read(Self.offer.setting(field, to: value))
        }
    }

    @Test func `a shorter frame is none`() {
        #expect(throws: PacketError.notThisFormat) {
            try OffloadMessage(reading: Array(Self.offer.octets.dropLast()).span.bytes)
        }
    }
}
