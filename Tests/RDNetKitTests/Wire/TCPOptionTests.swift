import Testing

@testable import RDNetKit

/// The options of TCP headers, as Linux and RFC 2018 and RFC 7323 lay them out.
@Suite("TCP options")
struct TCPOptionTests {
    /// A header of an ACK in front of options.
    private static func header(_ options: WireFields) -> WireFields {
        let words = 5 + options.octets.count / 4
        let fixed: WireFields = [
            ("source port", "9f98"),
            ("destination port", "0050"),
            ("sequence", "416c 5734"),
            ("acknowledgment", "1fbe c04c"),
            ("data offset", String(words, radix: 16) + "0"),
            ("flags: ACK", "10"),
            ("window", "0040"),
            ("checksum", "0000"),
            ("urgent pointer", "0000"),
        ]
        return fixed.followed(by: options)
    }

    private static func read(_ options: WireFields) throws -> TCPHeader {
        try TCPHeader(reading: header(options).octets.span.bytes)
    }

    private func expectWritten(_ options: TCPOptions, as fields: WireFields) throws {
        var header = try Self.read([])
        header.options = options
        let octets = written(header.writtenLength) { header.write(to: &$0) }
        expectBytes(octets, equals: Self.header(fields))
    }

    private static func block(_ start: UInt32, _ end: UInt32) -> SACKBlock {
        SACKBlock(start: SequenceNumber(start), end: SequenceNumber(end))
    }

    // MARK: Each option

    @Test func `the maximum segment size is kind 2 (RFC 9293, 3.2)`() throws {
        let fields: WireFields = [("MSS: kind, length", "0204"), ("MSS", "0550")]
        let expected = TCPOptions(maximumSegmentSize: 1360)
        #expect(try Self.read(fields).options == expected)
        try expectWritten(expected, as: fields)
    }

    @Test func `the window scale is kind 3 (RFC 7323, 2.2)`() throws {
        let fields: WireFields = [
            ("NOP", "01"), ("window scale: kind, length", "0303"), ("window scale", "0a"),
        ]
        let expected = TCPOptions(windowScale: 10)
        #expect(try Self.read(fields).options == expected)
        try expectWritten(expected, as: fields)
    }

    @Test("a window scale above 14 is read as 14 (RFC 7323, 2.3)", arguments: ["0e", "0f", "ff"])
    func largeScale(scale: String) throws {
        let fields: WireFields = [
            ("NOP", "01"), ("window scale: kind, length", "0303"), ("window scale", scale),
        ]
        #expect(try Self.read(fields).options.windowScale == 14)
    }

    @Test func `SACK permitted is kind 4 (RFC 2018, 2)`() throws {
        let fields: WireFields = [("NOP, NOP", "0101"), ("SACK permitted: kind, length", "0402")]
        let expected = TCPOptions(sackPermitted: true)
        #expect(try Self.read(fields).options == expected)
        try expectWritten(expected, as: fields)
    }

    private static let clocks: WireFields = [
        ("NOP, NOP", "0101"), ("timestamps: kind, length", "080a"),
        ("TSval", "e51a cf29"), ("TSecr", "0a31 0d54"),
    ]

    @Test func `timestamps are kind 8 (RFC 7323, 3.2), aligned as in its appendix A`() throws {
        let option = TCPTimestampOption(value: 0xe51a_cf29, echo: 0x0a31_0d54)
        let expected = TCPOptions(timestamps: option)
        #expect(try Self.read(Self.clocks).options == expected)
        try expectWritten(expected, as: Self.clocks)
        let unaligned: WireFields = [
            ("timestamps: kind, length", "080a"), ("TSval", "e51a cf29"), ("TSecr", "0a31 0d54"),
            ("end", "0000"),
        ]
        #expect(try Self.read(unaligned).options == expected)
    }

    @Test func `SACK blocks are kind 5, behind timestamps`() throws {
        // Linux reports two holes.
        let fields = Self.clocks.followed(by: [
            ("NOP, NOP", "0101"),
            ("SACK: kind, length", "0512"),
            ("block 1, left edge", "1fbe ea6c"),
            ("block 1, right edge", "1fbe efb0"),
            ("block 2, left edge", "1fbe c590"),
            ("block 2, right edge", "1fbe e528"),
        ])
        let header = try Self.read(fields)
        #expect(header.headerLength == 52)
        #expect(header.options.timestamps?.value == 0xe51a_cf29)
        let blocks = [
            Self.block(0x1fbe_ea6c, 0x1fbe_efb0), Self.block(0x1fbe_c590, 0x1fbe_e528),
        ]
        #expect(header.options.sackBlocks == blocks)
        try expectWritten(header.options, as: fields)
    }

