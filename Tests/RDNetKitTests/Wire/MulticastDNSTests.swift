import Testing

@testable import RDNetKit

/// Responders' messages, encoded by hand (RFC 1035, RFC 6762).
enum MulticastOctets {
    static func record(
        _ name: [UInt8],
        type: UInt8,
        recordClass: [UInt8] = [0x80, 1],
        timeToLive: UInt8 = 120,
        _ value: [UInt8]
    ) -> [UInt8] {
        name + [0, type] + recordClass + [0, 0, 0, timeToLive, 0, UInt8(value.count)] + value
    }

    /// Returns a legacy unicast response, which repeats identifier and question.
    static func response(
        to query: [UInt8],
        answers: [[UInt8]] = [],
        authorities: [[UInt8]] = [],
        additionals: [[UInt8]] = []
    ) -> [UInt8] {
        let counts = [1, answers.count, authorities.count, additionals.count]
        return query[0..<2] + [0x84, 0] + counts.flatMap { [0, UInt8($0)] } + query[12...]
            + (answers + authorities + additionals).flatMap(\.self)
    }
}

@Suite("multicast DNS messages")
struct MulticastDNSTests {
    private static let name = DNSOctets.name("printer.local")
    private static let query: [UInt8] =
        [0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0] + name + [0, 1, 0, 1]

    private static func read(
        _ message: [UInt8],
        type: DNSType = .a
    ) throws -> MulticastDNS.Response? {
        MulticastDNS.response(
            reading: message,
            to: try #require(DNSName("Printer.local")),
            type,
            where: { $0 != IPAddress(ipv4: 0x0102_0304) }
        )
    }

    @Test func `a query is a question alone`() throws {
        let name = try #require(DNSName("printer.local"))
        #expect(MulticastDNS.query(name, .a, id: 0x1234) == Self.query)
    }

