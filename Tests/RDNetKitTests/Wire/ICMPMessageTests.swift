import Testing

@testable import RDNetKit

/// Linux's messages, from the ICMP header on.
@Suite("ICMP message")
struct ICMPMessageTests {
    /// `ping -s 11`.
    private static let request: WireFields = [
        ("type: echo request", "08"),
        ("code", "00"),
        ("checksum", "d38d"),
        ("identifier", "0658"),
        ("sequence number", "0001"),
        ("data", "0001 0203 0405 0607 0809 0a"),
    ]
    private static let reply = request.setting("type: echo request", to: "00")
        .setting("checksum", to: "db8d")

    /// From a router whose next link has an MTU of 1,400.
    private static let fragmentationNeeded: WireFields = [
        ("type: unreachable", "03"),
        ("code: fragmentation needed", "04"),
        ("checksum", "2c88"),
        ("unused", "0000"),
        ("next-hop MTU", "0578"),
        ("quoted version and header length", "45"),
        ("quoted DSCP and ECN", "00"),
        ("quoted total length", "05c6"),
        ("quoted identification", "0000"),
        ("quoted flags and fragment offset", "4000"),
        ("quoted TTL", "40"),
        ("quoted protocol", "01"),
        ("quoted header checksum", "48ee"),
        ("quoted source", "c000 020a"),
        ("quoted destination", "c633 640b"),
        ("quoted echo", "0800 23ef 06ad 0001"),
    ]

    private static func read(_ fields: WireFields) throws -> ICMPMessage {
        try ICMPMessage(reading: fields.octets.span.bytes)
    }

    /// What the writer makes of the header: the message's, with a checksum of zero.
    private func expectHeader(_ message: ICMPMessage, _ fields: WireFields) {
        let expected = fields.setting("checksum", to: "0000")
        let octets = written(8) { message.write(to: &$0) }
        expectBytes(octets, equals: expected.octets.prefix(8), fields: expected)
    }

    @Test func `an echo request and its reply`() throws {
        for (fields, kind) in [
            (Self.request, ICMPMessage.Kind.echoRequest), (Self.reply, .echoReply),
        ] {
            let message = try Self.read(fields)
            #expect(message.kind == kind)
            #expect(message.identifier == 0x0658)
            #expect(message.rest == 0x0658_0001)
            expectHeader(message, fields)
        }
    }

    @Test func `the checksum is Linux's`() {
        for fields in [Self.request, Self.reply] {
            let octets = fields.octets
            let kind: ICMPMessage.Kind = octets[0] == 8 ? .echoRequest : .echoReply
            let message = ICMPMessage(kind: kind, rest: 0x0658_0001)
            expectBytes(message.octets(Array(octets[8...])), equals: fields)
        }
    }

    @Test func `the next-hop MTU is the lower half of the second word (RFC 1191, 4)`() throws {
        let message = try Self.read(Self.fragmentationNeeded)
        #expect(message.kind == .destinationUnreachable(.fragmentationNeeded))
        #expect(message.rest == 1400)
        expectHeader(message, Self.fragmentationNeeded)
    }

    /// Each with the type, code and second word that Linux sent; the quotation is left out.
    @Test(
        "each error has its type and code (RFC 792; RFC 1812, 5.2.7)",
        arguments: [
            ("0300 fcff 00000000", .destinationUnreachable(.network), 0),
            ("0301 fcfe 00000000", .destinationUnreachable(.host), 0),
            ("0302 389b 00000000", .destinationUnreachable(.transport), 0),
            ("0303 e962 00000000", .destinationUnreachable(.port), 0),
            ("0304 2c88 00000578", .destinationUnreachable(.fragmentationNeeded), 1400),
            ("030d fcf2 00000000", .destinationUnreachable(.administrativelyProhibited), 0),
            ("030a fcf5 00000000", .destinationUnreachable(.other(10)), 0),
            ("0b00 f4ff 00000000", .timeExceeded(code: 0), 0),
            ("0b01 f4fe 00000000", .timeExceeded(code: 1), 0),
            ("0c00 ddf4 16000000", .parameterProblem(code: 0), 0x1600_0000),
            ("0501 0000 c0000201", .other(type: 5, code: 1), 0xc000_0201),
            ("0001 0000 00000000", .other(type: 0, code: 1), 0),
            ("0801 0000 00000000", .other(type: 8, code: 1), 0),
            ("0d00 0000 00000000", .other(type: 13, code: 0), 0),
        ] as [(String, ICMPMessage.Kind, UInt32)]
    )
    func kinds(octets: String, kind: ICMPMessage.Kind, rest: UInt32) throws {
        let message = try ICMPMessage(reading: bytes(octets).span.bytes)
        #expect(message.kind == kind)
        #expect(message.rest == rest)
        var expected = bytes(octets)
        expected.replaceSubrange(2..<4, with: [0, 0])
        expectBytes(written(8) { message.write(to: &$0) }, equals: expected)
    }

