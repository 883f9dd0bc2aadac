/// The delay before the next try: it doubles with each consecutive failure, up to a limit.
///
/// A success that lasts resets the count; a success that ends at once does not.
struct Backoff {
    /// The minimum duration of a success that resets the count.
    static let settled: Duration = .seconds(5)

    let first: Duration
    let maximum: Duration
    /// The number of consecutive failures.
    private(set) var failures = 0
    /// Whether a success has ever lasted.
    private(set) var hasSettled = false
    private var began: Instant?

    init(first: Duration, maximum: Duration) {
        self.first = first
        self.maximum = maximum
    }

    mutating func succeeded(now: Instant) {
        began = now
    }

    /// Counts a failure, or the end of a success.
    ///
    /// - Parameter now: The caller's clock.
    /// - Returns: The delay before the next try.
    mutating func failed(now: Instant) -> Duration {
        if let began, now - began >= Self.settled {
            failures = 0
            hasSettled = true
        }
        began = nil
        failures += 1
        // 2^20 times any delay is beyond every limit.
        return min(first * (1 << min(failures - 1, 20)), maximum)
    }
}
