/// A probe that asks whether the guest still has a connection (RFC 9293, 3.8.4); without an answer
/// the flow ends.
///
/// A flow is probed after 2 hours 4 minutes without traffic, a half-closed flow after 4 minutes
/// (RFC 5382, REQ-5), and any flow when its guest may have rebooted. A guest that has the
/// connection answers with an ACK; one that does not, with a reset. A probe without an answer is
/// repeated with a doubling wait, and the flow ends after 127 seconds.
struct GuestProbe {
    /// Probes that are sent before a flow ends: 1 + 2 + … + 64 s, above the 100 s of RFC 9293,
    /// 3.8.3 (R2).
    static let attempts = 7
    static let firstWait: Duration = .seconds(1)

    /// When the first probe was sent: any later segment is an answer.
    let first: Instant
    private(set) var sent = 1
    /// When the probe is repeated, or the flow ends.
    private(set) var next: Instant

    /// The first probe was sent.
    init(now: Instant) {
        first = now
        next = now + Self.firstWait
    }

    /// Counts a repetition; false when enough were sent.
    mutating func repeated(now: Instant) -> Bool {
        guard sent < Self.attempts else { return false }
        next = now + Self.firstWait * (1 << sent)
        sent += 1
        return true
    }
}

extension TCPFlow {
    /// Sends the first probe, unless one is unanswered.
    func probeGuest(now: Instant) {
        guard phase == .open, lastHeard < now, !isProbing else { return }
        probe = GuestProbe(now: now)
        sendProbe()
        armTimer()
    }

    /// Whether a probe is unanswered.
    var isProbing: Bool {
        guard let probe else { return false }
        return lastHeard < probe.first
    }

    /// One octet below the window: the guest answers, and none of it is data (RFC 9293, 3.8.4).
    func sendProbe() {
        sendBare(sequence: sender.unacknowledged + -1, [.ack])
    }

    /// When the next probe is due, or the flow is given up.
    var nextProbe: Instant { isProbing ? probe?.next ?? nextIdleProbe : nextIdleProbe }

    private var nextIdleProbe: Instant { lastHeard + idleLimit }

    private var idleLimit: Duration {
        isHalfClosed ? TCPFlows.halfClosedLimit : TCPFlows.idleLimit
    }

    private var isHalfClosed: Bool { sender.hasSentEnd || receiver.isFinished }

    /// Sends a probe, repeats it, or gives the guest up, if that is due.
    func probeIfDue(now: Instant) {
        guard nextProbe <= now else { return }
        guard isProbing else {
            if isHalfClosed { probeHost() }
            return probeGuest(now: now)
        }
        guard probe?.repeated(now: now) == true else { return guestIsSilent(now: now) }
        sendProbe()
    }

    /// Lets the kernel probe the host's peer too: its program may have closed the connection
    /// without a word.
    private func probeHost() {
        guard !probesHost else { return }
        probesHost = true
        switch stream {
        case .some(let stream): Socket.probePeer(stream.descriptor, after: TCPFlows.halfClosedLimit)
        case .none: break
        }
    }

    /// Ends the flow because the guest does not answer; its other flows may be dead as well.
    func guestIsSilent(now: Instant) {
        abort(.both, now: now)
        flows.guestIsSilent(key.guest.address)
    }

    /// Ends the flow because the guest has had no link for too long.
    func guestIsGone(now: Instant) {
        switch phase {
        case .synSent: giveUp(.absent, now: now)
        case .connecting, .synReceived, .open: abort(.guest, now: now)
        case .timeWait: close()
        case .closed: break
        }
    }
}
