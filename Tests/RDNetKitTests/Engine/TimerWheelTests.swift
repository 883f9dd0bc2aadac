import Testing

@testable import RDNetKit

/// A timer with a number.
private final class NumberedTimer: TimerObserver {
    let number: Int

    init(_ number: Int) {
        self.number = number
    }

    func timerFired(now: Instant) {}
}

@Suite("timer wheel")
struct TimerWheelTests {
    private static let tick = Duration.nanoseconds(1 << 20)

    @Test(
        "fires like a sorted list, at most a tick late and never early",
        arguments: [UInt64](1...12)
    )
    func model(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var now = Instant(nanoseconds: Int64.random(in: 0..<1 << 50, using: &random))
        var wheel = TimerWheel(now: now)
        var waiting: [Int: (deadline: Instant, token: TimerWheel.Token)] = [:]
        for number in 0..<4000 {
            let reach: Int64 = 1 << Int64.random(in: 0..<46, using: &random)
            let deadline = now + .nanoseconds(Int64.random(in: -1000..<reach, using: &random))
            waiting[number] = (deadline, wheel.insert(deadline, observer: NumberedTimer(number)))
            if Int.random(in: 0..<3, using: &random) == 0,
                let victim = waiting.keys.randomElement(using: &random),
                let entry = waiting.removeValue(forKey: victim)
            {
                wheel.remove(entry.token)
                wheel.remove(entry.token)
            }
            if let next = wheel.nextDeadline,
                let earliest = waiting.values.map({ $0.deadline }).min()
            {
                #expect(next <= max(earliest, now) + Self.tick + Self.tick)
            }
            let leap: Int64 = 1 << Int64.random(in: 0..<40, using: &random)
            now = now + .nanoseconds(Int64.random(in: 0..<leap, using: &random))
            expectFirings(&wheel, &waiting, now)
        }
        now = now + .seconds(1 << 20)
        expectFirings(&wheel, &waiting, now)
        #expect(waiting.isEmpty)
        #expect(wheel.count == 0)
        #expect(wheel.nextDeadline == nil)
    }

    private func expectFirings(
        _ wheel: inout TimerWheel,
        _ waiting: inout [Int: (deadline: Instant, token: TimerWheel.Token)],
        _ now: Instant
    ) {
        while let observer = wheel.popExpired(now: now) {
            guard let timer = observer as? NumberedTimer,
                let entry = waiting.removeValue(forKey: timer.number)
            else {
                Issue.record("a removed or unknown timer fired")
                continue
            }
            #expect(entry.deadline <= now)
        }
        #expect(wheel.count == waiting.count)
        let overdue = waiting.values.filter { $0.deadline + Self.tick + Self.tick < now }
        #expect(overdue.isEmpty)
    }

    @Test func `a stale token does not remove the timer that has its place`() {
        var wheel = TimerWheel(now: Instant(nanoseconds: 0))
        let first = wheel.insert(Instant(nanoseconds: 5_000_000), observer: NumberedTimer(1))
        let now = Instant(nanoseconds: 10_000_000)
        #expect((wheel.popExpired(now: now) as? NumberedTimer)?.number == 1)
        _ = wheel.insert(Instant(nanoseconds: 20_000_000), observer: NumberedTimer(2))
        wheel.remove(first)
        let later = Instant(nanoseconds: 30_000_000)
        #expect((wheel.popExpired(now: later) as? NumberedTimer)?.number == 2)
    }
}
