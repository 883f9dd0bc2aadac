/// One TCP connection of a guest, joined to a stream socket of the host.
///
/// How it works
///
/// * The guest's connection ends here, the host's socket continues it. Payload is not stored in
///   between: towards the guest it is peeked from the socket straight behind the headers and
///   discarded when acknowledged; towards the host it goes from the frame to `send`. What `send`
///   does not take waits in `pending`, which the offered window bounds, as an offer is never taken
///   back.
/// * A guest opens: SYN → `connect` → SYN-ACK once connected (refused: RST; unreachable: ICMP).
///   A host client opens (a published port): accepted socket → SYN to the guest.
/// * Each half ends on its own. Host's end of stream: FIN behind the last octet. Guest's FIN:
///   `shutdown` behind the last octet. A reset crosses over as a reset, both ways.
/// * The flow is told of events (`receive`, `descriptorReady`, `timerFired`), notes what is due,
///   and does it when the table gives it its turn (`pump`), a bounded amount at a time: no flow
///   delays another.
/// * Nothing here waits: the descriptor is watched edge-triggered, `isReadable` and `isWritable`
///   remember.
final class TCPFlow: ReadinessObserver, TimerObserver {
    /// Where the connection stands.
    enum Phase: Equatable {
        /// The guest sent SYN; the host socket is connecting.
        case connecting
        /// The host is connected; our SYN-ACK is not acknowledged.
        case synReceived
        /// A host client is connected; our SYN to the guest is not answered.
        case synSent
        /// Both ends are connected; either half may have ended.
        case open
        /// Over, and the host's socket closed; a repeated FIN is still answered (RFC 9293, 3.6.1).
        case timeWait
        /// Over; not in the table any more.
        case closed
    }

    let key: FlowKey
    /// The table and everything that flows share.
    unowned let flows: TCPFlows
    var phase: Phase
    /// Our first sequence number.
    let initialSequence: SequenceNumber
    /// The guest's first sequence number; known from its SYN.
    var guestInitialSequence = SequenceNumber(0)

    /// The guest's SYN; nil unless the flow is connecting to a host.
    var opening: OpeningPacket?
    var stream: HostStream?
    var watch: EventLoop.Watch?
    var isReadable = false
    var isWritable = false
    /// The kernel has told of an end, an error or urgent data: no edge follows a peek that fell
    /// short, so one has to look until nothing is there.
    var looksUntilEmpty = false
    var hasShutDownHost = false
    /// Whether 127.0.0.1 has refused and ::1 was tried in its place.
    var hasTriedIPv6 = false

    var sender: TCPSender
    var receiver: TCPReceiver
    /// Octets that the guest sent and the host's socket has not taken.
    var pending: OctetQueue
    /// Octets in front of the host's socket until the batch of frames ends.
    var staged = StagedPieces()
    /// Octets that the guest has acknowledged and the socket still holds.
    var toDiscard = 0
    /// How much more than `pending` may be on the way here.
    var windowLimit: Int
    /// How much of the windows' budget that takes.
    var grantedWindow = 0
    /// Octets passed on since the window grew last.
    var passedSinceGrowth = 0
    /// The shift of the guest's window fields, and of ours.
    var guestScale: UInt8 = 0
    var ownScale: UInt8 = 0
    var mayReportSACK = false
    var timestamps: TCPTimestamps

    var route: GuestRoute?
    var needsACK = false
    /// In the table's list of flows that have work; in that of flows that owe an ACK; waiting for
    /// the link.
    var isQueued = false
    var isAcknowledging = false
    var isBlocked = false
    /// The bounded queue that it is in.
    var queue: FlowQueue.Name?
    /// Waiting for its guest to be heard again.
    var isUnrouted = false

    /// Who waits to hear whether the guest takes the connection.
    var answered: GuestAnswered?

    var timer: TimerWheel.Token?
    var timerDeadline = Instant(nanoseconds: .max)
    /// When SYN or SYN-ACK is repeated, a window probed, or TIME-WAIT over.
    var stateDeadline: Instant?
    var stateRetries = 0
    var lastHeard: Instant
    var traffic: FlowTraffic
    var lastChallenge: Instant?

