import Testing

@testable import RDNetKit

@Suite("the rate of a link")
struct RateBucketTests {
    private let start = Instant(nanoseconds: 5_000_000_000)

    @Test(
        "frames of any length pass at the rate, after one burst",
        arguments: [1_000_000, 50_000_000, 10_000_000_000],
        [64, 1_514, 65_549]
    )
    func keepsTheRate(rate: Int, length: Int) {
        var bucket = RateBucket(bitsPerSecond: rate, now: start)
        var (now, octets) = (start, 0)
        // Until ten seconds have passed, or a million frames at the fastest rate.
        for _ in 0..<1_000_000 where now - start < .seconds(10) {
            let debt = bucket.debt(now: now)
            if debt > .zero {
                now = now + debt
            } else {
                bucket.charge(length)
                octets += length
            }
        }
        let seconds = Double((now - start).wholeNanoseconds) / 1e9
        // 10 ms of credit to begin with; the last frame is passed on before it is paid for.
        let least = Double(rate) / 8 * seconds
        let most = Double(rate) / 8 * (seconds + 0.01) + Double(length)
        #expect(Double(octets) >= least * 0.99 && Double(octets) <= most * 1.01)
    }

    @Test func `an idle link saves up 10 ms, not more`() {
        var bucket = RateBucket(bitsPerSecond: 8_000_000, now: start)
        let later = start + .seconds(3_600)
        let saved = bucket.debt(now: later)
        // 10 ms at a million octets a second.
        bucket.charge(10_000)
        let none = bucket.debt(now: later)
        bucket.charge(1_000)
        let owed = bucket.debt(now: later)
        #expect([saved, none, owed] == [.milliseconds(-10), .zero, .milliseconds(1)])
    }

    @Test func `a queue that is never empty loses frames more and more often`() {
        var queue = StandingQueue(interval: .milliseconds(100))
        queue.began(now: start)
        var drops: [Duration] = []
        for milliseconds in 0..<1_000 where queue.drops(now: start + .milliseconds(milliseconds)) {
            drops.append(.milliseconds(milliseconds))
        }
        #expect(drops.first == .milliseconds(100))
        let pauses = zip(drops.dropFirst(), drops).map { $0 - $1 }
        #expect(pauses.first == .milliseconds(100) && pauses.last! < .milliseconds(50))
        #expect(pauses == pauses.sorted(by: >))
    }

    @Test func `a queue that was empty once loses none for another 100 ms`() {
        var queue = StandingQueue(interval: .milliseconds(100))
        for start in [start, start + .milliseconds(99)] {
            queue.began(now: start)
            let whileFull = queue.drops(now: start + .milliseconds(98))
            queue.ended()
            let whileEmpty = queue.drops(now: start + .milliseconds(98))
            #expect(!whileFull && !whileEmpty)
        }
    }
}
