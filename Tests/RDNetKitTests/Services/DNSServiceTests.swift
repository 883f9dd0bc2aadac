import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("DNS service over UDP")
struct DNSServiceTests {
    @Test func `answers a zone's name from the address asked, to the one that asked`() throws {
        let fixture = try DNSFixture()
        fixture.ask(DNSOctets.query("Host.docker.internal", id: 0x4242))
        let sent = try #require(fixture.recorder.sent.first)
        #expect(sent.source == DNSFixture.gateway)
        #expect(sent.destination == DNSFixture.guest)
        #expect(
            sent.payload
                == [0x42, 0x42, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]
                + DNSOctets.name("Host.docker.internal") + [0, 1, 0, 1]
                + [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 168, 127, 254]
        )
        #expect(fixture.service.counters.local == 1)
        #expect(fixture.upstreams[0].received.isEmpty)
    }

    @Test func `asks localhost, zones, hosts file and resolvers in this order`() throws {
        let hosts = "192.0.2.1 localhost host.docker.internal db.example"
        let fixture = try DNSFixture(hosts: hosts)
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message, records: [9, 9, 9, 9])] }
        let ends = try ["localhost", "host.docker.internal", "db.example", "www.example"].map {
            try Array(fixture.answer(to: DNSOctets.query($0)).suffix(4))
        }
        #expect(ends == [[127, 0, 0, 1], [192, 168, 127, 254], [192, 0, 2, 1], [9, 9, 9, 9]])
    }

    @Test func `leaves other classes to the resolvers`() throws {
        let fixture = try DNSFixture()
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message, code: 5)] }
        let answer = try fixture.answer(to: DNSOctets.query("host.docker.internal", recordClass: 3))
        #expect(DNSOctets.code(answer) == 5)
    }

    @Test func `a zone added while it runs is answered`() throws {
        let fixture = try DNSFixture(upstreams: 0)
        let query = DNSOctets.query("x.new.zone")
        #expect(DNSOctets.code(try fixture.answer(to: query)) == 2)
        let zone = DNSZone(name: "new.zone.", records: [.init(name: "x", address: .loopbackIPv4)])
        let read1 = fixture.service.zones.add(zone)
        #expect(read1)
        #expect(DNSOctets.code(try fixture.answer(to: query)) == 0)
    }

    @Test(
        "refuses what is no query with a header",
        arguments: [
            ("NOTIFY", 2, 0x20, [0x12, 0x34, 0xa0, 0x84, 0, 0, 0, 0, 0, 0, 0, 0]),
            ("two questions", 5, 2, [0x12, 0x34, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]),
        ] as [(String, Int, UInt8, [UInt8])]
    )
    func refusesWhatIsNoQuery(what: String, offset: Int, octet: UInt8, answer: [UInt8]) throws {
        let fixture = try DNSFixture()
        var message = DNSOctets.query("a.example")
        message[offset] = octet
        #expect(try fixture.answer(to: message) == answer, "\(what)")
        #expect(fixture.service.counters.refused == 1)
    }

    @Test func `says nothing to runts and answers`() throws {
        let fixture = try DNSFixture()
        let query = DNSOctets.query("a.example")
        for length in 0..<12 { fixture.ask(Array(query.prefix(length))) }
        fixture.ask(DNSOctets.answer(query))
        try fixture.settle()
        #expect(fixture.recorder.sent.isEmpty)
        #expect(fixture.service.counters.dropped == 13)
        #expect(fixture.upstreams[0].received.isEmpty)
    }

    @Test func `does not attempt zone transfers`() throws {
        let fixture = try DNSFixture()
        let answer = try fixture.answer(to: DNSOctets.query("a.example", type: 252))
        #expect(DNSOctets.code(answer) == 4)
    }

    @Test func `follows the host's resolv.conf`() throws {
        let fixture = try DNSFixture(upstreams: 0, resolver: "search one.example\n")
        #expect(fixture.service.searchDomains(now: fixture.loop.now) == ["one.example"])
        #expect(DNSOctets.code(try fixture.answer(to: DNSOctets.query("a.example"))) == 2)
        #expect(fixture.service.counters.forwarder.tries == 0)

        // Nothing listens at that address; the test only checks that the service tries it.
        try fixture.files.write("nameserver 127.77.0.53\nsearch two.example\n", to: "resolv.conf")
        try fixture.pass(.seconds(1))
        #expect(DNSOctets.code(try fixture.answer(to: DNSOctets.query("a.example"))) == 2)
        #expect(fixture.service.counters.forwarder.tries == 1)
        #expect(fixture.service.searchDomains(now: fixture.loop.now) == ["two.example"])
    }

    @Test func `cuts an answer to what the client takes`() throws {
        let fixture = try DNSFixture()
        let records = [UInt8](repeating: 7, count: 600)
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message, records: records)] }
        let plain = DNSOctets.query("big.example")
        let cut = try fixture.answer(to: plain)
        #expect(cut == [0x12, 0x34, 0x83, 0x80, 0, 1, 0, 0, 0, 0, 0, 0] + plain.dropFirst(12))
        #expect(fixture.service.counters.truncated == 1)
        let extended = DNSOctets.query("big.example", size: 1232)
        #expect(try fixture.answer(to: extended) == DNSOctets.answer(extended, records: records))
    }

    @Test(
        "random datagrams never trap, and the next query is answered",
        arguments: [UInt64.random(in: 0...UInt64.max), 11]
    )
    func randomDatagramsNeverTrap(seed: UInt64) throws {
        let fixture = try DNSFixture(seed: seed)
        var random = SeededRandom(seed: seed)
        fixture.upstreams[0].answer = { query in
            // The server is as erratic as the clients.
            var answer = DNSOctets.answer(query.message)
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                let index = Int.random(in: 0..<answer.count, using: &random)
                answer[index] = UInt8.random(in: 0...255, using: &random)
            }
            return [Array(answer.prefix(Int.random(in: 0...answer.count, using: &random)))]
        }
        var noise = SeededRandom(seed: seed &+ 1)
        for round in 0..<2_000 {
            var message = DNSOctets.query("a.example", id: UInt16(round), size: 1232)
            for _ in 0..<Int.random(in: 0...6, using: &noise) {
                let index = Int.random(in: 0..<message.count, using: &noise)
                message[index] = UInt8.random(in: 0...255, using: &noise)
            }
            fixture.ask(message)
            if round % 16 == 0 { try fixture.settle() }
        }
        try fixture.pass(.seconds(11))
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message, records: [1, 2, 3])] }
        let query = DNSOctets.query("sane.example", id: 7)
        #expect(
            try fixture.answer(to: query) == DNSOctets.answer(query, records: [1, 2, 3]),
            "seed \(seed)"
        )
        #expect(fixture.service.counters.inFlight == 0, "seed \(seed)")
        #expect(fixture.service.counters.upstreamSockets == 0, "seed \(seed)")
    }
}
