import Testing

@testable import RDNetKit

@Suite("DNS query")
struct DNSQueryTests {
    /// A query for `a.b`, annotated.
    static let plain: [UInt8] = [
        0x12, 0x34,  // identifier
        0x01, 0x10,  // QUERY, RD, CD
        0, 1, 0, 0, 0, 0, 0, 0,  // one question
        1, 0x61, 1, 0x42, 0,  // a.B.
        0, 1, 0, 1,  // A, IN
    ]

    /// The same query with an OPT record: 1400 bytes, a version, DO.
    static func extended(version: UInt8 = 0, size: UInt16 = 1400) -> [UInt8] {
        var message = plain
        message[11] = 1
        return message + [
            0, 0, 41,  // root, OPT
            UInt8(size >> 8), UInt8(size & 0xff),  // the requester's size
            0, version, 0x80, 0,  // extended code, version, DO
            0, 4, 0, 10, 0, 0,  // an empty option (a cookie's number)
        ]
    }

    @Test func `is read with its question and EDNS`() throws {
        let query = try DNSQuery(reading: Self.extended())
        #expect(query.question.name.description == "a.B.")
        #expect(query.question.type == .a)
        #expect(query.questionEnd == 21)
        #expect(query.edns?.payloadSize == 1400)
        #expect(query.edns?.dnssecOK == true)
        #expect(query.datagramLimit == 1400)
    }

    @Test("takes at least 512 octets over UDP (RFC 6891, 6.2.3)", arguments: [0, 100, 512, 513])
    func takesAtLeast512(size: UInt16) throws {
        let query = try DNSQuery(reading: Self.extended(size: size))
        #expect(query.datagramLimit == max(512, Int(size)))
        #expect(try DNSQuery(reading: Self.plain).datagramLimit == 512)
    }

    @Test(
        "is refused",
        arguments: [
            ("an answer", 2, 0x81, .silence),
            ("IQUERY", 2, 0x08, .answer(.notImplemented)),
            ("UPDATE", 2, 0x28, .answer(.notImplemented)),
            ("no question", 5, 0, .answer(.formatError)),
            ("two questions", 5, 2, .answer(.formatError)),
            ("256 questions", 4, 1, .answer(.formatError)),
            ("a name out of the message", 12, 40, .answer(.formatError)),
            ("a pointer as the name", 12, 0xc0, .answer(.formatError)),
            ("a record that is not there", 7, 1, .answer(.formatError)),
        ] as [(String, Int, UInt8, DNSRefusal)]
    )
    func isRefused(what: String, offset: Int, octet: UInt8, refusal: DNSRefusal) {
        var message = Self.plain
        message[offset] = octet
        #expect(throws: refusal, "\(what)") { try DNSQuery(reading: message) }
    }

