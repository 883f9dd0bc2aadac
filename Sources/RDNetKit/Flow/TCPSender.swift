/// The sending half of a guest connection: what may be sent, what must be retransmitted, and when.
///
/// How it works: pure sequence arithmetic. The data stays in the host socket, where an offset from
/// the first unacknowledged byte finds it. Sequence space holds the stream and, after its end, one
/// FIN.
///
/// * New data is limited by the guest's window (RFC 9293, 3.8.6) and by a flight limit, the
///   congestion window (RFC 5681): very large at first, because the link is local; halved when a
///   loss shows that a queue on the path is shorter; grown again by acknowledgments.
/// * Three duplicate acknowledgments or two segments' worth of SACKed data indicate a loss (RFC
///   6675, 4); then the gaps below the data that the guest holds are retransmitted once each, until
///   everything that was in flight is acknowledged.
/// * After a timeout (RFC 6298) everything unacknowledged is retransmitted, slowly at first.
/// * `resendNext..<resendEnd` is the range marked as lost; ranges that SACK reports inside it are
///   skipped.
struct TCPSender {
    /// The flight limit before the first loss: more than any guest's default window.
    private static let initialFlightLimit = 4 << 20
    private static let maximumFlightLimit = 16 << 20

    /// SND.UNA: the first unacknowledged byte.
    private(set) var unacknowledged: SequenceNumber
    /// SND.NXT: the next byte that was never sent.
    private(set) var next: SequenceNumber
    /// SND.WND: bytes that the guest accepts from `unacknowledged` on.
    ///
    /// Stored as its right edge, so a reordered ACK moves only `unacknowledged`.
    var window: Int { max(windowEdge - unacknowledged, 0) }
    private var windowEdge: SequenceNumber
    /// The largest payload of one packet; the guest can lower it by ICMP.
    var segmentSize: Int
    /// The sequence number of the FIN, once the host's end is known.
    private(set) var end: SequenceNumber?
    /// The retransmission deadline; nil if nothing is in flight.
    private(set) var timeout: Instant?
    /// Consecutive timeouts without an answer.
    private(set) var silentTimeouts = 0

    private var maximumWindow: Int
    private var windowSequence: SequenceNumber
    private var windowAcknowledgment: SequenceNumber
    private var flightLimit = initialFlightLimit
    private var slowStartThreshold = Int.max
    private var duplicates = 0
    private var recoveryEnd: SequenceNumber?
    private var resendNext: SequenceNumber
    private var resendEnd: SequenceNumber
    private var scoreboard = SACKScoreboard()
    private var roundTrip = RoundTripEstimator()
    private var timed: (end: SequenceNumber, sent: Instant)?

    /// The meaning of an acknowledgment.
    enum Verdict: Equatable {
        /// The number of newly acknowledged bytes, not counting the FIN.
        case advanced(octets: Int)
        /// Nothing new, or a duplicate that counts toward a loss.
        case current
        /// Acknowledges what was never sent (RFC 9293, 3.10.7.4: answer with an ACK and drop).
        case impossible
        /// Older than the largest window ever offered (RFC 5961, 5.2: challenge).
        case ancient
    }

    /// Creates a sender whose SYN has been acknowledged.
    ///
    /// - Parameters:
    ///   - first: The first byte's sequence number, one after the SYN's.
    ///   - window: The guest's window, in bytes.
    ///   - windowSequence: The sequence number of the segment that carried it.
    ///   - segmentSize: The largest payload of one packet.
    init(
        first: SequenceNumber,
        window: Int,
        windowSequence: SequenceNumber,
        segmentSize: Int
    ) {
        unacknowledged = first
        next = first
        resendNext = first
        resendEnd = first
        windowAcknowledgment = first
        windowEdge = first + window
        self.windowSequence = windowSequence
        self.segmentSize = segmentSize
        maximumWindow = window
    }

    /// Bytes, and the FIN, that are sent but not acknowledged.
    @inline(__always)
    var inFlight: Int { next - unacknowledged }

    /// Whether the FIN was sent.
    var hasSentEnd: Bool {
        guard let end else { return false }
        return next > end
    }

