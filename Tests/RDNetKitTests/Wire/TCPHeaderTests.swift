import Testing

@testable import RDNetKit

/// Segments of Linux's TCP, from the TCP header on.
@Suite("TCP header")
struct TCPHeaderTests {
    /// A client's SYN, as tcpdump prints it: `Flags [S], seq 2533665032, win 64240, options [mss
    /// 1460,sackOK,TS val 1753075471 ecr 0,nop,wscale 10]`.
    static let syn: WireFields = [
        ("source port", "e6d2"),
        ("destination port", "0050"),
        ("sequence", "9704 a908"),
        ("acknowledgment", "0000 0000"),
        ("data offset: 10 words", "a0"),
        ("flags: SYN", "02"),
        ("window", "faf0"),
        ("checksum", "0206"),
        ("urgent pointer", "0000"),
        ("MSS: kind, length", "0204"),
        ("MSS", "05b4"),
        ("SACK permitted: kind, length", "0402"),
        ("timestamps: kind, length", "080a"),
        ("TSval", "687d cf0f"),
        ("TSecr", "0000 0000"),
        ("NOP", "01"),
        ("window scale: kind, length", "0303"),
        ("window scale", "0a"),
    ]

    /// The last segment of a download.
    private static let end: WireFields = [
        ("source port", "0050"),
        ("destination port", "e6d2"),
        ("sequence", "891e 9a34"),
        ("acknowledgment", "9704 a957"),
        ("data offset: 8 words", "80"),
        ("flags: FIN, ACK", "11"),
        ("window", "0040"),
        ("checksum", "bd1a"),
        ("urgent pointer", "0000"),
        ("NOP, NOP", "0101"),
        ("timestamps: kind, length", "080a"),
        ("TSval", "dcd9 6ddc"),
        ("TSecr", "687d cf12"),
    ]

    /// The answer of a closed port.
    private static let reset: WireFields = [
        ("source port", "0051"),
        ("destination port", "b0fc"),
        ("sequence", "0000 0000"),
        ("acknowledgment", "c00d e6f1"),
        ("data offset: 5 words", "50"),
        ("flags: RST, ACK", "14"),
        ("window", "0000"),
        ("checksum", "6b3a"),
        ("urgent pointer", "0000"),
    ]

    private static func read(_ fields: WireFields) throws -> TCPHeader {
        try TCPHeader(reading: fields.octets.span.bytes)
    }

    @Test func `a SYN is read field by field`() throws {
        let header = try Self.read(Self.syn)
        #expect(header.sourcePort == 0xe6d2)
        #expect(header.destinationPort == 80)
        #expect(header.sequence == SequenceNumber(2_533_665_032))
        #expect(header.acknowledgment == SequenceNumber(0))
        #expect(header.headerLength == 40)
        #expect(header.flags == .syn)
        #expect(header.window == 64_240)
        #expect(header.options.maximumSegmentSize == 1460)
        #expect(header.options.windowScale == 10)
        #expect(header.options.sackPermitted)
        #expect(header.options.timestamps == TCPTimestampOption(value: 1_753_075_471, echo: 0))
        #expect(header.options.sackBlocks.isEmpty)
    }

    @Test func `the answer to it carries the same options`() throws {
        let answer = Self.syn.setting("flags: SYN", to: "12")
            .setting("sequence", to: "891e 9977").setting("acknowledgment", to: "9704 a909")
            .setting("window", to: "fcc0").setting("MSS", to: "0550")
            .setting("TSval", to: "dcd9 6dda").setting("TSecr", to: "687d cf0f")
        let header = try Self.read(answer)
        #expect(header.flags == [.syn, .ack])
        #expect(header.sequence == SequenceNumber(2_300_483_959))
        #expect(header.acknowledgment == SequenceNumber(2_533_665_033))
        #expect(header.options.maximumSegmentSize == 1360)
        let clocks = TCPTimestampOption(value: 3_705_236_954, echo: 1_753_075_471)
        #expect(header.options.timestamps == clocks)
    }

