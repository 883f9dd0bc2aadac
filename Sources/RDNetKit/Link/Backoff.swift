/// How long to wait before the next try: twice as long after each failure in a row, up to a limit.
///
/// A success that lasted begins a new row; one that ended at once was none.
struct Backoff {
    /// A success that lasts this long was one.
    static let settled: Duration = .seconds(5)

    let first: Duration
    let maximum: Duration
    /// Failures in a row.
    private(set) var failures = 0
    /// Whether a success has lasted, ever.
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
    /// - Returns: How long to wait.
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
