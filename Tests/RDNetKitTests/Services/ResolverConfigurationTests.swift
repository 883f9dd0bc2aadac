import Testing

@testable import RDNetKit

@Suite("resolver configuration")
struct ResolverConfigurationTests {
    static func servers(_ addresses: String...) -> [ZonedEndpoint] {
        addresses.compactMap { ZonedEndpoint(address: $0, port: 53) }
    }

    @Test func `reads servers, search domains and options`() {
        let text = """
            # made by somebody
            ; nameserver 192.0.2.99
            domain old.example
            nameserver 192.0.2.1
            nameserver\t2001:db8::53
            nameserver fe80::1%eth0
            nameserver nonsense
            nameserver 192.0.2.1
            search corp.example eng.corp.example.
            options edns0 timeout:3 attempts:4 rotate ndots:2
            """
        let configuration = ResolverConfiguration(parsing: Array(text.utf8))
        #expect(configuration.servers == Self.servers("192.0.2.1", "2001:db8::53", "fe80::1%eth0"))
        #expect(configuration.searchDomains == ["corp.example", "eng.corp.example."])
        #expect(configuration.timeout == .seconds(3))
        #expect(configuration.attempts == 4)
        #expect(configuration.rotates)
    }

    @Test(
        "keeps options within bounds",
        arguments: [
            ("timeout:0 attempts:0", 1, 1),
            ("timeout:99 attempts:99", 5, 5),
            ("timeout:x attempts:", 2, 2),
            ("timeout:-9223372036854775809", 2, 2),
        ] as [(String, Int, Int)]
    )
    func keepsOptionsWithinBounds(options: String, seconds: Int, attempts: Int) {
        let configuration = ResolverConfiguration(parsing: Array("options \(options)".utf8))
        #expect(configuration.timeout == .seconds(seconds))
        #expect(configuration.attempts == attempts)
    }

    @Test func `takes eight servers at most`() {
        let text = (1...20).map { "nameserver 192.0.2.\($0)" }.joined(separator: "\n")
        let configuration = ResolverConfiguration(parsing: Array(text.utf8))
        #expect(configuration.servers.count == 8)
        #expect(configuration.ignoredServers > 0)
    }

    @Test(
        "random text is read, never a trap",
        arguments: [UInt64.random(in: 0...UInt64.max), 7]
    )
    func randomTextNeverTraps(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let words = [
            "nameserver", "search", "options", "timeout:", "1", "::", ".", " ", "\n", "\u{0}",
        ]
        for _ in 0..<2_000 {
            let text = (0..<20).map { _ in words.randomElement(using: &random) ?? "" }.joined()
            let configuration = ResolverConfiguration(parsing: Array(text.utf8))
            #expect((1...5).contains(configuration.attempts), "seed \(seed)")
        }
    }

    @Test func `follows its file, and keeps servers that were given`() throws {
        let files = try ScratchDirectory()
        try files.write("nameserver 192.0.2.1\nsearch one.example", to: "resolv.conf")
        let path = files.path + "/resolv.conf"
        let given = [ZonedEndpoint(Endpoint(address: .loopbackIPv4, port: 5353))]
        var now = Instant(nanoseconds: 0)
        var free = HostResolvers(path: path, fixedServers: [])
        var fixed = HostResolvers(path: path, fixedServers: given)
        let read7 = free.refresh(now: now)
        #expect(read7)
        let read8 = fixed.refresh(now: now)
        #expect(read8)
        #expect(free.configuration.servers == Self.servers("192.0.2.1"))
        #expect(fixed.configuration.servers == given)

        try files.write("nameserver 192.0.2.2\nsearch two.example", to: "resolv.conf")
        now = now + .seconds(1)
        let read9 = free.refresh(now: now)
        #expect(read9)
        let read10 = fixed.refresh(now: now)
        #expect(read10)
        #expect(free.configuration.servers == Self.servers("192.0.2.2"))
        #expect(fixed.configuration.servers == given)
        #expect(fixed.configuration.searchDomains == ["two.example"])
        let read11 = free.refresh(now: now + .seconds(1))
        #expect(!read11)
    }
}
