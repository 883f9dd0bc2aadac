import Testing

@testable import RDNetKit

@Suite("DNS under an egress policy")
struct NameScreenTests {
    private let fixture: DNSFixture
    private let policy: EgressPolicy

    init() throws {
        fixture = try DNSFixture(hosts: "10.0.0.9 db.corp")
        policy = EgressPolicy(PolicyRuleSet([], otherwise: .deny), loop: fixture.loop)
        policy.owner = { _ in .standardGuest }
        fixture.service.policy = policy
    }

    private func rule(_ rules: String...) throws {
        policy.replace(PolicyRuleSet(try rules.map { try PolicyRule($0) }, otherwise: .deny))
    }

    /// The resolver answers with these addresses.
    private func resolve(to addresses: [[UInt8]]) {
        fixture.upstreams[0].answer = {
            var answer = DNSOctets.answer($0.message)
            answer[7] = UInt8(addresses.count)
            for address in addresses {
                answer += [0xc0, 12, 0, address.count == 4 ? 1 : 28, 0, 1, 0, 0, 0, 9]
                answer += [0, UInt8(address.count)] + address
            }
            return [answer]
        }
    }

    private func names(of address: String) throws -> [String] {
        let address = try #require(IPAddress(address))
        return policy.pins.names(of: address, for: .standardGuest, now: fixture.loop.now)
            .map(\.text)
    }

    @Test func `a query that no rule could allow is answered here and never leaves`() throws {
        try rule("allow *.good.example", "allow 10.0.0.0/8")
        for name in ["secret-as-label.evil.example", "9.9.9.9.in-addr.arpa", "good.example"] {
            let answer = try fixture.answer(to: DNSOctets.query(name))
            #expect(DNSOctets.code(answer) == 5)
        }
        try fixture.settle()
        #expect(fixture.upstreams[0].received.isEmpty)
        #expect(fixture.service.counters.denied == 3)
    }

    @Test func `the refusal says which rule it was, to who understands it`() throws {
        try rule("deny evil.example", "allow public")
        let answer = try fixture.answer(to: DNSOctets.query("EVIL.example", size: 1232))
        // RFC 8914, 2: option 15, 2 + 17 bytes, info code 15 (Blocked), then the text.
        let option: [UInt8] = [0, 15, 0, 19, 0, 15] + Array("deny evil.example".utf8)
        #expect(Array(answer.suffix(option.count)) == option)
        let plain = try fixture.answer(to: DNSOctets.query("evil.example"))
        #expect(plain.count == DNSOctets.query("evil.example").count)
    }

    @Test func `a query over TCP is refused as well`() throws {
        try rule("allow good.example")
        let stream = try fixture.connect()
        try stream.send(GuestStream.framed(DNSOctets.query("evil.example")))
        #expect(DNSOctets.code(try stream.message()) == 5)
    }

    @Test func `an answer pins its addresses to the name that was asked for`() throws {
        try rule("allow *.example")
        resolve(to: [[9, 9, 9, 9], [0x26, 6, 0x47] + [UInt8](repeating: 0, count: 13)])
        _ = try fixture.answer(to: DNSOctets.query("WWW.example"))
        #expect(try names(of: "9.9.9.9") == ["www.example"])
        #expect(try names(of: "2606:4700::") == ["www.example"])
        #expect(try names(of: "9.9.9.8") == [])
    }

    @Test func `an alias pins the address to the name in the query`() throws {
        try rule("allow www.example")
        fixture.upstreams[0].answer = {
            var answer = DNSOctets.answer($0.message)
            answer[7] = 3
            let target = DNSOctets.name("cdn.test")
            answer += [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, UInt8(target.count)] + target
            answer += target + [0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 9, 9, 9, 9]
            // A record that the name does not lead to.
            answer += DNSOctets.name("bank.test") + [0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 8, 8, 8, 8]
            return [answer]
        }
        _ = try fixture.answer(to: DNSOctets.query("www.example"))
        #expect(try names(of: "9.9.9.9") == ["www.example"])
        #expect(try names(of: "8.8.8.8") == [])
    }

    @Test func `an alias of a denied name is refused, and pins nothing`() throws {
        try rule("deny *.tracker.test", "allow public")
        fixture.upstreams[0].answer = {
            var answer = DNSOctets.answer($0.message)
            answer[7] = 2
            let target = DNSOctets.name("a.Tracker.test")
            answer += [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, UInt8(target.count)] + target
            answer += target + [0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 9, 9, 9, 9]
            return [answer]
        }
        let query = DNSOctets.query("metrics.shop.example")
        #expect(DNSOctets.code(try fixture.answer(to: query)) == 5)
        #expect(try names(of: "9.9.9.9") == [])
    }

    @Test(
        "a name that leads into a private network does not exist",
        arguments: [
            [10, 0, 0, 1], [127, 0, 0, 1], [169, 254, 169, 254], [192, 168, 127, 254],
            [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1],
            [UInt8](repeating: 0, count: 15) + [1],
        ]
    )
    func leadsNowhere(address: [UInt8]) throws {
        try rule("allow public", "allow *.example")
        resolve(to: [[9, 9, 9, 9], address])
        var records: [PolicyRecord] = []
        policy.decided = { records.append($0) }
        let answer = try fixture.answer(to: DNSOctets.query("rebind.example"))
        #expect(DNSOctets.code(answer) == 3)
        let withheld = try #require(records.first)
        #expect(withheld.verdict == .deny && withheld.name == "rebind.example")
        // The rule that the report names allows it.
        try rule(withheld.neededRule)
        resolve(to: [address])
        #expect(
            DNSOctets.code(try fixture.answer(to: DNSOctets.query("rebind.example"))) == 0,
            "\(withheld.neededRule)"
        )
        try rule("allow public", "allow *.example")
        #expect(try names(of: "9.9.9.9") == [])
    }

    @Test func `a rule may let a name lead there`() throws {
        try rule("allow git.corp address=10.0.0.0/8")
        resolve(to: [[10, 0, 0, 1]])
        #expect(DNSOctets.code(try fixture.answer(to: DNSOctets.query("git.corp"))) == 0)
        resolve(to: [[10, 0, 0, 1], [192, 168, 0, 1]])
        #expect(DNSOctets.code(try fixture.answer(to: DNSOctets.query("git.corp"))) == 3)
    }

    @Test func `an answer with more records than are read is none`() throws {
        try rule("allow public")
        resolve(to: Array(repeating: [9, 9, 9, 9], count: 64) + [[10, 0, 0, 1]])
        let answer = try fixture.answer(to: DNSOctets.query("many.example", size: 4_096))
        #expect(DNSOctets.code(answer) == 2)
    }

    @Test func `the host's own names are answered and pinned, whatever they lead to`() throws {
        try rule("allow db.corp")
        #expect(DNSOctets.code(try fixture.answer(to: DNSOctets.query("db.corp"))) == 0)
        #expect(try names(of: "10.0.0.9") == ["db.corp"])
        #expect(
            DNSOctets.code(try fixture.answer(to: DNSOctets.query("host.docker.internal"))) == 0
        )
    }
}