    @Test func `takes the addresses of the name, and caps how long they hold`() throws {
        let message = MulticastOctets.response(
            to: Self.query,
            answers: [
                MulticastOctets.record([0xc0, 12], type: 1, [10, 0, 0, 7]),
                MulticastOctets.record(DNSOctets.name("PRINTER.local"), type: 1, [10, 0, 0, 8]),
            ]
        )
        let response = try #require(try Self.read(message))
        #expect(
            response.records
                == ["10.0.0.7", "10.0.0.8"].compactMap { IPAddress($0) }.map { .address($0) }
        )
        #expect(response.timeToLive == 10)
    }

    @Test(
        "leaves out what is no answer to the question",
        arguments: [
            (
                "another name",
                MulticastOctets.record(DNSOctets.name("other.local"), type: 1, [10, 0, 0, 7])
            ),
            (
                "another class",
                MulticastOctets.record([0xc0, 12], type: 1, recordClass: [0, 3], [10, 0, 0, 7])
            ),
            (
                "a goodbye",
                MulticastOctets.record([0xc0, 12], type: 1, timeToLive: 0, [10, 0, 0, 7])
            ),
        ]
    )
    func leavesOut(what: String, record: [UInt8]) throws {
        let message = MulticastOctets.response(to: Self.query, answers: [record])
        #expect(try Self.read(message) == nil, "\(what)")
    }

    @Test(
        "a name without a good record of the type exists",
        arguments: [
            ("an unusable address", 1, [1, 2, 3, 4]), ("a short address", 1, [10, 0, 0]),
            ("a long address", 1, [10, 0, 0, 7, 7]), ("an alias", 5, [0xc0, 12]),
            ("the other family", 28, [UInt8](repeating: 0x20, count: 16)),
            ("NSEC", 47, [0xc0, 12, 0, 0]),
        ] as [(String, UInt8, [UInt8])]
    )
    func exists(what: String, type: UInt8, value: [UInt8]) throws {
        let record = MulticastOctets.record([0xc0, 12], type: type, value)
        let message = MulticastOctets.response(to: Self.query, answers: [record])
        #expect(try Self.read(message) == MulticastDNS.Response(exists: true), "\(what)")
    }

    @Test func `an IPv6 record cannot smuggle an IPv4 address in`() throws {
        let query = Self.query.dropLast(4) + [0, 28, 0, 1]
        let mapped = [UInt8](repeating: 0, count: 10) + [0xff, 0xff, 127, 0, 0, 1]
        let message = MulticastOctets.response(
            to: Array(query),
            answers: [MulticastOctets.record([0xc0, 12], type: 28, mapped)]
        )
        #expect(try Self.read(message, type: .aaaa)?.records == [])
    }

    @Test func `a pointer leads to a name in local only, and is made anew`() throws {
        let query = Array(Self.query.dropLast(4) + [0, 12, 0, 1])
        let inside = MulticastOctets.record([0xc0, 12], type: 12, [1, 0x78, 0xc0, 12])
        let outside = MulticastOctets.record([0xc0, 12], type: 12, DNSOctets.name("evil.example"))
        let looping = MulticastOctets.record([0xc0, 12], type: 12, [0xc0, 0xff])
        let good = MulticastOctets.response(to: query, answers: [outside, inside])
        let target = try #require(DNSName("x.printer.local"))
        #expect(try Self.read(good, type: .ptr)?.records == [.pointer(target)])
        let bad = MulticastOctets.response(to: query, answers: [looping])
        #expect(try Self.read(bad, type: .ptr) == nil)
    }

    @Test(
        "does not take other messages for responses",
        arguments: [
            ("a query", 2, 0x04), ("an operation", 2, 0x94), ("an error", 3, 3),
            ("another name", 13, 0x71), ("another type", 28, 28), ("two questions", 5, 2),
            ("missing records", 7, 9),
        ] as [(String, Int, UInt8)]
    )
    func isNoResponse(what: String, offset: Int, octet: UInt8) throws {
        var message = MulticastOctets.response(
            to: Self.query,
            answers: [MulticastOctets.record(Self.name, type: 1, [10, 0, 0, 7])]
        )
        #expect(try Self.read(message) != nil)
        message[offset] = octet
        #expect(try Self.read(message) == nil, "\(what)")
    }

    @Test func `takes 16 records at most, of 64 that it reads`() throws {
        let records = (0..<255).map {
            MulticastOctets.record([0xc0, 12], type: 1, [10, 0, 0, UInt8($0)])
        }
        let message = MulticastOctets.response(to: Self.query, answers: records)
        #expect(try Self.read(message)?.records.count == 16)
    }

    @Test(
        "serves addresses and pointers below local",
        arguments: [
            ("printer.local", 1, true), ("a.b.LOCAL", 28, true), ("_http._tcp.local", 12, true),
            ("local", 1, false), ("printer.local.example", 1, false), ("printerlocal", 1, false),
            ("printer.local", 16, false), ("printer.local", 255, false),
        ] as [(String, UInt16, Bool)]
    )
    func serves(name: String, type: UInt16, isServed: Bool) throws {
        let query = try DNSQuery(reading: DNSOctets.query(name, type: type))
        #expect(MulticastDNS.serves(query.question) == isServed)
    }

    @Test(
        "random octets are read, never a trap",
        arguments: [UInt64.random(in: 0...UInt64.max), 5]
    )
    func randomOctetsNeverTrap(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let good = MulticastOctets.response(
            to: Self.query,
            answers: [MulticastOctets.record([0xc0, 12], type: 1, [10, 0, 0, 7])],
            additionals: [MulticastOctets.record([0xc0, 12], type: 12, [1, 0x78, 0xc0, 12])]
        )
        for _ in 0..<5_000 {
            var message = good
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                let index = Int.random(in: 0..<message.count, using: &random)
                message[index] = UInt8.random(in: 0...255, using: &random)
            }
            message = Array(message.prefix(Int.random(in: 0...message.count, using: &random)))
            for type in [DNSType.a, .ptr] { _ = try Self.read(message, type: type) }
            _ = DNSName.isLocalZoneDenial(message)
        }
    }
}
