import Testing

@testable import RDNetKit

@Suite("the host's resolvers as people see them")
struct ResolverWatchTests {
    private final class Record {
        var lines: [String] = []
    }

    private let record = Record()
    private let server = ZonedEndpoint(Endpoint(address: IPAddress(ipv4: 0x0a00_0001), port: 53))
    private let start = Instant(nanoseconds: 0)
    private var watch: ResolverWatch

    init() {
        watch = ResolverWatch(
            Logger(clock: { WallTime(seconds: 0, utcOffset: 0) }) { [record] octets in
                record.lines.append(String(decoding: octets, as: UTF8.self))
                return octets.count
            }
        )
    }

    private var state: String {
        watch.use(of: server).json(server, now: start).text("state")
    }

    @Test mutating func `one warning when a server stops answering, and one when it recovers`() {
        #expect(state == "unused")
        watch.asked(server)
        #expect(state == "waiting")
        watch.missed(server, since: start, now: start + .seconds(2))
        #expect(state == "silent")
        #expect(record.lines.isEmpty)
        for second in 3..<50 as Range<Int64> {
            watch.missed(server, since: start, now: start + .seconds(second))
        }
        #expect(state == "down")
        #expect(record.lines.count == 1)
        #expect(record.lines[0].contains("level=warning msg=\"DNS server does not answer\""))
        #expect(record.lines[0].contains("server=\"10.0.0.1:53\" cause=\"no answer\""))
        watch.answered(
            server,
            isFailure: false,
            after: .milliseconds(3),
            now: start + .seconds(53)
        )
        #expect(state == "up")
        #expect(record.lines.count == 2)
        #expect(record.lines[1].contains("msg=\"DNS server answers again\""))
        #expect(record.lines[1].contains("seconds=50"))
    }

    @Test mutating func `an answer to another query means that a server is only slow`() {
        watch.asked(server)
        watch.answered(server, isFailure: false, after: nil, now: start + .seconds(1))
        for _ in 0..<9 { watch.missed(server, since: start, now: start + .seconds(2)) }
        #expect(record.lines.isEmpty)
        #expect(watch.use(of: server).timeouts == 9)
        #expect(state == "up")
    }

    @Test mutating func `a server that flaps is one pair of lines a minute`() {
        let upstream = DNSUpstream(server: server, transport: .datagram)
        for second in 0..<30 as Range<Int64> {
            watch.failed(upstream, because: "recv: refused", now: start + .seconds(second))
            watch.answered(server, isFailure: true, after: nil, now: start + .seconds(second))
        }
        #expect(record.lines.count == 2)
        #expect(watch.use(of: server).errors == 30)
        #expect(watch.use(of: server).failures == 30)
    }

    @Test mutating func `a server without a TCP port is not down`() {
        let upstream = DNSUpstream(server: server, transport: .stream)
        watch.failed(upstream, because: "connect: refused", now: start)
        #expect(record.lines.isEmpty)
        #expect(state == "unused")
    }

    @Test func `every number has the server as its label, those of a family together`() throws {
        let text = Statistics(
            ResolverUse.samples(of: [("a", ResolverUse()), ("b", ResolverUse())])
        )
        .metrics
        let families = try PrometheusText.parse(text)
        #expect(families.count == ResolverUse.metrics.count)
        for family in families {
            #expect(family.name.hasPrefix("rdnet_dns_server_"))
            #expect(family.samples.map { $0.labels.first?.value } == ["a", "b"])
        }
    }
}