    /// Whether everything including the FIN is acknowledged.
    var isFinished: Bool {
        guard let end else { return false }
        return unacknowledged > end
    }

    /// Whether the guest's window is zero while nothing is in flight.
    var isWindowShut: Bool { inFlight == 0 && window == 0 }

    // MARK: Inwards

    /// Handles an acknowledgment.
    ///
    /// - Parameters:
    ///   - header: The segment's header; it has been found acceptable.
    ///   - offered: Its window, scaled.
    ///   - isBare: Whether it carries no payload, SYN or FIN; only such segments count as
    ///     duplicates (RFC 5681, 2).
    ///   - now: The caller's clock.
    /// - Returns: Its meaning.
    mutating func receive(
        _ header: TCPHeader,
        window offered: Int,
        isBare: Bool,
        now: Instant
    ) -> Verdict {
        let acknowledged = header.acknowledgment
        guard acknowledged <= next else { return .impossible }
        guard acknowledged >= unacknowledged + -maximumWindow else { return .ancient }
        guard acknowledged >= unacknowledged else { return .current }
        let hadWindow = window
        updateWindow(header, offered)
        let flight = SACKBlock(start: acknowledged, end: next)
        for block in header.options.sackBlocks { scoreboard.add(block, within: flight) }
        if acknowledged > unacknowledged {
            return .advanced(octets: advance(to: acknowledged, now: now))
        }
        if silentTimeouts > 0 { silentTimeouts = 0 }
        if isBare, inFlight > 0, offered == hadWindow || !header.options.sackBlocks.isEmpty {
            duplicate()
        }
        return .current
    }

    private mutating func updateWindow(_ header: TCPHeader, _ offered: Int) {
        // RFC 9293, 3.10.7.4: an old segment must not bring an old window back.
        guard
            windowSequence < header.sequence
                || windowSequence == header.sequence
                    && windowAcknowledgment <= header.acknowledgment
        else { return }
        // Backoff from probing must not delay data that the window now allows.
        if window == 0, offered > 0 { roundTrip.answered() }
        windowEdge = header.acknowledgment + offered
        maximumWindow = max(maximumWindow, offered)
        windowSequence = header.sequence
        windowAcknowledgment = header.acknowledgment
    }

    private mutating func advance(to acknowledged: SequenceNumber, now: Instant) -> Int {
        var octets = acknowledged - unacknowledged
        if let end, acknowledged > end { octets -= 1 }
        measure(acknowledged, now: now)
        unacknowledged = acknowledged
        scoreboard.acknowledge(acknowledged)
        if resendNext < acknowledged { resendNext = acknowledged }
        if resendEnd < resendNext { resendEnd = resendNext }
        duplicates = 0
        silentTimeouts = 0
        roundTrip.answered()
        if let recoveryEnd, acknowledged < recoveryEnd {
            // After a timeout the limit starts small and grows as in slow start (RFC 5681, 3.1).
            if flightLimit < slowStartThreshold { growFlightLimit(by: octets) }
            stayInRecovery()
        } else {
            recoveryEnd = nil
            growFlightLimit(by: octets)
            if !scoreboard.isEmpty { detectLoss() }
        }
        timeout = inFlight > 0 ? now + roundTrip.timeout : nil
        return octets
    }

    private mutating func measure(_ acknowledged: SequenceNumber, now: Instant) {
        guard let timed, acknowledged >= timed.end else { return }
        roundTrip.measured(now - timed.sent)
        self.timed = nil
    }

    /// Whether something is in flight whose round trip only timestamps can measure: it may have
    /// been sent twice.
    @inline(__always)
    var isUntimed: Bool { timed == nil && inFlight > 0 }

    /// Takes a round trip that the Timestamps option measured.
    mutating func measured(_ sample: Duration) {
        roundTrip.measured(sample)
    }

    private mutating func growFlightLimit(by octets: Int) {
        guard flightLimit < Self.maximumFlightLimit else { return }
        if flightLimit < slowStartThreshold {
            flightLimit += octets
        } else {
            flightLimit += max(segmentSize * octets / flightLimit, 1)
        }
    }

