import Testing

@testable import RDNetKit

/// Queries of dig and dnsmasq's answers to them.
@Suite("DNS message")
struct DNSMessageTests {
    private static let query: WireFields = [
        ("identifier", "0695"),
        ("flags: RD, AD", "0120"),
        ("questions", "0001"),
        ("answers", "0000"),
        ("authorities", "0000"),
        ("additionals", "0001"),
        ("name: host.lab.example", "04686f7374 036c6162 076578616d706c65 00"),
        ("type: A", "0001"),
        ("class: IN", "0001"),
        ("OPT: root", "00"),
        ("type: OPT", "0029"),
        ("payload size", "04d0"),
        ("extended code", "00"),
        ("version", "00"),
        ("flags", "0000"),
        ("length", "000c"),
        ("cookie", "000a 0008 9f24 901c f8a2 ce74"),
    ]
    private static let answer: WireFields = [
        ("identifier", "0695"),
        ("flags: QR, AA, RD, RA", "8580"),
        ("questions", "0001"),
        ("answers", "0001"),
        ("authorities", "0000"),
        ("additionals", "0001"),
        ("name: host.lab.example", "04686f7374 036c6162 076578616d706c65 00"),
        ("type: A", "0001"),
        ("class: IN", "0001"),
        ("owner: offset 12", "c00c"),
        ("type: A", "0001"),
        ("class: IN", "0001"),
        ("time to live", "0000 0000"),
        ("length", "0004"),
        ("address", "c633 640b"),
        ("OPT: root", "00"),
        ("type: OPT", "0029"),
        ("payload size", "04d0"),
        ("extended code", "00"),
        ("version", "00"),
        ("flags", "0000"),
        ("length", "0000"),
    ]

    /// Reads the records of a message.
    private static func records(_ octets: [UInt8]) throws -> [DNSResourceRecord] {
        try DNSResourceRecord.records(in: octets.span.bytes)
    }

    /// A query for another name and type, as dig writes it.
    private static func query(_ name: String, type: String) -> [UInt8] {
        query.setting("name: host.lab.example", to: name).setting("type: A", to: type).octets
    }

    @Test func `dig's query is read field by field`() throws {
        let query = try DNSQuery(reading: Self.query.octets)
        #expect(query.header.id == 0x0695)
        #expect(query.header.flags.contains(.recursionDesired))
        #expect(query.header.flags.isDisjoint(with: [.response, .checkingDisabled, .truncated]))
        #expect(query.header.questions == 1)
        #expect(query.header.answers == 0 && query.header.authorities == 0)
        #expect(query.header.additionals == 1)
        #expect(query.question.name.description == "host.lab.example.")
        #expect(query.question.type == .a)
        #expect(query.question.recordClass == DNSQuestion.internet)
        #expect(query.questionEnd == 34)
        let edns = EDNS(payloadSize: 1232, extendedCode: 0, version: 0, dnssecOK: false)
        #expect(query.edns == edns)
    }

    @Test func `the answer is dnsmasq's to the octet`() throws {
        let query = try DNSQuery(reading: Self.query.octets)
        let host = IPAddress(ipv4: 0xc633_640b)
        expectBytes(query.answer(.noError, [.address(host)], zone: 0), equals: Self.answer)
        #expect(query.isAnswered(by: Self.answer.octets))
    }

    @Test func `an IPv6 address is an AAAA record`() throws {
        // host6.lab.example
        let octets = Self.query("05686f737436 036c6162 076578616d706c65 00", type: "001c")
        let query = try DNSQuery(reading: octets)
        #expect(query.question.type == .aaaa)
        let host = try #require(IPAddress("2001:db8::b"))
        let answer = query.answer(.noError, [.address(host)], zone: 0)
        let expected: WireFields = [
            ("owner: offset 12", "c00c"),
            ("type: AAAA", "001c"),
            ("class: IN", "0001"),
            ("time to live", "0000 0000"),
            ("length", "0010"),
            ("address", "2001 0db8 0000 0000 0000 0000 0000 000b"),
        ]
        expectBytes(answer[35..<63], equals: expected)
    }