    @Test func `a FIN is read, and written as Linux writes it`() throws {
        let header = try Self.read(Self.end)
        #expect(header.flags == [.fin, .ack])
        #expect(header.sourcePort == 80 && header.destinationPort == 0xe6d2)
        #expect(header.sequence == SequenceNumber(0x891e_9a34))
        #expect(header.acknowledgment == SequenceNumber(0x9704_a957))
        #expect(header.window == 64)
        #expect(header.headerLength == 32 && header.writtenLength == 32)
        let clocks = TCPTimestampOption(value: 0xdcd9_6ddc, echo: 0x687d_cf12)
        #expect(header.options == TCPOptions(timestamps: clocks))
        let expected = Self.end.setting("checksum", to: "0000")
        expectBytes(written(32) { header.write(to: &$0) }, equals: expected)
    }

    @Test func `a RST is read, and written as Linux writes it`() throws {
        let header = try Self.read(Self.reset)
        #expect(header.flags == [.rst, .ack])
        #expect(header.sourcePort == 81)
        #expect(header.sequence == SequenceNumber(0))
        #expect(header.acknowledgment == SequenceNumber(0xc00d_e6f1))
        #expect(header.window == 0)
        #expect(header.headerLength == 20 && header.writtenLength == 20)
        #expect(header.options == TCPOptions())
        let expected = Self.reset.setting("checksum", to: "0000")
        expectBytes(written(20) { header.write(to: &$0) }, equals: expected)
    }

    @Test(
        "each flag has its bit (RFC 9293, 3.1)",
        arguments: [
            (0x01, .fin), (0x02, .syn), (0x04, .rst), (0x08, .psh), (0x10, .ack),
            (0x18, [.psh, .ack]), (0x19, [.fin, .psh, .ack]),
            // URG and the bits of ECN, which Linux sets in a SYN (RFC 3168, 6.1.1), are left out.
            (0x20, []), (0xc2, .syn),
        ] as [(UInt8, TCPFlags)]
    )
    func flag(octet: UInt8, flags: TCPFlags) throws {
        var octets = Self.reset.octets
        octets[13] = octet
        var header = try TCPHeader(reading: octets.span.bytes)
        #expect(header.flags == flags)
        header.flags = flags
        #expect(written(20) { header.write(to: &$0) }[13] == octet & 0x1f)
    }

    @Test("a header cut short is refused", arguments: 0..<20)
    func short(length: Int) {
        let octets = Array(Self.reset.octets.prefix(length))
        #expect(throws: PacketError.truncated(needed: 20, available: length)) {
            try TCPHeader(reading: octets.span.bytes)
        }
    }

    @Test(
        "a data offset below the header or beyond the segment is refused",
        arguments: [("40", 16), ("60", 24), ("f0", 60)]
    )
    func offset(value: String, length: Int) {
        let octets = Self.reset.setting("data offset: 5 words", to: value).octets
        #expect(throws: PacketError.badLength(field: length, available: 20)) {
            try TCPHeader(reading: octets.span.bytes)
        }
    }
}

@Suite("TCP sequence number")
struct SequenceNumberTests {
    @Test func `counts and compares modulo 2 to the 32nd (RFC 9293, 3.4)`() {
        let (last, first) = (SequenceNumber(0xffff_fff0), SequenceNumber(0x10))
        #expect(last + 0x20 == first)
        #expect(first - last == 0x20)
        #expect(last - first == -0x20)
        #expect(last < first && last <= first && first > last && first >= last)
        #expect(!(first < last) && !(first <= last) && !(last > first) && !(last >= first))
        #expect(first <= first && first >= first && !(first < first) && !(first > first))
        var moving = last
        moving += 0x11
        #expect(moving == SequenceNumber(1))
        #expect(first + -0x11 == SequenceNumber(0xffff_ffff))
    }
}