    // MARK: Loss

    private mutating func duplicate() {
        duplicates += 1
        if recoveryEnd != nil {
            extendResend()
        } else {
            detectLoss()
        }
    }

    private mutating func detectLoss() {
        guard duplicates >= 3 || scoreboard.octets > 2 * segmentSize else { return }
        slowStartThreshold = max(inFlight / 2, 4 * segmentSize)
        flightLimit = slowStartThreshold
        recoveryEnd = next
        resendNext = unacknowledged
        resendEnd = unacknowledged + min(segmentSize, inFlight)
        timed = nil
        extendResend()
    }

    /// A partial acknowledgment during recovery: the next gap is lost too (RFC 6582).
    private mutating func stayInRecovery() {
        if scoreboard.isEmpty, resendEnd == resendNext {
            resendEnd = unacknowledged + min(segmentSize, inFlight)
        }
        extendResend()
    }

    private mutating func extendResend() {
        if let highest = scoreboard.highest, highest > resendEnd { resendEnd = highest }
    }

    /// Handles the timeout: marks everything unacknowledged for retransmission (RFC 6298, 5.4 to
    /// 5.6).
    mutating func timedOut(now: Instant) {
        if recoveryEnd == nil || silentTimeouts == 0 {
            slowStartThreshold = max(inFlight / 2, 4 * segmentSize)
        }
        flightLimit = 2 * segmentSize
        scoreboard.clear()
        recoveryEnd = next
        resendNext = unacknowledged
        resendEnd = next
        duplicates = 0
        silentTimeouts += 1
        timed = nil
        roundTrip.backOff()
        timeout = now + roundTrip.timeout
    }

    // MARK: Outwards

    /// Marks the end of the stream: the byte before `next` was the last one.
    mutating func streamEnded() {
        if end == nil { end = next }
    }

    /// The range to retransmit now; a range that ends after `end` includes the FIN.
    mutating func nextResend() -> SACKBlock? {
        guard resendNext < resendEnd else { return nil }
        guard let gap = scoreboard.gap(from: resendNext, before: resendEnd) else {
            resendNext = resendEnd
            return nil
        }
        resendNext = gap.start
        let room = flightLimit - outstanding
        // The first gap ignores the limit, because the guest cannot continue without it.
        guard room >= segmentSize || gap.start == unacknowledged else { return nil }
        let length = min(gap.end - gap.start, max(room, segmentSize))
        return SACKBlock(start: gap.start, end: gap.start + length)
    }

    /// Records that part of the range from `nextResend` was sent.
    mutating func resent(_ count: Int, now: Instant) {
        resendNext += count
        if timeout == nil { timeout = now + roundTrip.timeout }
    }

    /// The estimated data in flight: neither held by the guest nor marked lost.
    private var outstanding: Int {
        let lost = resendEnd - resendNext
        return max(inFlight - scoreboard.octets - max(lost, 0), 0)
    }

    /// The amount of new data that may be sent now.
    ///
    /// Sender-side silly window avoidance (RFC 9293, 3.8.6.2.1): less than a segment waits while
    /// anything is in flight, unless it is half of the largest window ever offered.
    @inline(__always)
    var allowance: Int {
        guard end == nil else { return 0 }
        let allowed = min(window - inFlight, flightLimit - outstanding)
        if allowed < segmentSize, inFlight > 0, allowed < maximumWindow / 2 { return 0 }
        return max(allowed, 0)
    }

    /// Records that new data was sent; the FIN counts as one byte.
    @inline(__always)
    mutating func sent(_ count: Int, now: Instant) {
        next += count
        if timed == nil, recoveryEnd == nil { timed = (next, now) }
        if timeout == nil { timeout = now + roundTrip.timeout }
    }

    /// The interval before the next window probe.
    var probeInterval: Duration { roundTrip.timeout }

    /// Records a window probe and doubles the interval (RFC 9293, 3.8.6.1).
    mutating func probed() {
        roundTrip.backOff()
    }
}
