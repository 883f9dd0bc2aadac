/// A time on the monotonic clock, in nanoseconds since an arbitrary start.
///
/// Eight bytes instead of `ContinuousClock.Instant`'s sixteen, and one addition instead of a
/// 128-bit one: packets and flows carry several.
struct Instant: Comparable, Hashable, Sendable {
    /// Nanoseconds; only differences are meaningful.
    var nanoseconds: Int64

    init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    @inline(__always)
    static func < (left: Instant, right: Instant) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    @inline(__always)
    static func + (instant: Instant, duration: Duration) -> Instant {
        Instant(nanoseconds: instant.nanoseconds &+ duration.wholeNanoseconds)
    }

    @inline(__always)
    static func - (later: Instant, earlier: Instant) -> Duration {
        .nanoseconds(later.nanoseconds &- earlier.nanoseconds)
    }
}

extension Duration {
    /// The duration in whole nanoseconds; valid within ±292 years.
    @inline(__always)
    var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000
    }

    /// The duration in whole milliseconds, rounded up so that a wait is never too short.
    var millisecondsRoundedUp: Int64 {
        (wholeNanoseconds + 999_999) / 1_000_000
    }
}
