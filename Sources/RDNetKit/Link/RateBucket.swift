/// A token bucket that may run into debt: a frame passes whole, and the next ones wait until it is
/// paid for.
struct RateBucket {
    /// Credit that an idle link saves up.
    private static let saved: Duration = .milliseconds(10)

    /// How much debt traffic may run into that nobody holds back, and how long a queue may stand:
    /// at least as long as ten of the longest frames take.
    let patience: Duration
    private let bitsPerSecond: Int
    /// Nanoseconds of transmission time; negative while earlier frames are not paid for.
    private var credit: Int64
    private var updated: Instant

    /// Creates a bucket with full credit.
    init(bitsPerSecond: Int, now: Instant) {
        self.bitsPerSecond = bitsPerSecond
        let frame = Int64(Frame.maximumLength * 8) * 1_000_000_000 / Int64(bitsPerSecond)
        patience = max(.milliseconds(100), .nanoseconds(10 * frame))
        credit = Self.saved.wholeNanoseconds
        updated = now
    }

    /// How long the frames that have passed need beyond now; zero or less if the next may pass.
    mutating func debt(now: Instant) -> Duration {
        let elapsed = (now - updated).wholeNanoseconds
        credit = min(credit + max(elapsed, 0), Self.saved.wholeNanoseconds)
        updated = now
        return .nanoseconds(-credit)
    }

    /// Charges a frame.
    ///
    /// - Parameter octets: Its length, at most `Frame.maximumReceivedLength`.
    mutating func charge(_ octets: Int) {
        // 80 KB at 1 Mbit/s are 6e8 ns: no product here comes near the limits of the type.
        credit -= Int64(octets * 8) * 1_000_000_000 / Int64(bitsPerSecond)
    }
}
