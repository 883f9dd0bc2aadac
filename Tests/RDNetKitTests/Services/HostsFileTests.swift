import Testing

@testable import RDNetKit

@Suite("hosts file")
struct HostsFileTests {
    static let hosts = """
        127.0.0.1\tlocalhost box.example.org box # the machine
        127.0.1.1  thismachine
        ::1        localhost ip6-localhost thismachine six-only
        192.0.2.7  db Database.Example.ORG db2
        2001:db8::7 db
        0.0.0.0    ads.example
        # 192.0.2.9 hidden
        garbage    nothing
        192.0.2.10
        192.0.2.11 bad..name good
        fe80::1%eth0 scoped
        """

    static func answer(_ name: String, _ type: UInt16) throws -> DNSLocalAnswer? {
        let table = HostsTable(parsing: Array(hosts.utf8), hostAlias: DNSFixture.hostAlias)
        let question = try DNSZoneTests.question(name, type)
        return HostsTable.localhostAnswer(to: question) ?? table.answer(to: question)
    }

    @Test(
        "answers addresses",
        arguments: [
            ("db", 1, ["192.0.2.7"]),
            ("DB", 28, ["2001:db8::7"]),
            ("database.example.org", 1, ["192.0.2.7"]),
            ("database.example.org", 28, []),  // no IPv6 address here, so none, whatever DNS says
            ("db", 255, ["192.0.2.7", "2001:db8::7"]),
            ("ads.example", 1, ["0.0.0.0"]),
            ("good", 1, ["192.0.2.11"]),
            // The host's own names lead to its loopback address as the guest sees it.
            ("thismachine", 1, ["192.168.127.254"]),
            ("box", 1, ["192.168.127.254"]),
            ("thismachine", 28, []),
            ("six-only", 28, []),
            // RFC 6761, 6.3
            ("localhost", 1, ["127.0.0.1"]),
            ("LocalHost", 28, ["::1"]),
            ("any.localhost", 1, ["127.0.0.1"]),
            ("localhost", 16, []),
        ] as [(String, UInt16, [String])]
    )
    func answersAddresses(name: String, type: UInt16, addresses: [String]) throws {
        let answer = try #require(try Self.answer(name, type))
        #expect(answer.code == .noError)
        #expect(answer.records == addresses.compactMap { IPAddress($0) }.map { .address($0) })
    }

    @Test(
        "leaves the rest to the resolvers",
        arguments: [
            ("db", 15), ("unknown", 1), ("hidden", 1), ("nothing", 1),
            // getaddrinfo(3) ignores addresses with a zone as well, and a guest has no such link.
            ("scoped", 28),
            ("9.2.0.192.in-addr.arpa", 12),
        ] as [(String, UInt16)]
    )
    func leavesTheRest(name: String, type: UInt16) throws {
        #expect(try Self.answer(name, type) == nil)
    }

    @Test(
        "answers reverse names with the first of a line",
        arguments: [
            ("7.2.0.192.in-addr.arpa", "db."),
            ("254.127.168.192.in-addr.arpa", "box.example.org."),
            ("1.0.0.127.in-addr.arpa", "localhost."),
            ("1" + String(repeating: ".0", count: 31) + ".ip6.arpa", "localhost."),
        ]
    )
    func answersReverseNames(name: String, target: String) throws {
        let answer = try Self.answer(name, 12)
        #expect(answer?.records == [.pointer(try #require(DNSName(target)))])
    }

    @Test(
        "::1 becomes the IPv6 host alias, but stays that of localhost",
        arguments: [
            ("thismachine", ["fdc0:a87f::fe"]), ("six-only", ["fdc0:a87f::fe"]),
            ("localhost", ["::1"]), ("ip6-localhost", ["::1"]), ("db", ["2001:db8::7"]),
        ]
    )
    func hostAliasIPv6(name: String, addresses: [String]) throws {
        let table = HostsTable(
            parsing: Array(Self.hosts.utf8),
            hostAlias: DNSFixture.hostAlias,
            hostAliasIPv6: IPAddress("fdc0:a87f::fe")
        )
        let question = try DNSZoneTests.question(name, 28)
        let answer = HostsTable.localhostAnswer(to: question) ?? table.answer(to: question)
        #expect(answer?.records == addresses.compactMap { IPAddress($0) }.map { .address($0) })
    }

    @Test func `keeps at most 16 addresses of a name`() throws {
        let lines = (1...40).map { "192.0.2.\($0) many" }.joined(separator: "\n")
        let table = HostsTable(parsing: Array(lines.utf8), hostAlias: DNSFixture.hostAlias)
        #expect(table.answer(to: try DNSZoneTests.question("many", 1))?.records.count == 16)
    }

    @Test func `says that it has more names than are kept`() {
        let lines = (0...HostsTable.nameLimit).map { "192.0.2.1 n\($0)\n" }
        for (count, isCut) in [(lines.count - 1, false), (lines.count, true)] {
            let text = lines[..<count].joined()
            let table = HostsTable(parsing: Array(text.utf8), hostAlias: DNSFixture.hostAlias)
            #expect(table.isCut == isCut)
        }
    }

    @Test func `is read again when it changes, and looked at once a second`() throws {
        let files = try ScratchDirectory()
        let question = try DNSZoneTests.question("a", 1)
        var now = Instant(nanoseconds: 0)
        var file = HostsFile(path: files.path + "/hosts", hostAlias: DNSFixture.hostAlias)
        let read2 = file.refresh(now: now)
        #expect(read2)
        #expect(file.table.answer(to: question) == nil)

        try files.write("192.0.2.1 a", to: "hosts")
        now = now + .milliseconds(999)
        let read3 = file.refresh(now: now)
        #expect(!read3)
        now = now + .milliseconds(1)
        let read4 = file.refresh(now: now)
        #expect(read4)
        #expect(
            file.table.answer(to: question)?.records == [.address(IPAddress(ipv4: 0xc000_0201))]
        )

        now = now + .seconds(1)
        let read5 = file.refresh(now: now)
        #expect(!read5)
        // The length is unchanged, but the inode differs.
        try files.write("192.0.2.2 a", to: "hosts")
        now = now + .seconds(1)
        let read6 = file.refresh(now: now)
        #expect(read6)
        #expect(
            file.table.answer(to: question)?.records == [.address(IPAddress(ipv4: 0xc000_0202))]
        )
    }
}
