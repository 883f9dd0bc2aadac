import Testing

@testable import RDNetKit

/// The first server of resolv.conf decides, regardless of the outcome of other queries.
@Suite("DNS server order")
struct DNSServerOrderTests {
    private static let internalName = DNSOctets.query("intranet.corp.example", id: 1)

    @Sendable private static func denial(_ query: FakeUpstream.Query) -> [[UInt8]] {
        [DNSOctets.answer(query.message, code: 3)]
    }

    @Sendable private static func positive(_ query: FakeUpstream.Query) -> [[UInt8]] {
        [DNSOctets.answer(query.message, records: [7])]
    }

    /// Two servers: the first has left one query unanswered, the second denies every name.
    private static func afterSilence(
        settings: (inout DNSSettings) -> Void = { _ in }
    ) throws -> DNSFixture {
        let fixture = try DNSFixture(upstreams: 2, settings: settings)
        fixture.upstreams[1].answer = denial
        fixture.ask(DNSOctets.query("lost.example"))
        try fixture.pass(.milliseconds(2_010))
        #expect(fixture.recorder.sent.map { DNSOctets.code($0.payload) } == [3])
        return fixture
    }

    @Test func `a lost query does not hide the company's names from the next one`() throws {
        let fixture = try Self.afterSilence()
        fixture.upstreams[0].answer = Self.positive
        #expect(DNSOctets.code(try fixture.answer(to: Self.internalName)) == 0)
    }

    @Test func `the first server decides though it answers after the second`() throws {
        let fixture = try Self.afterSilence()
        fixture.ask(Self.internalName)
        try fixture.run { fixture.upstreams[1].received.count == 2 }
        try fixture.pass(.milliseconds(1_500))
        #expect(fixture.recorder.sent.count == 1)
        let asked = try #require(fixture.upstreams[0].received.last)
        fixture.upstreams[0].reply(
            DNSOctets.answer(asked.message, records: [7]),
            to: try #require(asked.source)
        )
        try fixture.run { fixture.recorder.sent.count == 2 }
        #expect(fixture.recorder.sent.last?.payload.last == 7)
    }

    @Test func `a denial of the second counts after the first server's whole time`() throws {
        let fixture = try Self.afterSilence()
        fixture.ask(Self.internalName)
        try fixture.run { fixture.upstreams[1].received.count == 2 }
        try fixture.pass(.milliseconds(1_990))
        #expect(fixture.recorder.sent.count == 1)
        try fixture.pass(.milliseconds(20))
        #expect(fixture.recorder.sent.map { DNSOctets.code($0.payload) } == [3, 3])
    }

    @Test func `a server that is down costs half a second, not two, for other answers`() throws {
        let fixture = try Self.afterSilence()
        fixture.upstreams[1].answer = Self.positive
        fixture.ask(Self.internalName)
        try fixture.run { fixture.upstreams[1].received.count == 2 }
        try fixture.pass(.milliseconds(490))
        #expect(fixture.recorder.sent.count == 1)
        try fixture.pass(.milliseconds(20))
        #expect(fixture.recorder.sent.last?.payload.last == 7)
        #expect(fixture.service.counters.upstreamSockets == 0)
    }

    @Test func `the second server's answer counts at once when the first fails`() throws {
        let fixture = try Self.afterSilence()
        fixture.upstreams[1].answer = Self.positive
        fixture.ask(Self.internalName)
        try fixture.run { fixture.upstreams[1].received.count == 2 }
        try fixture.settle()
        let asked = try #require(fixture.upstreams[0].received.last)
        fixture.upstreams[0].reply(
            DNSOctets.answer(asked.message, code: 2),
            to: try #require(asked.source)
        )
        try fixture.run { fixture.recorder.sent.count == 2 }
        #expect(fixture.recorder.sent.last?.payload.last == 7)
    }

    @Test(
        "forgets silence after five seconds, and with the first answer",
        arguments: [true, false]
    )
    func forgetsSilence(byAnswer: Bool) throws {
        let fixture = try Self.afterSilence()
        if byAnswer {
            fixture.upstreams[0].answer = Self.positive
            _ = try fixture.answer(to: Self.internalName)
        } else {
            try fixture.pass(.milliseconds(5_010))
        }
        let before = fixture.upstreams[1].received.count
        fixture.upstreams[0].answer = { _ in [] }
        fixture.ask(DNSOctets.query("b.example", id: 2))
        try fixture.pass(.milliseconds(1_000))
        #expect(fixture.upstreams[1].received.count == before)
    }

