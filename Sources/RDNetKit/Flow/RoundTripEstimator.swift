/// The retransmission timeout from measured round trips (RFC 6298).
struct RoundTripEstimator: Equatable {
    /// Before the first measurement (RFC 6298, 2.1).
    static let initialTimeout: Duration = .seconds(1)
    /// The minimum: Linux's value instead of RFC 6298's 1 s, because the link is local.
    static let minimumTimeout: Duration = .milliseconds(200)
    /// The maximum of the backoff (RFC 6298, 2.5 requires at least 60 s).
    static let maximumTimeout: Duration = .seconds(60)

    private var smoothed: Int64 = 0
    private var variation: Int64 = 0
    private var doublings = 0

    /// Adds one measurement, never of a retransmitted segment (Karn; RFC 6298, 3).
    mutating func measured(_ roundTrip: Duration) {
        let sample = max(roundTrip.wholeNanoseconds, 0)
        if smoothed == 0 {
            smoothed = max(sample, 1)
            variation = sample / 2
        } else {
            variation += (abs(smoothed - sample) - variation) / 4
            smoothed = max(smoothed + (sample - smoothed) / 8, 1)
        }
        doublings = 0
    }

    /// Doubles the timeout (RFC 6298, 5.5).
    mutating func backOff() {
        doublings = min(doublings + 1, 16)
    }

    /// Ends the backoff, because the peer answered.
    mutating func answered() {
        doublings = 0
    }

    /// The current retransmission timeout.
    var timeout: Duration {
        guard smoothed > 0 else {
            return min(Self.initialTimeout * (1 << doublings), Self.maximumTimeout)
        }
        let base = max(Duration.nanoseconds(smoothed + 4 * variation), Self.minimumTimeout)
        return min(base * (1 << doublings), Self.maximumTimeout)
    }
}
