/// One TCP connection of a guest, joined to a stream socket of the host.
///
/// How it works
///
/// * The guest's connection terminates here and a host socket continues it. Payload is not stored
///   in between: toward the guest it is peeked from the socket directly after the headers and
///   discarded once acknowledged; toward the host it goes from the frame to `send`. What `send`
///   does not accept waits in `pending`, which the advertised window bounds, because a window is
///   never withdrawn.
/// * Opened by a guest: SYN → `connect` → SYN-ACK once connected (refused: RST; unreachable: ICMP).
///   Opened by a host client (a published port): accepted socket → SYN to the guest.
/// * Each half closes on its own. The host's end of stream becomes FIN after the last byte, the
///   guest's FIN `shutdown` after the last byte. A reset remains a reset in both directions.
/// * Events (`receive`, `descriptorReady`, `timerFired`) only mark work as due. The flow does it
///   when the table gives it a turn (`pump`), a bounded amount at a time, so no flow delays
///   another.
/// * Nothing blocks: the descriptor is watched edge-triggered, and `isReadable` and `isWritable`
///   store its state.
final class TCPFlow: ReadinessObserver, TimerObserver, LinkMember {
    /// The state of the connection.
    enum Phase: Equatable {
        /// The guest sent SYN; the host socket is connecting.
        case connecting
        /// The host is connected; our SYN-ACK is not acknowledged.
        case synReceived
        /// A host client is connected; our SYN to the guest is not answered.
        case synSent
        /// Both ends are connected; either half may have ended.
        case open
        /// Finished, and the host socket closed; a repeated FIN is still answered (RFC 9293,
        /// 3.6.1).
        case timeWait
        /// Finished and removed from the table.
        case closed
    }

    let key: FlowKey
    /// The table and shared state.
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
    /// Whether the kernel reported an end, an error or urgent data.
    ///
    /// No edge follows a short peek then, so the flow must peek until the socket is empty.
    var looksUntilEmpty = false
    var hasShutDownHost = false
    /// The address of the host's network that the flow connects to; nil for services and forwards.
    var dialed: IPAddress?
    /// What a policy knows of the server; nil without one, and for services and forwards.
    var server: ServerIdentity?
    /// Reads the server's name from the guest's bytes; nil once they need no more reading.
    var examination: StreamExamination?
    /// Whether one loopback address has refused and the other was tried in its place.
    var hasTriedOtherLoopback = false

    var sender: TCPSender
    var receiver: TCPReceiver
    /// Bytes from the guest that the host socket has not accepted.
    var pending: OctetQueue
    /// Bytes for the host socket that wait until the batch of frames ends.
    var staged = StagedPieces()
    /// Bytes that the guest has acknowledged and the socket still holds.
    var toDiscard = 0
    /// The window beyond `pending`.
    var windowLimit: Int
    /// This flow's share of the window budget.
    var grantedWindow = 0
    /// Bytes forwarded since the window last grew.
    var passedSinceGrowth = 0
    /// The window scale shifts of the guest and of this end.
    var guestScale: UInt8 = 0
    var ownScale: UInt8 = 0
    var mayReportSACK = false
    var timestamps: TCPTimestamps

    var route: GuestRoute?
    var needsACK = false
    /// Membership in the table's lists: has work, owes an ACK, waits for the link.
    var isQueued = false
    var isAcknowledging = false
    var isBlocked = false
    /// The bounded queue that contains the flow.
    var queue: FlowQueue.Name?
    let port: Int
    /// Whether it counts among those that its guest may open.
    var isCounted = false
    /// Whether it waits for its guest to reappear.
    var isUnrouted = false

    /// Called with the guest's answer to the connection attempt.
    var answered: GuestAnswered?

    var timer: TimerWheel.Token?
    var timerDeadline = Instant(nanoseconds: .max)
    /// When to repeat SYN or SYN-ACK, to probe the window, or to leave TIME-WAIT.
    var stateDeadline: Instant?
    var stateRetries = 0
    var lastHeard: Instant
    /// The latest probe of the guest, answered or not.
    var probe: GuestProbe?
    /// Whether the kernel probes the host's peer.
    var probesHost = false
    var traffic: FlowTraffic
    var lastChallenge: Instant?

