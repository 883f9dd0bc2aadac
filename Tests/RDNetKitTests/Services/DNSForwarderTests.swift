import Testing

@testable import RDNetKit

@Suite("DNS forwarder")
struct DNSForwarderTests {
    @Test(
        "passes every type and EDNS on unchanged but for the identifier",
        arguments: [1, 2, 5, 6, 12, 15, 16, 28, 33, 43, 46, 48, 64, 65, 255, 257, 32_769, 65_280]
            as [UInt16]
    )
    func passesEveryType(type: UInt16) throws {
        let fixture = try DNSFixture()
        let records: [UInt8] = [0xc0, 12, 1, 2, 3, 4, 0, 0, 0, 60, 0, 3, 1, 2, 3]
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message, records: records)] }
        let query = DNSOctets.query("WwW.eXample.com", type: type, size: 1400)
        #expect(try fixture.answer(to: query) == DNSOctets.answer(query, records: records))
        let asked = try #require(fixture.upstreams[0].received.first)
        #expect(asked.message.dropFirst(2) == query.dropFirst(2))
    }

    @Test func `gives the client back its spelling`() throws {
        let fixture = try DNSFixture()
        fixture.upstreams[0].answer = { query in
            [DNSOctets.answer(query.message).map { $0 == 0x57 ? 0x77 : $0 }]
        }
        let query = DNSOctets.query("WWW.example")
        #expect(try fixture.answer(to: query) == DNSOctets.answer(query))
    }

    @Test func `uses identifiers and ports that do not follow from each other`() throws {
        let fixture = try DNSFixture()
        for number in 0..<60 { fixture.ask(DNSOctets.query("a.example", id: UInt16(number))) }
        try fixture.run { fixture.upstreams[0].received.count == 60 }
        let received = fixture.upstreams[0].received
        let ids = received.map { UInt16($0.message[0]) << 8 | UInt16($0.message[1]) }
        #expect(Set(ids).count > 55)
        #expect(zip(ids, ids.dropFirst()).count { $1 == $0 &+ 1 } < 3)
        #expect(Set(received.compactMap { $0.source?.port }).count == 60)
    }

    @Test func `shares 64 sockets among many queries, and closes each with its last answer`() throws
    {
        let fixture = try DNSFixture()
        for number in 0..<200 { fixture.ask(DNSOctets.query("a.example", id: UInt16(number))) }
        try fixture.run { fixture.upstreams[0].received.count == 200 }
        #expect(fixture.service.counters.upstreamSockets == 64)
        for query in fixture.upstreams[0].received {
            fixture.upstreams[0].reply(
                DNSOctets.answer(query.message),
                to: try #require(query.source)
            )
        }
        try fixture.run { fixture.recorder.sent.count == 200 }
        #expect(fixture.service.counters.upstreamSockets == 0)
        #expect(fixture.service.counters.inFlight == 0)
    }

    @Test func `gives a busy socket up for one at another port`() throws {
        let fixture = try DNSFixture {
            $0.forwarderLimits.datagramSockets = 1
            $0.forwarderLimits.usesPerSocket = 10
        }
        for number in 0..<100 { fixture.ask(DNSOctets.query("a.example", id: UInt16(number))) }
        try fixture.run { fixture.upstreams[0].received.count == 100 }
        #expect(Set(fixture.upstreams[0].received.compactMap { $0.source?.port }).count == 10)
    }

    @Test func `asks the next server after two seconds`() throws {
        let fixture = try DNSFixture(upstreams: 3)
        fixture.upstreams[1].answer = { [DNSOctets.answer($0.message)] }
        fixture.ask(DNSOctets.query("a.example"))
        try fixture.pass(.milliseconds(1_990))
        #expect(fixture.upstreams.map(\.received.count) == [1, 0, 0])
        try fixture.pass(.milliseconds(20))
        #expect(fixture.upstreams.map(\.received.count) == [1, 1, 0])
        #expect(
            fixture.recorder.sent.map(\.payload) == [DNSOctets.answer(DNSOctets.query("a.example"))]
        )
    }

    @Test func `takes a late answer of the server it gave up waiting for`() throws {
        let fixture = try DNSFixture(upstreams: 2)
        fixture.ask(DNSOctets.query("a.example"))
        try fixture.pass(.milliseconds(2_010))
        let late = try #require(fixture.upstreams[0].received.first)
        fixture.upstreams[0].reply(
            DNSOctets.answer(late.message, records: [5]),
            to: try #require(late.source)
        )
        try fixture.run { fixture.recorder.sent.count == 1 }
        #expect(fixture.recorder.sent[0].payload.last == 5)
        #expect(fixture.service.counters.upstreamSockets == 0)
    }

    @Test("asks the next server at once after a failure", arguments: [2, 5] as [UInt8])
    func asksTheNextAfterAFailure(code: UInt8) throws {
        let fixture = try DNSFixture(upstreams: 3)
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message, code: code)] }
        fixture.upstreams[1].answer = { [DNSOctets.answer($0.message)] }
        let answer = try fixture.answer(to: DNSOctets.query("a.example"))
        #expect(DNSOctets.code(answer) == 0)
        #expect(fixture.upstreams.map(\.received.count) == [1, 1, 0])
    }

    @Test("passes on what a server says", arguments: [0, 1, 3, 4] as [UInt8])
    func passesOnWhatAServerSays(code: UInt8) throws {
        let fixture = try DNSFixture(upstreams: 2)
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message, code: code)] }
        let answer = try fixture.answer(to: DNSOctets.query("a.example"))
        #expect(DNSOctets.code(answer) == code)
        #expect(fixture.upstreams[1].received.isEmpty)
    }

    @Test func `passes the servers' own failure on when all fail`() throws {
        let fixture = try DNSFixture(upstreams: 2)
        for upstream in fixture.upstreams {
            upstream.answer = { [DNSOctets.answer($0.message, code: 2, records: [8, 8])] }
        }
        let query = DNSOctets.query("a.example")
        #expect(try fixture.answer(to: query) == DNSOctets.answer(query, code: 2, records: [8, 8]))
        #expect(fixture.upstreams.map(\.received.count) == [1, 1])
    }

    @Test func `asks the next server at once when a port is closed`() throws {
        let fixture = try DNSFixture(upstreams: 1) { settings in
            let closed = Endpoint(address: .loopbackIPv4, port: 1)
            settings.servers.insert(ZonedEndpoint(closed), at: 0)
        }
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message)] }
        let answer = try fixture.answer(to: DNSOctets.query("a.example"))
        #expect(DNSOctets.code(answer) == 0)
    }

    @Test("asks the next server at once when one cannot be reached", arguments: ["255.255.255.255"])
    func asksTheNextWhenUnreachable(address: String) throws {
        // The kernel itself refuses connect(2) to the broadcast address: no packet leaves.
        let unreachable = Endpoint(address: try #require(IPAddress(address)), port: 53)
        let fixture = try DNSFixture(upstreams: 1) {
            $0.servers.insert(ZonedEndpoint(unreachable), at: 0)
        }
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message)] }
        #expect(DNSOctets.code(try fixture.answer(to: DNSOctets.query("a.example"))) == 0)
    }

    @Test func `answers SERVFAIL, not NXDOMAIN, when every port is closed`() throws {
        let fixture = try DNSFixture(upstreams: 0) {
            $0.servers = [1, 7].map { ZonedEndpoint(Endpoint(address: .loopbackIPv4, port: $0)) }
        }
        let answer = try fixture.answer(to: DNSOctets.query("a.example", size: 1232))
        #expect(Array(answer.prefix(4)) == [0x12, 0x34, 0x81, 0x82])
        #expect(answer.suffix(11) == [0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 0])
    }

    @Test func `answers SERVFAIL at once without a resolver`() throws {
        let fixture = try DNSFixture(upstreams: 0)
        fixture.ask(DNSOctets.query("a.example"))
        #expect(fixture.recorder.sent.map { DNSOctets.code($0.payload) } == [2])
    }

    @Test func `answers SERVFAIL after ten seconds of silence, having asked each server twice`()
        throws
    {
        let fixture = try DNSFixture(upstreams: 2)
        fixture.ask(DNSOctets.query("a.example"))
        for _ in 0..<99 { try fixture.pass(.milliseconds(100)) }
        #expect(fixture.recorder.sent.isEmpty)
        #expect(fixture.upstreams.map(\.received.count) == [2, 2])
        try fixture.pass(.milliseconds(110))
        #expect(fixture.recorder.sent.map { DNSOctets.code($0.payload) } == [2])
        #expect(fixture.service.counters.upstreamSockets == 0)
    }

    @Test func `is as patient as resolv.conf says, and ends after ten seconds all the same`() throws
    {
        let fixture = try DNSFixture(resolver: "options timeout:3 attempts:5\n")
        fixture.ask(DNSOctets.query("a.example"))
        var counts: [Int] = []
        for _ in 0..<10 {
            try fixture.pass(.milliseconds(1_002))
            counts.append(fixture.upstreams[0].received.count)
        }
        #expect(counts == [1, 1, 2, 2, 2, 3, 3, 3, 4, 4])
        #expect(fixture.recorder.sent.map { DNSOctets.code($0.payload) } == [2])
    }

    @Test func `does not believe answers to other questions`() throws {
        let fixture = try DNSFixture()
        fixture.upstreams[0].answer = { query in
            var forged = DNSOctets.answer(query.message, records: [6, 6, 6])
            forged[1] ^= 1
            let other = DNSOctets.query("b.example")
            let swapped = query.message.prefix(2) + DNSOctets.answer(other).dropFirst(2)
            return [forged, Array(swapped), [], query.message, DNSOctets.answer(query.message)]
        }
        let query = DNSOctets.query("a.example")
        #expect(try fixture.answer(to: query) == DNSOctets.answer(query))
        #expect(fixture.service.counters.forwarder.dropped == 4)
    }

    @Test func `does not multiply a client's retransmissions`() throws {
        let fixture = try DNSFixture()
        let query = DNSOctets.query("a.example")
        for _ in 0..<5 { fixture.ask(query) }
        let other = Endpoint(address: DNSFixture.guest.address, port: 40_001)
        fixture.ask(query, from: other)
        fixture.ask(DNSOctets.query("a.example", id: 0x1235))
        try fixture.run { fixture.upstreams[0].received.count == 3 }
        for asked in fixture.upstreams[0].received {
            let client = try #require(asked.source)
            fixture.upstreams[0].reply(DNSOctets.answer(asked.message), to: client)
        }
        try fixture.run { fixture.recorder.sent.count == 3 }
        try fixture.settle()
        #expect(fixture.recorder.sent.count == 3)
        #expect(fixture.upstreams[0].received.count == 3)
        #expect(fixture.service.counters.forwarder.retransmissions == 4)
        // The query has been answered, so the same query counts as new.
        fixture.ask(query)
        try fixture.run { fixture.upstreams[0].received.count == 4 }
    }

    @Test func `keeps 10,000 queries in flight, and fails the oldest for one more`() throws {
        let fixture = try DNSFixture()
        for number in 0..<10_000 {
            fixture.ask(DNSOctets.query("a.example", id: UInt16(number)))
        }
        #expect(fixture.recorder.sent.isEmpty)
        #expect(fixture.service.counters.inFlight == 10_000)
        fixture.ask(DNSOctets.query("a.example", id: 10_000))
        fixture.ask(DNSOctets.query("a.example", id: 10_001))
        #expect(fixture.recorder.sent.map { Array($0.payload.prefix(2)) } == [[0, 0], [0, 1]])
        #expect(fixture.recorder.sent.map { DNSOctets.code($0.payload) } == [2, 2])
        let counters = fixture.service.counters
        #expect(counters.inFlight == 10_000)
        #expect(counters.forwarder.evicted == 2)
        #expect(counters.upstreamSockets <= 128)
        for _ in 0..<11 { try fixture.pass(.seconds(1)) }
        try fixture.run { fixture.recorder.sent.count == 10_002 }
        #expect(fixture.service.counters.inFlight == 0)
        #expect(fixture.service.counters.upstreamSockets == 0)
    }
}
