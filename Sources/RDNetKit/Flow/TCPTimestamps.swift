/// The Timestamps option of one connection (RFC 7323, sections 3 to 5): what we send, what we echo,
/// what is too old.
///
/// How it works: the option is in use when both SYNs carry it. Every later segment then carries a
/// clock value of ours and the guest's latest one. A segment with an older value is a leftover of
/// an earlier connection on the same ports or of an earlier turn of the sequence space, and is
/// dropped (PAWS). A guest can reuse a port whose previous connection is in TIME-WAIT only when
/// that connection had timestamps (Linux, `tcp_tw_reuse`).
struct TCPTimestamps {
    /// Octets that the option takes of every segment, two of padding included.
    static let optionLength = 12
    /// How long the guest's latest value is compared with (RFC 7323, 5.5): its clock may wrap after
    /// 24.8 days.
    static let validity: Duration = .seconds(24 * 86_400)

    /// Whether both SYNs carried the option.
    private(set) var isOn = false
    /// Added to our clock: keyed and secret, so that the values do not tell how long the program
    /// has run.
    private let offset: UInt32
    /// TS.Recent: the guest's value that we echo.
    private(set) var recent: UInt32 = 0
    private var recentHeard = Instant(nanoseconds: 0)
    /// Last.ACK.sent: segments beyond it do not change `recent` (RFC 7323, 4.3).
    private var lastAcknowledged = SequenceNumber(0)

    /// The timestamps of a connection whose SYNs have not been exchanged.
    ///
    /// - Parameter offset: The same for every connection between the same two addresses.
    init(offset: UInt32) {
        self.offset = offset
    }

    /// Octets of a segment's room that the option takes.
    @inline(__always)
    var length: Int { isOn ? Self.optionLength : 0 }

    // MARK: Outwards

    /// What a segment carries that acknowledges everything below a sequence number; nil when the
    /// option is not in use.
    @inline(__always)
    mutating func option(acknowledging next: SequenceNumber, now: Instant) -> TCPTimestampOption? {
        guard isOn else { return nil }
        lastAcknowledged = next
        return TCPTimestampOption(value: value(now: now), echo: recent)
    }

    /// What our own SYN carries: there is nothing to echo yet.
    func offer(now: Instant) -> TCPTimestampOption {
        TCPTimestampOption(value: value(now: now), echo: 0)
    }

    /// Milliseconds: RFC 7323, 5.4 asks for 1 ms to 1 s.
    @inline(__always)
    private func value(now: Instant) -> UInt32 {
        UInt32(truncatingIfNeeded: now.nanoseconds / 1_000_000) &+ offset
    }

    // MARK: Inwards

    /// The guest's SYN, or its SYN-ACK to ours: the option is in use from here on if it is there.
    mutating func begin(with syn: TCPHeader, now: Instant) {
        guard let option = syn.options.timestamps else { return }
        isOn = true
        recent = option.value
        recentHeard = now
        lastAcknowledged = syn.sequence + 1
    }

    /// Whether a segment may be of this connection (PAWS: RFC 7323, 5.3, R1).
    ///
    /// A reset always may. So may a segment without the option: RFC 7323, 3.2 recommends to drop
    /// it, but Linux accepts it, and stacks exist that leave the option out of keep-alive probes.
    @inline(__always)
    func admits(_ header: TCPHeader, now: Instant) -> Bool {
        guard isOn, let option = header.options.timestamps,
            Self.isOlder(option.value, than: recent)
        else { return true }
        return header.flags.contains(.rst) || isStale(now: now)
    }

    /// Remembers the value of a segment that is acceptable (RFC 7323, 4.3 and 5.3, R3).
    @inline(__always)
    mutating func note(_ header: TCPHeader, now: Instant) {
        guard isOn, let option = header.options.timestamps, header.sequence <= lastAcknowledged,
            !Self.isOlder(option.value, than: recent) || isStale(now: now)
        else { return }
        recent = option.value
        recentHeard = now
    }

    private func isStale(now: Instant) -> Bool { now - recentHeard > Self.validity }

    @inline(__always)
    private static func isOlder(_ value: UInt32, than other: UInt32) -> Bool {
        Int32(bitPattern: value &- other) < 0
    }

    /// The round trip that an acknowledgment's echo measures, retransmissions included (RFC 7323,
    /// 4.1).
    ///
    /// - Parameters:
    ///   - header: Acknowledges something new.
    ///   - start: When the connection began: no echo is older, unless the guest made it up.
    ///   - now: The turn's clock.
    /// - Returns: Nil without an echo that can be right.
    func roundTrip(_ header: TCPHeader, since start: Instant, now: Instant) -> Duration? {
        guard isOn, let option = header.options.timestamps, option.echo != 0 else { return nil }
        let milliseconds = Int32(bitPattern: value(now: now) &- option.echo)
        let measured = Duration.milliseconds(milliseconds)
        return milliseconds >= 0 && measured <= now - start + .milliseconds(1) ? measured : nil
    }

    /// Whether a SYN may take the place of this connection, which is in TIME-WAIT (RFC 6191,
    /// section 2).
    ///
    /// - Parameters:
    ///   - syn: With the same ports and addresses.
    ///   - next: RCV.NXT of this connection.
    /// - Returns: Whether the SYN is newer.
    func mayBeReplaced(by syn: TCPHeader, next: SequenceNumber) -> Bool {
        guard let option = syn.options.timestamps else { return syn.sequence >= next }
        if !isOn || Self.isOlder(recent, than: option.value) { return true }
        return option.value == recent && syn.sequence >= next
    }
}