    @Test("one to four SACK blocks (RFC 2018, 3)", arguments: 1...4)
    func blocks(count: Int) throws {
        var fields: WireFields = [
            ("NOP, NOP", "0101"), ("SACK: kind", "05"),
            ("SACK: length", ["0a", "12", "1a", "22"][count - 1]),
        ]
        var expected: [SACKBlock] = []
        for number in 0..<count {
            // RFC 2018, section 4: segments of 500 octets from 5500 on, every other one lost.
            let start = UInt32(5500 + 1000 * number)
            let digits = { (value: UInt32) in "0000" + String(value, radix: 16) }
            fields = fields.followed(by: [
                ("left edge", digits(start)), ("right edge", digits(start + 500)),
            ])
            expected.append(Self.block(start, start + 500))
        }
        let options = TCPOptions(sackBlocks: expected)
        #expect(try Self.read(fields).options == options)
        try expectWritten(options, as: fields)
    }

    @Test func `all options of a SYN are written aligned, in the order of their use`() throws {
        let options = TCPOptions(
            maximumSegmentSize: 1460,
            windowScale: 7,
            sackPermitted: true,
            timestamps: TCPTimestampOption(value: 0xe51a_cf29, echo: 0x0a31_0d54)
        )
        let others: WireFields = [
            ("MSS: kind, length", "0204"), ("MSS", "05b4"),
            ("NOP", "01"), ("window scale: kind, length", "0303"), ("window scale", "07"),
            ("NOP, NOP", "0101"), ("SACK permitted: kind, length", "0402"),
        ]
        let fields = others.followed(by: Self.clocks)
        try expectWritten(options, as: fields)
        #expect(try Self.read(fields).options == options)
    }

    // MARK: What other systems send

    @Test func `BSD's order of options is read`() throws {
        let fields: WireFields = [
            ("MSS: kind, length", "0204"), ("MSS", "05b4"),
            ("NOP", "01"), ("window scale: kind, length", "0303"), ("window scale", "06"),
            ("SACK permitted: kind, length", "0402"),
            ("timestamps: kind, length", "080a"), ("TSval", "0000 0001"), ("TSecr", "0000 0002"),
        ]
        #expect(
            try Self.read(fields).options
                == TCPOptions(
                    maximumSegmentSize: 1460,
                    windowScale: 6,
                    sackPermitted: true,
                    timestamps: TCPTimestampOption(value: 1, echo: 2)
                )
        )
    }

    @Test func `an unknown option is skipped by its length (RFC 9293, MUST-6)`() throws {
        let fields: WireFields = [
            // Fast open with a cookie of eight octets (RFC 7413).
            ("fast open: kind, length", "220a"), ("cookie", "0204 0999 0303 0101"),
            ("MSS: kind, length", "0204"), ("MSS", "0550"), ("NOP", "0101"),
        ]
        #expect(try Self.read(fields).options == TCPOptions(maximumSegmentSize: 1360))
    }

    @Test func `nothing is read behind the end of the options`() throws {
        let fields: WireFields = [
            ("MSS: kind, length", "0204"), ("MSS", "0550"),
            ("end", "00"), ("window scale: kind, length", "0303"), ("window scale", "07"),
            ("padding", "000000"),
        ]
        #expect(try Self.read(fields).options == TCPOptions(maximumSegmentSize: 1360))
    }

    @Test(
        "an impossible length ends the options, not the segment (RFC 9293, MUST-7)",
        arguments: [
            "0200 0550", "0201 0550", "0205 0550", "0101 0102", "01ff 0000", "01fd ff00",
        ]
    )
    func impossible(octets: String) throws {
        let fields: WireFields = [("SACK permitted", "0101 0402"), ("options", octets)]
        #expect(try Self.read(fields).options == TCPOptions(sackPermitted: true))
    }

    @Test(
        "an option whose length is not its own is ignored",
        arguments: [
            "0203 0501", "0304 0a00", "0403 0001", "0809 0000 0000 0000 0001 0101",
            "0509 0000 0001 0000 0001 0101", "0506 0000 0001 0101",
        ]
    )
    func otherLength(octets: String) throws {
        #expect(try Self.read([("options", octets)]).options == TCPOptions())
    }
}