    @Test func `slowness with one name is not silence`() throws {
        let fixture = try DNSFixture(upstreams: 2)
        fixture.upstreams[1].answer = Self.denial
        fixture.upstreams[0].answer = { $0.message.contains(0x7a) ? [] : Self.positive($0) }
        fixture.ask(DNSOctets.query("z.example"))
        try fixture.pass(.milliseconds(1_000))
        _ = try fixture.answer(to: DNSOctets.query("b.example", id: 2))
        try fixture.pass(.milliseconds(1_010))
        #expect(fixture.upstreams[1].received.count == 1)
        _ = try fixture.answer(to: DNSOctets.query("c.example", id: 3))
        #expect(fixture.upstreams[1].received.count == 1)
    }

    @Test func `many queries at once are each decided by the first server`() throws {
        let fixture = try Self.afterSilence()
        for id in 0..<100 { fixture.ask(DNSOctets.query("a.example", id: UInt16(id))) }
        try fixture.run { fixture.upstreams[1].received.count == 101 }
        // The first server answers in reverse order, and loses every other query.
        let asked = fixture.upstreams[0].received.dropFirst().reversed()
        for (number, query) in asked.enumerated() where number % 2 == 0 {
            let client = try #require(query.source)
            fixture.upstreams[0].reply(DNSOctets.answer(query.message, records: [7]), to: client)
        }
        try fixture.run { fixture.recorder.sent.count == 51 }
        #expect(fixture.recorder.sent.dropFirst().allSatisfy { $0.payload.last == 7 })
        try fixture.pass(.milliseconds(2_010))
        try fixture.run { fixture.recorder.sent.count == 101 }
        #expect(fixture.recorder.sent.count { DNSOctets.code($0.payload) == 3 } == 51)
        #expect(fixture.service.counters.inFlight == 0)
    }

    @Test func `a query of a stream goes to the first server over UDP before the second`() throws {
        let fixture = try DNSFixture(upstreams: 2, withTCP: false)
        fixture.upstreams[0].answer = Self.positive
        fixture.upstreams[1].answer = Self.denial
        let stream = try fixture.connect()
        try stream.send(GuestStream.framed(Self.internalName))
        #expect(try stream.message().last == 7)
        #expect(fixture.upstreams[1].received.isEmpty)
    }

    @Test func `no server denies a name over a stream that another one has`() throws {
        let fixture = try DNSFixture(upstreams: 2, withTCP: false)
        fixture.upstreams[0].answer = { query in
            var answer = DNSOctets.answer(query.message)
            answer[2] |= 0x02
            return [answer]
        }
        fixture.upstreams[1].answer = Self.denial
        let stream = try fixture.connect()
        try stream.send(GuestStream.framed(Self.internalName))
        #expect(DNSOctets.code(try stream.message()) == 2)
    }

    @Test func `options rotate spreads the queries over all servers`() throws {
        let fixture = try DNSFixture(upstreams: 3, resolver: "options rotate\n")
        for upstream in fixture.upstreams { upstream.answer = Self.positive }
        for id in 0..<60 as Range<UInt16> {
            _ = try fixture.answer(to: DNSOctets.query("a.example", id: id))
        }
        #expect(fixture.upstreams.allSatisfy { $0.received.count > 5 })
        #expect(fixture.upstreams.map(\.received.count).reduce(0, +) == 60)
    }

    @Test func `a query in flight starts again when the host's servers change`() throws {
        let fixture = try DNSFixture(upstreams: 2)
        fixture.upstreams[1].answer = Self.positive
        let forwarder = DNSForwarder(
            loop: fixture.loop,
            random: SeededRandom(seed: 1),
            log: .discarding(),
            reporting: .discarding()
        )
        var answers: [[UInt8]] = []
        forwarder.configuration.servers = [ZonedEndpoint(fixture.upstreams[0].endpoint)]
        let query = try DNSQuery(reading: Self.internalName)
        forwarder.forward(query, from: DNSFixture.guest) { answers.append($0) }
        try fixture.run { fixture.upstreams[0].received.count == 1 }
        forwarder.configuration.servers = [ZonedEndpoint(fixture.upstreams[1].endpoint)]
        try fixture.run { answers.count == 1 }
        #expect(answers.first?.last == 7)
        #expect(forwarder.socketCount == 0)
        #expect(forwarder.inFlight == 0)
    }
}