    @Test("a message cut short is refused", arguments: 0..<8)
    func short(length: Int) {
        let octets = Array(Self.request.octets.prefix(length))
        #expect(throws: PacketError.truncated(needed: 8, available: length)) {
            try ICMPMessage(reading: octets.span.bytes)
        }
    }

    // MARK: Quotations

    /// A closed port's answer to `hi` and a newline: the whole datagram.
    static let portUnreachable: WireFields = [
        ("type: unreachable", "03"),
        ("code: port", "03"),
        ("checksum", "e962"),
        ("unused", "0000 0000"),
        ("quoted version and header length", "45"),
        ("quoted DSCP and ECN", "00"),
        ("quoted total length", "001f"),
        ("quoted identification", "6a96"),
        ("quoted flags and fragment offset: DF", "4000"),
        ("quoted TTL", "3f"),
        ("quoted protocol: UDP", "11"),
        ("quoted header checksum", "e4ee"),
        ("quoted source", "c000 020a"),
        ("quoted destination", "c633 640b"),
        ("quoted source port", "a793"),
        ("quoted destination port", "0009"),
        ("quoted length", "000b"),
        ("quoted checksum", "f988"),
        ("quoted payload", "6869 0a"),
    ]

    @Test func `a quotation tells both ends of what could not arrive`() throws {
        let quoted = Self.portUnreachable.from("quoted version and header length").octets
        let quote = try ICMPQuote(reading: quoted.span.bytes)
        #expect(quote.transport == 17)
        #expect(quote.source == Endpoint(address: IPAddress(ipv4: 0xc000_020a), port: 0xa793))
        #expect(quote.destination == Endpoint(address: IPAddress(ipv4: 0xc633_640b), port: 9))
        #expect(quote.sequence == SequenceNumber(0x000b_f988))
        // 64 bits behind the header are enough, and nothing less.
        #expect(try ICMPQuote(reading: Array(quoted.prefix(28)).span.bytes) == quote)
        for count in 20..<28 {
            #expect(throws: PacketError.truncated(needed: 28, available: count)) {
                try ICMPQuote(reading: Array(quoted.prefix(count)).span.bytes)
            }
        }
    }

    @Test func `options in a quoted header are skipped`() throws {
        // Linux's complaint about a bad option, which it quotes.
        let quoted: WireFields = [
            ("version and header length: 6 words", "46"),
            ("DSCP and ECN", "00"),
            ("total length", "0020"),
            ("identification", "0001"),
            ("flags and fragment offset", "0000"),
            ("TTL", "40"),
            ("protocol: UDP", "11"),
            ("header checksum", "edbc"),
            ("source", "c000 020a"),
            ("destination", "c000 0201"),
            ("a record route of four octets", "0704 0100"),
            ("source port", "0001"),
            ("destination port", "0002"),
            ("length, checksum", "0008 0000"),
        ]
        let quote = try ICMPQuote(reading: quoted.octets.span.bytes)
        #expect(quote.source == Endpoint(address: IPAddress(ipv4: 0xc000_020a), port: 1))
        #expect(quote.destination == Endpoint(address: IPAddress(ipv4: 0xc000_0201), port: 2))
        #expect(quote.sequence == SequenceNumber(0x0008_0000))
        let short = Array(quoted.octets.dropLast())
        #expect(throws: PacketError.truncated(needed: 32, available: 31)) {
            try ICMPQuote(reading: short.span.bytes)
        }
    }

    @Test("a quotation of something else is refused", arguments: ["65", "44", "35"])
    func otherQuotation(first: String) {
        let quoted = Self.portUnreachable.from("quoted version and header length")
            .setting("quoted version and header length", to: first).octets
        #expect(throws: PacketError.notThisFormat) { try ICMPQuote(reading: quoted.span.bytes) }
    }

    @Test func `the gateway's own error is Linux's, but for what it may not know`() throws {
        let packet = UDPHeaderTests.packet.setting("TTL", to: "3f").octets
        let header = try IPHeader(readingIPv4: UDPHeaderTests.packet.octets.span.bytes)
        var quoted = header
        quoted.hopLimit = 63
        let quotation = packet[20...].withUnsafeBytes { ICMPError.quotation(of: quoted, $0) }
        let message = ICMPMessage(kind: .destinationUnreachable(.port))
        expectBytes(message.octets(quotation), equals: Self.portUnreachable)
    }
}
