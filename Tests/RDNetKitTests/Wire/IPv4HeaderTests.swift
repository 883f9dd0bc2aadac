import Testing

@testable import RDNetKit

/// The headers are Linux's.
@Suite("IPv4 header")
struct IPv4HeaderTests {
    /// Of a TCP segment.
    private static let whole: WireFields = [
        ("version and header length", "45"),
        ("DSCP and ECN", "00"),
        ("total length", "0024"),
        ("identification", "7ff2"),
        ("flags and fragment offset: DF", "4000"),
        ("TTL", "40"),
        ("protocol: TCP", "06"),
        ("checksum", "ce98"),
        ("source", "c000 020a"),
        ("destination", "c633 640b"),
        ("payload", "e6d2 0050 9704 a908 0000 0000 a002 faf0"),
    ]
    /// The last fragment of a long ping; the payload is left out.
    private static let fragment: WireFields = [
        ("version and header length", "45"),
        ("DSCP and ECN", "00"),
        ("total length", "028c"),
        ("identification", "c717"),
        ("flags and fragment offset: 172 times 8", "00ac"),
        ("TTL", "40"),
        ("protocol: ICMP", "01"),
        ("checksum", "c464"),
        ("source", "c000 020a"),
        ("destination", "c633 640b"),
    ]

    private static func read(_ octets: [UInt8]) throws -> IPHeader {
        try IPHeader(readingIPv4: octets.span.bytes)
    }

    @Test func `is read and written as Linux writes it`() throws {
        let read = try Self.read(Self.whole.octets)
        #expect(read.headerLength == 20)
        #expect(read.payloadLength == 16)
        #expect(read.trafficClass == 0)
        #expect(read.identification == 0x7ff2)
        #expect(read.dontFragment)
        #expect(!read.moreFragments && read.fragmentOffset == 0 && !read.isFragment)
        #expect(read.hopLimit == 64)
        #expect(read.transport == 6)
        #expect(read.source == IPAddress(ipv4: 0xc000_020a))
        #expect(read.destination == IPAddress(ipv4: 0xc633_640b))
        let octets = written(20) { read.write(to: &$0) }
        expectBytes(octets, equals: Self.whole.octets.prefix(20), fields: Self.whole)
    }

    @Test func `a first fragment has more behind it, and a later one its place`() throws {
        let first = Self.fragment.setting("flags and fragment offset: 172 times 8", to: "2000")
            .setting("total length", to: "0574").setting("checksum", to: "a228")
        let room = [UInt8](repeating: 0, count: 1376)
        let begin = try Self.read(first.octets + room)
        #expect(begin.moreFragments && begin.fragmentOffset == 0 && begin.isFragment)
        #expect(!begin.dontFragment)
        #expect(begin.payloadLength == 1376)
        expectBytes(written(20) { begin.write(to: &$0) }, equals: first)
        let end = try Self.read(Self.fragment.octets + room)
        #expect(!end.moreFragments && end.isFragment)
        #expect(end.fragmentOffset == 1376)
        #expect(end.payloadLength == 632)
        #expect(end.transport == 1)
        expectBytes(written(20) { end.write(to: &$0) }, equals: Self.fragment)
    }

    @Test func `the class of an ICMP error is kept`() throws {
        let error: WireFields = [
            ("version and header length", "45"),
            ("DSCP and ECN: internetwork control", "c0"),
            ("total length", "003b"),
            ("identification", "f249"),
            ("flags and fragment offset", "0000"),
            ("TTL", "3f"),
            ("protocol: ICMP", "01"),
            ("checksum", "9c6f"),
            ("source", "c633 640b"),
            ("destination", "c000 020a"),
        ]
        let read = try Self.read(error.octets + [UInt8](repeating: 0, count: 39))
        #expect(read.trafficClass == 0xc0)
        #expect(read.hopLimit == 63)
        #expect(!read.dontFragment)
        expectBytes(written(20) { read.write(to: &$0) }, equals: error)
    }

    /// The answer to `ping -R`: the record-route option of 39 octets and its end.
    private static let options: WireFields = [
        ("version and header length: 15 words", "4f"),
        ("DSCP and ECN", "00"),
        ("total length", "0046"),
        ("identification", "897a"),
        ("flags and fragment offset", "0000"),
        ("TTL", "3f"),
        ("protocol: ICMP", "01"),
        ("checksum", "1cca"),
        ("source", "c633 640b"),
        ("destination", "c000 020a"),
        ("record route: kind, length, pointer", "0727 18"),
        ("route", "c000020a c6336401 c633640b c633640b c0000201"),
        ("route: empty", "00000000 00000000 00000000 00000000"),
        ("end of options", "00"),
        ("payload: an echo reply", "0000 ebac 1451 0001 0001"),
    ]

    @Test func `options are skipped by the header's length, and summed`() throws {
        let read = try Self.read(Self.options.octets)
        #expect(read.headerLength == 60)
        #expect(read.payloadLength == 10)
        var broken = Self.options.octets
        broken[59] = 1
        #expect(throws: PacketError.badChecksum) { try Self.read(broken) }
    }

    @Test func `octets behind the total length are padding`() throws {
        #expect(try Self.read(Self.whole.octets + [0, 0, 0]).payloadLength == 16)
    }

    @Test(
        "a length that cannot be is refused",
        arguments: [
            ("total length", "0013", 19), ("total length", "0025", 37),
            ("total length", "ffff", 65_535),
            ("version and header length", "44", 36), ("version and header length", "4a", 36),
        ]
    )
    func badLength(field: String, value: String, read: Int) {
        let octets = Self.whole.setting(field, to: value).octets
        #expect(throws: PacketError.badLength(field: read, available: 36)) {
            try Self.read(octets)
        }
    }

    @Test("one wrong bit in any octet is refused", arguments: 0..<20)
    func wrongBit(offset: Int) {
        var octets = Self.whole.octets
        octets[offset] ^= 0x10
        #expect(throws: PacketError.self) { try Self.read(octets) }
    }

    @Test func `IPv6 is another format`() {
        let octets = Self.whole.setting("version and header length", to: "65").octets
        #expect(throws: PacketError.notThisFormat) { try Self.read(octets) }
    }

    @Test("a short packet is refused", arguments: 0..<20)
    func short(length: Int) {
        #expect(throws: PacketError.truncated(needed: 20, available: length)) {
            try Self.read(Array(Self.whole.octets.prefix(length)))
        }
    }

    @Test func `a new header has a TTL of 64, no flags, and IANA's protocol numbers`() {
        let header = IPHeader(
            transport: IPProtocol.udp,
            source: IPAddress(ipv4: 0xc000_020a),
            destination: IPAddress(ipv4: 0xc633_640b),
            payloadLength: 11,
            identification: 0x6a96
        )
        // As Linux sent it, but without DF.
        let expected: WireFields = [
            ("version and header length", "45"),
            ("DSCP and ECN", "00"),
            ("total length", "001f"),
            ("identification", "6a96"),
            ("flags and fragment offset", "0000"),
            ("TTL", "40"),
            ("protocol: UDP", "11"),
            ("checksum", "23ef"),
            ("source", "c000 020a"),
            ("destination", "c633 640b"),
        ]
        expectBytes(written(20) { header.write(to: &$0) }, equals: expected)
        #expect([IPProtocol.icmp, IPProtocol.tcp, IPProtocol.udp] == [1, 6, 17])
    }
}
