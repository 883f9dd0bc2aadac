import CLinux
import Glibc
import Testing

@testable import RDNetKit

@Suite("what does not reach its destination")
struct FailureLogTests {
    private final class Record {
        var lines: [String] = []
    }

    private let record = Record()
    private let failures: FailureLog
    private let start = Instant(nanoseconds: 0)

    init() {
        failures = FailureLog(
            Logger(clock: { WallTime(seconds: 0, utcOffset: 0) }) { [record] octets in
                record.lines.append(String(decoding: octets, as: UTF8.self))
                return octets.count
            }
        )
    }

    private func flow(
        _ reason: FlowFailure = .refused,
        from port: UInt16 = 40_000,
        to remote: UInt16 = 80
    ) -> FailedFlow {
        FailedFlow(
            transport: IPProtocol.tcp,
            guest: Endpoint(address: ScriptedGuest.address, port: port),
            remote: Endpoint(address: IPAddress(ipv4: 0x0102_0304), port: remote),
            reason: reason,
            errno: reason == .refused ? ECONNREFUSED : 0
        )
    }

    @Test func `each reason is one line a minute, and every failure is counted`() {
        failures.name = { _ in "www.example" }
        for second in 0..<60 as Range<Int64> {
            failures.record(flow(), now: start + .seconds(second))
        }
        #expect(record.lines.count == 1)
        let line = record.lines[0]
        #expect(line.contains("level=info msg=\"connection failed\" reason=refused"))
        #expect(line.contains("guest=\"192.168.127.2:40000\" destination=\"1.2.3.4:80\""))
        #expect(line.contains("name=www.example error=\"Connection refused\" times=1 next="))
        failures.record(flow(.noRoute), now: start)
        #expect(record.lines.count == 2)
        #expect(record.lines[1].contains("level=warning"))
        failures.record(flow(), now: start + .seconds(60))
        #expect(record.lines.count == 3)
        #expect(record.lines[2].contains("times=60 "))
        #expect(failures.counters[.refused] == 61)
        #expect(failures.counters[.noRoute] == 1)
    }

    @Test func `a repeated failure is one entry, and fifty are remembered`() {
        for port in 0..<100 as Range<UInt16> { failures.record(flow(from: port), now: start) }
        #expect(failures.entries.count == 1)
        #expect(failures.entries[0].count == 100)
        #expect(failures.entries[0].flow.guest.port == 99)
        for port in 1...60 as ClosedRange<UInt16> { failures.record(flow(to: port), now: start) }
        #expect(failures.entries.count == FailureLog.capacity)
        #expect(failures.entries.first?.flow.remote.port == 11)
        #expect(failures.entries.last?.flow.remote.port == 60)
    }

    @Test func `a forward's clients are told apart from the connections of guests`() {
        failures.name = { _ in "wrong" }
        failures.record(flow(.guestRefused), now: start)
        #expect(record.lines[0].contains("msg=\"a guest did not accept a connection\""))
        #expect(record.lines[0].contains("client=\"1.2.3.4:80\" guest=\"192.168.127.2:40000\""))
        #expect(failures.entries[0].name == nil)
    }

    @Test(
        "the host's errno decides",
        arguments: [
            (ECONNREFUSED, .refused), (ENETUNREACH, .noRoute), (EHOSTUNREACH, .noRoute),
            (ETIMEDOUT, .timedOut), (EMFILE, .outOfDescriptors), (EPERM, .filtered),
            (EADDRNOTAVAIL, .noAddress), (EINVAL, .other),
        ] as [(Int32, FlowFailure)]
    )
    func errno(code: Int32, reason: FlowFailure) {
        #expect(FlowFailure(errno: code) == reason)
    }
}

@Suite("failures of scripted guests")
struct FailedFlowTests {
    private let guest: ScriptedGuest

    init() throws {
        guest = try ScriptedGuest()
    }

    @Test func `a refused connection is remembered with its destination`() throws {
        let remote = Endpoint(
            address: ScriptedGuest.hostAlias,
            port: try HostListener.refusedPort()
        )
        let tcp = ScriptedConnection(guest, to: remote)
        tcp.send(.syn, options: .usual)
        try tcp.expect([.rst, .ack], ack: 1)
        let entry = try #require(guest.engine.failures.entries.first)
        #expect(entry.flow.remote == remote)
        #expect(entry.flow.reason == .refused)
        #expect(entry.flow.transport == IPProtocol.tcp)
    }

    @Test func `a destination that an option blocks is remembered as blocked`() throws {
        let remote = Endpoint(address: IPAddress(ipv4: 0xa9fe_a9fe), port: 80)
        let tcp = ScriptedConnection(guest, to: remote)
        tcp.send(.syn, options: .usual)
        try tcp.expect([.rst, .ack], ack: 1)
        #expect(guest.engine.failures.entries.map(\.flow.reason) == [.blocked])
    }

    @Test func `a connection without an answer is shown before it fails`() throws {
        let report = FailureReport(engine: guest.engine)
        #expect(report.json.text.isEmpty)
        #expect(report.json == .array([]))
    }
}