    /// A flow that has not sent anything yet.
    init(_ key: FlowKey, _ flows: TCPFlows, phase: Phase, sequence: SequenceNumber, now: Instant) {
        self.key = key
        self.flows = flows
        self.phase = phase
        initialSequence = sequence
        pending = OctetQueue(flows.spareBuffers)
        windowLimit = flows.firstWindow
        lastHeard = now
        traffic = FlowTraffic(start: now)
        timestamps = TCPTimestamps(offset: flows.timestampOffset(key))
        sender = TCPSender(
            first: sequence + 1,
            window: 0,
            windowSequence: SequenceNumber(0),
            segmentSize: TCPFlows.defaultSegmentSize
        )
        receiver = TCPReceiver(first: SequenceNumber(0), offered: 0, scale: 0)
    }

    // MARK: Events from the host

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        // An error waits behind octets that the host sent before it: the next peek or send meets
        // it.
        let finality: Readiness = [.ended, .hungUp, .failed, .urgent]
        if !readiness.isDisjoint(with: finality) { looksUntilEmpty = true }
        if !readiness.isDisjoint(with: finality.union(.readable)) { isReadable = true }
        if readiness.contains(.writable) { isWritable = true }
        // A host that was fast says all of this in the one edge that says "connected".
        if phase == .connecting { return hostConnected(now: now) }
        // Behind the end there is nothing left to read, and so nothing that would meet the error.
        if readiness.contains(.failed), sender.end != nil, hostError() != 0 {
            return abort(.host, now: now)
        }
        flows.enqueue(self)
    }

    private func hostError() -> Int32 {
        switch stream {
        case .some(let stream): Socket.takeError(stream.descriptor)
        case .none: 0
        }
    }

    private func hostConnected(now: Instant) {
        let code = hostError()
        guard code == 0 else { return hostRefused(errno: code, now: now) }
        opening = nil
        isWritable = true
        phase = .synReceived
        sendSYN(now: now)
    }

    // MARK: Timers

    func timerFired(now: Instant) {
        timer = nil
        timerDeadline = Instant(nanoseconds: .max)
        if let deadline = stateDeadline, deadline <= now {
            stateDeadline = nil
            stateTimerFired(now: now)
        }
        if phase == .open, let deadline = sender.timeout, deadline <= now { retransmit(now: now) }
        if phase == .open, now - lastHeard >= TCPFlows.keepaliveAfter { keepAlive(now: now) }
        if phase != .closed { armTimer() }
    }

    private func stateTimerFired(now: Instant) {
        switch phase {
        case .synReceived, .synSent:
            stateRetries += 1
            let isLate = phase == .synSent && now >= guestDialDeadline
            if isLate || stateRetries > TCPFlows.synRetries {
                return giveUp(route == nil ? .absent : .silent, now: now)
            }
            sendSYN(now: now)
        case .open:
            probeWindow(now: now)
        case .timeWait:
            close()
        case .connecting, .closed:
            break
        }
    }

    /// Ends a handshake that the guest did not complete.
    func giveUp(_ answer: GuestAnswer, now: Instant) {
        // Whoever was told has the answer in the stream, where a reset could overtake it.
        tell(answer) ? close() : abort(.guest, now: now)
    }

    /// Tells what became of the call; false when nobody asked.
    @discardableResult
    func tell(_ answer: GuestAnswer) -> Bool {
        guard let answered else { return false }
        self.answered = nil
        switch stream {
        case .some(let stream): answered(answer, stream.descriptor)
        case .none: break
        }
        return true
    }

    /// When a guest that was called and has not answered is given up.
    var guestDialDeadline: Instant { traffic.start + TCPFlows.guestDialLimit }

    private func retransmit(now: Instant) {
        // RFC 9293, 3.8.3 (R2): give up when nothing was answered for at least 100 s.
        if sender.silentTimeouts >= TCPFlows.maximumTimeouts { return abort(.both, now: now) }
        sender.timedOut(now: now)
        flows.counters.timeouts &+= 1
        flows.enqueue(self)
    }

    private func probeWindow(now: Instant) {
        guard sender.isWindowShut, isReadable, !sender.hasSentEnd else { return }
        // The end of the stream may be what waits: it needs no window.
        guard hasMoreToSend(now: now) else { return flows.enqueue(self) }
        // One octet below the window: any answer tells the window (RFC 9293, 3.8.6.1), and none of
        // it is data that a full guest would have to drop.
        sendBare(sequence: sender.unacknowledged + -1, [.ack])
        sender.probed()
        stateDeadline = now + sender.probeInterval
    }

    private func keepAlive(now: Instant) {
        let silence = now - lastHeard
        if silence >= TCPFlows.keepaliveAfter + TCPFlows.keepaliveEvery * TCPFlows.keepaliveProbes {
            return abort(.both, now: now)
        }
        sendBare(sequence: sender.unacknowledged + -1, [.ack])
    }

    /// Makes sure that a timer fires no later than the next thing is due.
    func armTimer() {
        var deadline = phase == .open ? nextKeepalive : Instant(nanoseconds: .max)
        if let stateDeadline { deadline = min(deadline, stateDeadline) }
        if phase == .open, let timeout = sender.timeout { deadline = min(deadline, timeout) }
        // One that fires too early looks around and arms again: that is cheaper than moving it with
        // every ACK.
        guard deadline < timerDeadline else { return }
        if let timer { flows.loop.cancel(timer) }
        timerDeadline = deadline
        timer = flows.loop.schedule(deadline, observer: self)
    }

    private var nextKeepalive: Instant {
        let silence = flows.loop.now - lastHeard
        if silence < TCPFlows.keepaliveAfter { return lastHeard + TCPFlows.keepaliveAfter }
        return flows.loop.now + TCPFlows.keepaliveEvery
    }

    // MARK: The end

    /// Who caused a flow to be cut off, and so does not have to be told.
    enum Culprit { case guest, host, both }

    /// Cuts the flow off: a reset to everyone who did not cause it.
    func abort(_ culprit: Culprit, now: Instant) {
        guard phase != .closed else { return }
        if culprit != .guest, phase != .connecting, phase != .timeWait { sendReset() }
        if culprit != .host { resetHostOnClose() }
        flows.counters.resets &+= 1
        close()
    }

    private func resetHostOnClose() {
        switch stream {
        case .some(let stream): Socket.resetOnClose(stream.descriptor)
        case .none: break
        }
    }

    /// A socket could not connect: the host has another address to try, or the guest is told.
    func hostRefused(errno code: Int32, now: Instant) {
        if flows.retryOnIPv6(self, errno: code, now: now) { return }
        // What the guest asked for is 127.0.0.1, and that has refused.
        refuse(errno: hasTriedIPv6 ? 0 : code, now: now)
    }

    /// The host could not be connected to: a reset, or ICMP where no host answered (RFC 1122,
    /// 4.2.3.9).
    func refuse(errno code: Int32, now: Instant) {
        flows.counters.refused &+= 1
        if !flows.reportUnreachable(self, errno: code) {
            sendBare(sequence: SequenceNumber(0), [.rst, .ack])
        }
        close()
    }

    /// Closes the flow once both halves are done.
    func finishIfDone(now: Instant) {
        guard phase == .open, sender.isFinished, receiver.isFinished, pending.isEmpty,
            toDiscard == 0, hasShutDownHost
        else { return }
        releaseStream()
        // Whoever sent its FIN first waits for the other's to be repeated.
        guard sentEndFirst else { return close() }
        phase = .timeWait
        stateDeadline = now + TCPFlows.timeWait
        flows.enteredTimeWait(self)
        armTimer()
    }

    /// Whether our FIN went out before the guest's arrived.
    var sentEndFirst = false

    /// Leaves the table and gives everything back.
    func close() {
        guard phase != .closed else { return }
        phase = .closed
        if let timer { flows.loop.cancel(timer) }
        timer = nil
        releaseStream()
        pending.clear()
        flows.closed(self)
    }

    /// Closes the host's socket, if there is one.
    func releaseStream() {
        if let watch { flows.loop.forget(watch) }
        watch = nil
        stream = nil
    }
}