    @Test func `a reverse name has a PTR record`() throws {
        // 11.100.51.198.in-addr.arpa
        let name = "02 3131 03 313030 02 3531 03 313938 07 696e2d61646472 04 61727061 00"
        let query = try DNSQuery(reading: Self.query(name, type: "000c"))
        #expect(query.question.type == .ptr)
        #expect(query.question.name.reverseAddress == IPAddress(ipv4: 0xc633_640b))
        let host = try #require(DNSName("host.lab.example"))
        let answer = query.answer(.noError, [.pointer(host)], zone: 0)
        let expected: WireFields = [
            ("owner: offset 12", "c00c"),
            ("type: PTR", "000c"),
            ("class: IN", "0001"),
            ("time to live", "0000 0000"),
            ("length", "0012"),
            ("name: host.lab.example", "04686f7374 036c6162 076578616d706c65 00"),
        ]
        expectBytes(answer[44..<74], equals: expected)
    }

    /// `alias.lab.example` is an alias of `host.lab.example`.
    private static let alias: WireFields = [
        ("identifier", "75d0"),
        ("flags: QR, AA, RD, RA", "8580"),
        ("questions", "0001"),
        ("answers", "0002"),
        ("authorities", "0000"),
        ("additionals", "0001"),
        ("12, name: alias.lab.example", "05616c696173 036c6162 076578616d706c65 00"),
        ("31, type: A", "0001"),
        ("33, class: IN", "0001"),
        ("35, owner: offset 12", "c00c"),
        ("37, type: CNAME", "0005"),
        ("39, class: IN", "0001"),
        ("41, time to live", "0000 0000"),
        ("45, length", "0012"),
        ("47, name: host.lab.example", "04686f7374 036c6162 076578616d706c65 00"),
        ("65, owner: offset 47", "c02f"),
        ("67, type: A", "0001"),
        ("69, class: IN", "0001"),
        ("71, time to live", "0000 0000"),
        ("75, length", "0004"),
        ("77, address", "c633 640b"),
        ("81, OPT", "00 0029 04d0 0000 0000 0000"),
    ]

    @Test func `compressed records are read with owner, type and place of their value`() throws {
        let records = try Self.records(Self.alias.octets)
        #expect(records.map(\.type.rawValue) == [5, 1, 41])
        #expect(records.map(\.section) == [.answer, .answer, .additional])
        #expect(
            records.map(\.name.description) == ["alias.lab.example.", "host.lab.example.", "."]
        )
        #expect(records.map(\.recordClass) == [1, 1, 1232])
        #expect(records.map(\.value) == [47..<65, 77..<81, 92..<92])
    }

    @Test func `a time to live counts seconds, the highest octet first`() throws {
        let octets = Self.alias.setting("71, time to live", to: "0102 0304").octets
        #expect(try Self.records(octets)[1].timeToLive == 0x0102_0304)
    }

    @Test(
        "a record that exceeds the message is refused",
        arguments: [36, 40, 46, 64, 66, 76, 80, 91]
    )
    func cut(length: Int) {
        #expect(throws: PacketError.self) {
            try Self.records(Array(Self.alias.octets.prefix(length)))
        }
    }

    @Test func `types, codes and flags are IANA's numbers`() {
        let types: [DNSType] = [.a, .soa, .ptr, .aaaa, .opt, .axfr, .any]
        #expect(types.map(\.rawValue) == [1, 6, 12, 28, 41, 252, 255])
        let codes: [DNSResponseCode] = [
            .noError, .formatError, .serverFailure, .nameError, .notImplemented, .refused,
        ]
        #expect(codes.map(\.rawValue) == [0, 1, 2, 3, 4, 5])
        let flags: [DNSFlags] = [
            .response, .opcode, .authoritative, .truncated, .recursionDesired,
            .recursionAvailable, .checkingDisabled,
        ]
        #expect(
            flags.map(\.rawValue) == [0x8000, 0x7800, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010]
        )
        #expect(DNSQuestion.internet == 1 && DNSQuestion.anyClass == 255)
    }

    @Test func `a denial keeps dnsmasq's code`() throws {
        // none.lab.example
        let name = "046e6f6e65 036c6162 076578616d706c65 00"
        let denial = Self.query.setting("name: host.lab.example", to: name)
            .setting("flags: RD, AD", to: "8183")
        let header = try DNSHeader(reading: denial.octets.span.bytes)
        #expect(header.flags.responseCode == .nameError)
        #expect(try DNSQuery(reading: Self.query(name, type: "0001")).isAnswered(by: denial.octets))
        #expect(try !DNSQuery(reading: Self.query.octets).isAnswered(by: denial.octets))
    }
}
