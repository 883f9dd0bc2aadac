import Testing

@testable import RDNetKit

@Suite("DNS service over streams")
struct DNSConnectionTests {
    @Test func `answers pipelined queries however the octets are cut`() throws {
        let fixture = try DNSFixture()
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message, records: [1])] }
        let stream = try fixture.connect()
        let names = ["host.docker.internal", "a.example", "gateway.docker.internal", "b.example"]
        let octets = names.enumerated().flatMap { index, name in
            GuestStream.framed(DNSOctets.query(name, id: UInt16(index)))
        }
        for octet in octets {
            try stream.send([octet])
            try fixture.settle()
        }
        var answers: [UInt8: [UInt8]] = [:]
        for _ in names {
            let message = try stream.message()
            answers[message[1]] = message
        }
        #expect(answers.keys.sorted() == [0, 1, 2, 3])
        #expect(answers[0]?.suffix(4) == [192, 168, 127, 254])
        #expect(answers[3] == DNSOctets.answer(DNSOctets.query("b.example", id: 3), records: [1]))
        #expect(fixture.service.counters.streamQueries == 4)
    }

    @Test func `answers more queries at once than may be outstanding`() throws {
        let fixture = try DNSFixture()
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message)] }
        let stream = try fixture.connect()
        let octets = (0..<100).flatMap { (id: UInt16) -> [UInt8] in
            let name = id % 2 == 0 ? "a.example" : "host.docker.internal"
            return GuestStream.framed(DNSOctets.query(name, id: id))
        }
        try stream.send(octets)
        var ids: Set<UInt8> = []
        for _ in 0..<100 { ids.insert(try stream.message()[1]) }
        #expect(ids.count == 100)
    }

    @Test func `has at most 16 queries of a stream on their way`() throws {
        let fixture = try DNSFixture()
        let stream = try fixture.connect()
        try stream.send(
            (0..<50).flatMap { GuestStream.framed(DNSOctets.query("a.example", id: $0)) }
        )
        try fixture.settle()
        #expect(fixture.service.counters.inFlight == 16)
    }

    @Test func `asks servers over TCP, and large answers come whole`() throws {
        let fixture = try DNSFixture()
        let records = (0..<65_000).map { UInt8(truncatingIfNeeded: $0) }
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message, records: records)] }
        let stream = try fixture.connect()
        let query = DNSOctets.query("big.example", type: 16)
        try stream.send(GuestStream.framed(query))
        #expect(try stream.message() == DNSOctets.answer(query, records: records))
        #expect(fixture.upstreams[0].received.map(\.transport) == [.stream])
        #expect(fixture.service.counters.upstreamSockets == 0)
    }

    @Test func `asks over UDP where a server has no TCP`() throws {
        let fixture = try DNSFixture(withTCP: false)
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message)] }
        let stream = try fixture.connect()
        let query = DNSOctets.query("a.example")
        try stream.send(GuestStream.framed(query))
        #expect(try stream.message() == DNSOctets.answer(query))
    }

    @Test func `never passes a cut answer on over a stream`() throws {
        let fixture = try DNSFixture(withTCP: false)
        fixture.upstreams[0].answer = { query in
            var answer = DNSOctets.answer(query.message)
            answer[2] |= 0x02
            return [answer]
        }
        let stream = try fixture.connect()
        try stream.send(GuestStream.framed(DNSOctets.query("a.example")))
        #expect(DNSOctets.code(try stream.message()) == 2)
    }

    @Test func `passes a cut answer on over UDP, and the client comes back over TCP`() throws {
        let fixture = try DNSFixture()
        fixture.upstreams[0].answer = { query in
            var answer = DNSOctets.answer(query.message)
            if query.transport == .datagram { answer[2] |= 0x02 }
            return [answer]
        }
        let query = DNSOctets.query("a.example")
        #expect(try fixture.answer(to: query)[2] & 0x02 != 0)
        let stream = try fixture.connect()
        try stream.send(GuestStream.framed(query))
        #expect(try stream.message() == DNSOctets.answer(query))
    }

    @Test func `asks again what a server left open when it closed`() throws {
        let fixture = try DNSFixture { $0.forwarderLimits.streamSockets = 1 }
        fixture.upstreams[0].closesAfterAnswer = true
        fixture.upstreams[0].answer = { query in
            var answer = DNSOctets.answer(query.message)
            if query.transport == .datagram { answer[2] |= 0x02 }
            return [answer]
        }
        let stream = try fixture.connect()
        try stream.send(
            (0..<2).flatMap { GuestStream.framed(DNSOctets.query("a.example", id: $0)) }
        )
        let codes = try [stream.message(), stream.message()].map { DNSOctets.code($0) }
        #expect(codes == [0, 0])
    }

    @Test func `goes to the next server when a connection stays silent`() throws {
        let fixture = try DNSFixture(upstreams: 2)
        fixture.upstreams[1].answer = { [DNSOctets.answer($0.message)] }
        let stream = try fixture.connect()
        let query = DNSOctets.query("a.example")
        try stream.send(GuestStream.framed(query))
        try fixture.run { fixture.upstreams[0].received.count == 1 }
        try fixture.pass(.milliseconds(2_010))
        #expect(try stream.message() == DNSOctets.answer(query))
    }

    @Test func `a client that has ended its sending still gets its answer, then the end`() throws {
        let fixture = try DNSFixture()
        let stream = try fixture.connect()
        try stream.send(GuestStream.framed(DNSOctets.query("a.example")))
        stream.endSending()
        try fixture.run { fixture.upstreams[0].received.count == 1 }
        #expect(!stream.hasEnded)
        // The upstream sends nothing, so the query's timeout produces the answer.
        try fixture.pass(.milliseconds(10_010))
        #expect(DNSOctets.code(try stream.message()) == 2)
        #expect(stream.readsEnd())
        #expect(fixture.service.counters.connections == 0)
    }

    @Test func `closes a silent client after ten seconds, not one that waits`() throws {
        let fixture = try DNSFixture { $0.forwarderLimits.lifetime = .seconds(15) }
        let (silent, waiting) = (try fixture.connect(), try fixture.connect())
        try waiting.send(GuestStream.framed(DNSOctets.query("a.example")))
        try fixture.settle()
        try fixture.pass(.milliseconds(9_990))
        silent.read()
        #expect(!silent.hasEnded)
        try fixture.pass(.milliseconds(20))
        #expect(silent.readsEnd())
        waiting.read()
        #expect(!waiting.hasEnded)
        try fixture.pass(.seconds(5))
        #expect(DNSOctets.code(try waiting.message()) == 2)
    }

    @Test func `an idle connection makes room for a new one, a waiting one does not`() throws {
        let fixture = try DNSFixture { $0.connections = 2 }
        let (waiting, idle) = (try fixture.connect(), try fixture.connect())
        try waiting.send(GuestStream.framed(DNSOctets.query("a.example")))
        try fixture.settle()
        let third = try fixture.connect()
        #expect(idle.readsEnd())
        for stream in [waiting, third] { stream.read() }
        #expect(!waiting.hasEnded && !third.hasEnded)
        try third.send(GuestStream.framed(DNSOctets.query("b.example")))
        try fixture.settle()
        let fourth = try fixture.connect()
        #expect(fourth.readsEnd())
        for stream in [waiting, third] { stream.read() }
        #expect(!waiting.hasEnded && !third.hasEnded)
        #expect(fixture.service.counters.refusedConnections == 2)
    }

    @Test func `a client that reads nothing stops only itself`() throws {
        let fixture = try DNSFixture()
        let records = [UInt8](repeating: 3, count: 60_000)
        fixture.upstreams[0].answer = { [DNSOctets.answer($0.message, records: records)] }
        let (greedy, modest) = (try fixture.connect(), try fixture.connect())
        for number in 0..<200 {
            try greedy.send(GuestStream.framed(DNSOctets.query("a.example", id: UInt16(number))))
        }
        for _ in 0..<200 { try fixture.settle() }
        let asked = fixture.upstreams[0].received.count
        #expect(asked < 60)
        try modest.send(GuestStream.framed(DNSOctets.query("b.example")))
        #expect(try modest.message().count > 60_000)
        var ids: Set<UInt8> = []
        for _ in 0..<200 { ids.insert(try greedy.message()[1]) }
        #expect(ids.count == 200)
    }

    @Test func `reads no more of a client than it can answer`() throws {
        let fixture = try DNSFixture()
        let stream = try fixture.connect()
        let queries = (0..<100).flatMap { GuestStream.framed(DNSOctets.query("a.example", id: $0)) }
        // The upstream sends no answers, so the client's own socket must fill up.
        #expect(try stream.flood(queries, limit: 16 << 20) < 2 << 20)
        #expect(fixture.service.counters.inFlight == 16)
    }

    @Test func `a message too long to be a query ends the connection`() throws {
        let fixture = try DNSFixture()
        let stream = try fixture.connect()
        try stream.send([0x10, 0x01])
        try fixture.settle()
        #expect(stream.readsEnd())
        #expect(fixture.service.counters.connections == 0)
    }

    @Test func `refusals go over streams too, and empty messages are skipped`() throws {
        let fixture = try DNSFixture()
        let stream = try fixture.connect()
        var update = DNSOctets.query("a.example")
        update[2] = 0x28
        try stream.send([0, 0] + GuestStream.framed(update))
        #expect(try stream.message() == [0x12, 0x34, 0xa8, 0x84, 0, 0, 0, 0, 0, 0, 0, 0])
        #expect(fixture.service.counters.dropped == 1)
    }

    @Test(
        "random octets never trap, and the next connection works",
        arguments: [UInt64.random(in: 0...UInt64.max), 5]
    )
    func randomOctetsNeverTrap(seed: UInt64) throws {
        let fixture = try DNSFixture(seed: seed)
        var random = SeededRandom(seed: seed)
        for _ in 0..<300 {
            let stream = try fixture.connect()
            var octets = (0..<40).map { _ in UInt8.random(in: 0...255, using: &random) }
            if Bool.random(using: &random) { octets[0] = 0 }
            if Bool.random(using: &random) { octets[1] = UInt8.random(in: 0...38, using: &random) }
            try stream.send(octets)
            try fixture.settle()
        }
        let stream = try fixture.connect()
        try stream.send(GuestStream.framed(DNSOctets.query("host.docker.internal")))
        #expect(try stream.message().suffix(4) == [192, 168, 127, 254], "seed \(seed)")
    }
}
