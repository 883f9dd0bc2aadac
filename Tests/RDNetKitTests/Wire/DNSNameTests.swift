import Testing

@testable import RDNetKit

@Suite("DNS name")
struct DNSNameTests {
    /// Returns a 12-byte header followed by these bytes.
    static func message(_ octets: [UInt8]) -> [UInt8] {
        [UInt8](repeating: 0, count: 12) + octets
    }

    /// Reads a name after the header.
    static func read(_ octets: [UInt8], at start: Int = 12) throws -> (name: DNSName, end: Int) {
        let message = message(octets)
        var offset = start
        let name = try DNSName(reading: message.span.bytes, at: &offset)
        return (name, offset)
    }

    @Test func `a pointer from a place within the header is refused`() {
        let message: [UInt8] = [0xff, 0x5a, 0x3b]
        var offset = 0
        #expect(throws: PacketError.self) {
            try DNSName(reading: message.span.bytes, at: &offset)
        }
    }

    @Test func `reads RFC 1035's example of compression`() throws {
        // RFC 1035, 4.1.4, moved to offset 12: F.ISI.ARPA, FOO.F.ISI.ARPA, ARPA, the root.
        let octets: [UInt8] = [
            1, 0x46, 3, 0x49, 0x53, 0x49, 4, 0x41, 0x52, 0x50, 0x41, 0,  // 12: F.ISI.ARPA.
            3, 0x46, 0x4f, 0x4f, 0xc0, 12,  // 24: FOO, pointer to 12
            0xc0, 18,  // 30: pointer to ARPA
            0,  // 32: the root
        ]
        #expect(try Self.read(octets).name.description == "F.ISI.ARPA.")
        let second = try Self.read(octets, at: 24)
        #expect(second.name.description == "FOO.F.ISI.ARPA.")
        #expect(second.end == 30)
        #expect(try Self.read(octets, at: 30).name.description == "ARPA.")
        #expect(try Self.read(octets, at: 32).name == .root)
    }

    @Test(
        "refuses what is no name",
        arguments: [
            ("a pointer to itself", [0xc0, 12], 12),
            ("two pointers to each other", [0xc0, 14, 0xc0, 12], 12),
            ("a label in a loop with a pointer", [1, 0x61, 0xc0, 12], 12),
            ("a pointer ahead", [0xc0, 16, 0, 0, 0], 12),
            ("a pointer into the header", [0, 0xc0, 2], 13),
            ("a pointer cut in half", [0xc0], 12),
            ("a label that runs out of the message", [5, 0x61], 12),
            ("no final root", [1, 0x61], 12),
            ("the reserved label type 01", [0x41, 0], 12),
            ("the reserved label type 10", [0x81, 0], 12),
            ("an offset behind the message", [0], 99),
        ] as [(String, [UInt8], Int)]
    )
    func refusesWhatIsNoName(what: String, octets: [UInt8], start: Int) {
        #expect(throws: PacketError.self, "\(what)") { try Self.read(octets, at: start) }
    }

    @Test func `takes 255 octets and not one more`() throws {
        let label = [UInt8(63)] + [UInt8](repeating: 0x61, count: 63)
        let last = { (count: UInt8) in [count] + [UInt8](repeating: 0x62, count: Int(count)) }
        let longest = label + label + label + last(61) + [0]
        #expect(longest.count == 255)
        #expect(try Self.read(longest).name.octets == longest)
        #expect(throws: PacketError.self) { try Self.read(label + label + label + last(62) + [0]) }
    }

    @Test func `compares without regard to case, and keeps it`() throws {
        let name = try #require(DNSName("Host.Docker.INTERNAL"))
        #expect(name == DNSName("host.docker.internal."))
        #expect(Set([name]).contains(DNSName("HOST.docker.internal") ?? .root))
        #expect(name.description == "Host.Docker.INTERNAL.")
    }

    @Test(
        "finds an ancestor at a label boundary only",
        arguments: [
            ("host.docker.internal", "docker.internal", 5),
            ("host.docker.internal", "DOCKER.internal", 5),
            ("docker.internal", "docker.internal", 0),
            ("xdocker.internal", "docker.internal", nil),
            ("internal", "docker.internal", nil),
            ("a.b", ".", 4),
        ] as [(String, String, Int?)]
    )
    func findsAnAncestor(name: String, ancestor: String, offset: Int?) throws {
        let (name, ancestor) = (try #require(DNSName(name)), try #require(DNSName(ancestor)))
        #expect(name.offset(of: ancestor) == offset)
    }

    @Test(
        "text that is no name is nil",
        arguments: ["a..b", ".a", String(repeating: "a", count: 64)]
    )
    func textThatIsNoName(text: String) {
        #expect(DNSName(text) == nil)
    }

    @Test func `writes strange octets as numbers`() throws {
        let name = try Self.read([4, 0x00, 0x2e, 0xff, 0x5c, 0]).name
        #expect(name.description == #"\000\.\255\\."#)
    }

    @Test(
        "reads addresses from reverse names",
        arguments: [
            ("1.127.168.192.in-addr.arpa", "192.168.127.1"),
            ("1.127.168.192.IN-ADDR.ARPA.", "192.168.127.1"),
            (
                "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.d.0.1.0.0.2.ip6.arpa",
                "2001:db8::1"
            ),
            ("168.192.in-addr.arpa", nil),
            ("a.127.168.192.in-addr.arpa", nil),
            ("1.0.0.2.ip6.arpa", nil),
            ("x.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", nil),
            ("in-addr.arpa", nil),
            ("example.com", nil),
        ] as [(String, String?)]
    )
    func readsAddressesFromReverseNames(text: String, address: String?) throws {
        let name = try #require(DNSName(text))
        #expect(name.reverseAddress?.description == address)
    }
}