    @Test("a message shorter than a header gets no answer", arguments: 0..<12)
    func runtGetsNoAnswer(length: Int) {
        #expect(throws: DNSRefusal.silence) {
            try DNSQuery(reading: Array(Self.plain.prefix(length)))
        }
    }

    @Test("a message that ends early is a format error", arguments: 12..<21)
    func cutMessageIsAFormatError(length: Int) {
        #expect(throws: DNSRefusal.answer(.formatError)) {
            try DNSQuery(reading: Array(Self.plain.prefix(length)))
        }
    }

    @Test func `with two OPT records is a format error (RFC 6891, 6.1.1)`() {
        var message = Self.extended()
        message[11] = 2
        #expect(throws: DNSRefusal.answer(.formatError)) {
            try DNSQuery(reading: message + [0, 0, 41, 5, 0, 0, 0, 0, 0, 0, 0])
        }
    }

    @Test func `longer than 4096 octets is a format error`() {
        let message = Self.plain + [UInt8](repeating: 0, count: 4096)
        #expect(throws: DNSRefusal.answer(.formatError)) { try DNSQuery(reading: message) }
    }

    @Test func `is answered with an address`() throws {
        let query = try DNSQuery(reading: Self.plain)
        let answer = query.answer(.noError, [.address(IPAddress(ipv4: 0xc0a8_7f01))], zone: 2)
        #expect(
            answer == [
                0x12, 0x34,
                0x85, 0x90,  // QR, AA, RD; RA, CD, NOERROR
                0, 1, 0, 1, 0, 0, 0, 0,
                1, 0x61, 1, 0x42, 0, 0, 1, 0, 1,  // the question, unchanged
                0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 168, 127, 1,
            ]
        )
    }

    @Test func `is answered negatively with the zone's SOA, and OPT if it had one`() throws {
        let query = try DNSQuery(reading: Self.extended())
        let answer = query.answer(.nameError, [], zone: 2)
        #expect(
            answer == [
                0x12, 0x34,
                0x85, 0x93,  // NXDOMAIN
                0, 1, 0, 0, 0, 1, 0, 1,
                1, 0x61, 1, 0x42, 0, 0, 1, 0, 1,
                0xc0, 14, 0, 6, 0, 1, 0, 0, 0, 0, 0, 35,  // B. SOA, TTL 0 (RFC 2308, 3)
                0xc0, 14,  // primary: the zone
                10, 0x68, 0x6f, 0x73, 0x74, 0x6d, 0x61, 0x73, 0x74, 0x65, 0x72, 0xc0, 14,
                0, 0, 0, 1, 0, 0, 0x0e, 0x10, 0, 0, 2, 0x58, 0, 1, 0x51, 0x80, 0, 0, 0, 0,
                0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0,  // OPT: 1232, DO
            ]
        )
    }

    @Test func `of a later EDNS version gets BADVERS (RFC 6891, 6.1.3)`() throws {
        let query = try DNSQuery(reading: Self.extended(version: 1))
        let answer = query.answer(.noError, [.address(.loopbackIPv4)], zone: 0)
        #expect(answer[3] & 0x0f == 0)
        #expect(answer.suffix(11) == [0, 0, 41, 0x04, 0xd0, 1, 0, 0x80, 0, 0, 0])
    }

    @Test func `cuts an answer that is too long to its head`() throws {
        let query = try DNSQuery(reading: Self.plain)
        let fitting = query.answer(.noError, Self.addresses(30), zone: 0)
        #expect(fitting.count == 501)
        #expect(query.fitted(fitting) == fitting)
        let cut = query.fitted(query.answer(.noError, Self.addresses(31), zone: 0))
        #expect(
            cut == [0x12, 0x34, 0x87, 0x90, 0, 1, 0, 0, 0, 0, 0, 0] + query.questionOctets
        )
        let extended = try DNSQuery(reading: Self.extended(size: 512))
        let option = extended.fitted(extended.answer(.noError, Self.addresses(40), zone: 0)).suffix(
            11
        )
        #expect(option == [0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0])
    }

    static func addresses(_ count: UInt32) -> [DNSRecord] {
        (0..<count).map { .address(IPAddress(ipv4: 0x0a00_0000 + $0)) }
    }

    @Test func `knows its answer and restores identifier and spelling`() throws {
        let query = try DNSQuery(reading: Self.plain)
        var answer = query.message(withID: 0x9999)
        #expect(!query.isAnswered(by: answer))
        answer[2] |= 0x80
        #expect(query.isAnswered(by: answer))
        answer[13] = 0x41
        #expect(query.isAnswered(by: answer))
        #expect(query.restoring(answer) == [0x12, 0x34, 0x81] + Self.plain.dropFirst(3))
    }

    @Test(
        "is not answered by another's answer",
        arguments: [(13, 0x7a), (18, 28), (20, 3), (12, 0), (5, 2), (2, 0x89)] as [(Int, UInt8)]
    )
    func isNotAnsweredByAnothers(offset: Int, octet: UInt8) throws {
        let query = try DNSQuery(reading: Self.plain)
        var answer = Self.plain
        answer[2] |= 0x80
        answer[offset] = octet
        #expect(!query.isAnswered(by: answer))
    }

    @Test(
        "accepts a failure without a question, and nothing else without one",
        arguments: [(0, false), (1, true), (2, true), (3, false), (4, true), (5, true)]
            as [(UInt8, Bool)]
    )
    func acceptsAFailureWithoutAQuestion(code: UInt8, accepted: Bool) throws {
        let query = try DNSQuery(reading: Self.plain)
        let answer: [UInt8] = [0x12, 0x34, 0x81, 0x80 | code, 0, 0, 0, 0, 0, 0, 0, 0]
        #expect(query.isAnswered(by: answer) == accepted)
    }

    @Test(
        "random octets are read or refused, never a trap",
        arguments: [UInt64.random(in: 0...UInt64.max), 1, 2, 3]
    )
    func randomOctetsNeverTrap(seed: UInt64) throws {
        let asked = try DNSQuery(reading: Self.plain)
        var random = SeededRandom(seed: seed)
        for _ in 0..<5_000 {
            var message = Bool.random(using: &random) ? Self.extended() : Self.plain
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let index = Int.random(in: 0..<message.count, using: &random)
                message[index] = UInt8.random(in: 0...255, using: &random)
            }
            if Int.random(in: 0..<4, using: &random) == 0 {
                message = (0..<Int.random(in: 0...80, using: &random)).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
            }
            do throws(DNSRefusal) {
                let query = try DNSQuery(reading: message)
                let answer = query.answer(.noError, [], zone: query.question.name.octets.count - 1)
                #expect(query.isAnswered(by: answer), "seed \(seed): \(message)")
                _ = query.question.name.reverseAddress
                _ = query.question.name.description
            } catch {
                switch error {
                case .answer(let code):
                    #expect(DNSQuery.refusal(code, to: message).count == 12, "seed \(seed)")
                case .silence:
                    #expect(message.count < 12 || message[2] & 0x80 != 0, "seed \(seed)")
                }
            }
            if asked.isAnswered(by: message) {
                #expect(asked.restoring(message).count == message.count, "seed \(seed)")
            }
        }
    }
}