    /// Creates a flow that has not sent anything.
    init(_ key: FlowKey, _ flows: TCPFlows, phase: Phase, sequence: SequenceNumber, now: Instant) {
        self.key = key
        self.flows = flows
        port = flows.path.port(of: key.guest.address)
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
        // An error follows the bytes that the host sent before it; the next peek or send reports
        // it.
        let finality: Readiness = [.ended, .hungUp, .failed, .urgent]
        if !readiness.isDisjoint(with: finality) { looksUntilEmpty = true }
        if !readiness.isDisjoint(with: finality.union(.readable)) { isReadable = true }
        if readiness.contains(.writable) { isWritable = true }
        // A fast host delivers data and even its end with the same edge as "connected".
        if phase == .connecting { return hostAnswered(readiness, now: now) }
        // After the end of the stream no read would report the error.
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

    private func hostAnswered(_ readiness: Readiness, now: Instant) {
        let code = hostError()
        guard code == 0 else { return hostRefused(errno: code, now: now) }
        // The kernel queues an ICMP error before it ends the attempt, which it reports, too.
        guard readiness.contains(.writable) else { return }
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
        if phase == .open { probeIfDue(now: now) }
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

    /// Aborts a handshake that the guest did not complete.
    func giveUp(_ answer: GuestAnswer, now: Instant) {
        // The client reads the answer from the stream, and a reset could overtake it.
        tell(answer) ? close() : abort(.guest, now: now)
    }

    /// Reports the guest's answer; false if nobody requested it.
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

    /// When to give up a guest that does not answer our SYN.
    var guestDialDeadline: Instant { traffic.start + TCPFlows.guestDialLimit }

    private func retransmit(now: Instant) {
        // RFC 9293, 3.8.3 (R2): give up after at least 100 s without an answer.
        if sender.silentTimeouts >= TCPFlows.maximumTimeouts { return guestIsSilent(now: now) }
        sender.timedOut(now: now)
        flows.counters.timeouts &+= 1
        flows.enqueue(self)
    }

    private func probeWindow(now: Instant) {
        guard sender.isWindowShut, isReadable, !sender.hasSentEnd else { return }
        // The pending item may be the end of the stream, which needs no window.
        guard hasMoreToSend(now: now) else { return flows.enqueue(self) }
        // One byte below the window: any answer reports the window (RFC 9293, 3.8.6.1), and a full
        // guest has no data to drop. A guest that does not answer loses the flow.
        if lastHeard < now, !isProbing {
            probeGuest(now: now)
        } else {
            sendProbe()
        }
        sender.probed()
        stateDeadline = now + sender.probeInterval
    }

    /// Arms a timer for the next due time or earlier.
    func armTimer() {
        var deadline = phase == .open ? nextProbe : Instant(nanoseconds: .max)
        if let stateDeadline { deadline = min(deadline, stateDeadline) }
        if phase == .open, let timeout = sender.timeout { deadline = min(deadline, timeout) }
        // A timer that fires early is armed again, which is cheaper than moving it with every ACK.
        guard deadline < timerDeadline else { return }
        if let timer { flows.loop.cancel(timer) }
        timerDeadline = deadline
        timer = flows.loop.schedule(deadline, observer: self)
    }

    // MARK: The end

    /// The side that caused an abort, and therefore needs no notification.
    enum Culprit { case guest, host, both }

    /// Aborts the flow with a reset to every side that did not cause it.
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
        if flows.retryOnOtherLoopback(self, errno: code, now: now) { return }
        // What the guest asked for is the first loopback address, and that has refused.
        if hasTriedOtherLoopback { return refuse(.refused, now: now) }
        refuse(FlowFailure(errno: code), errno: code, now: now)
    }

    /// Refuses the guest because the host connection failed: RST, or ICMP if no host answered (RFC
    /// 1122, 4.2.3.9).
    func refuse(_ reason: FlowFailure, errno code: Int32 = 0, now: Instant) {
        flows.counters.refused &+= 1
        // An ICMP error says more than the errno that it became.
        let error = opening == nil ? nil : connectError
        failed(error.flatMap { FlowFailure($0.kind) } ?? reason, errno: code)
        if !flows.reportUnreachable(self, error, errno: code) {
            sendBare(sequence: SequenceNumber(0), [.rst, .ack])
        }
        close()
    }

    /// Records that the guest's connection attempt led nowhere.
    func failed(_ reason: FlowFailure, errno code: Int32 = 0) {
        flows.path.failed(
            FailedFlow(
                transport: IPProtocol.tcp,
                guest: key.guest,
                remote: key.remote,
                reason: reason,
                errno: code,
                name: server?.name
            )
        )
    }

    /// Closes the flow once both halves are done.
    func finishIfDone(now: Instant) {
        guard phase == .open, sender.isFinished, receiver.isFinished, pending.isEmpty,
            toDiscard == 0, hasShutDownHost
        else { return }
        releaseStream()
        // The side that sent its FIN first waits for retransmissions of the other's.
        guard sentEndFirst else { return close() }
        phase = .timeWait
        stateDeadline = now + TCPFlows.timeWait
        flows.enteredTimeWait(self)
        armTimer()
    }

    /// Whether our FIN went out before the guest's arrived.
    var sentEndFirst = false

    /// Leaves the table and releases everything.
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
