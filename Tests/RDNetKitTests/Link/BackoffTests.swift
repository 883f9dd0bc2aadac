import Testing

@testable import RDNetKit

@Suite("back-off")
struct BackoffTests {
    private let start = Instant(nanoseconds: 0)

    @Test func `waits twice as long after each failure, up to the limit`() {
        var backoff = Backoff(first: .milliseconds(100), maximum: .seconds(1))
        let waits = (0..<6).map { _ in backoff.failed(now: start) }
        #expect(waits == [100, 200, 400, 800, 1000, 1000].map { .milliseconds($0) })
        for _ in 0..<1_000 { _ = backoff.failed(now: start) }
        #expect(backoff.failed(now: start) == .seconds(1))
    }

    @Test("only a success that lasted begins anew", arguments: [(4_999, 400), (5_000, 100)])
    func onlyALastingSuccess(lasted: Int, wait: Int) {
        var backoff = Backoff(first: .milliseconds(100), maximum: .seconds(1))
        _ = backoff.failed(now: start)
        _ = backoff.failed(now: start)
        backoff.succeeded(now: start)
        #expect(backoff.failed(now: start + .milliseconds(lasted)) == .milliseconds(wait))
        #expect(backoff.hasSettled == (lasted >= 5_000))
    }
}
