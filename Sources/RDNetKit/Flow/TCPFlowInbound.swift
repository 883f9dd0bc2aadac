/// From the guest: segments arrive, payload goes to the host.
extension TCPFlow {
    /// Handles one segment.
    ///
    /// - Parameters:
    ///   - header: The segment's header; its checksum has been verified or is trusted.
    ///   - payload: Valid only during the call.
    ///   - now: The turn's clock.
    func receive(_ header: TCPHeader, _ payload: UnsafeRawBufferPointer, now: Instant) {
        lastHeard = now
        switch phase {
        case .connecting:
            // A repeated SYN waits like the first one; a reset means that the guest gave up.
            if header.flags.contains(.rst), header.sequence == guestInitialSequence + 1 { close() }
            noteRepeatedSYN(header, now: now)
        case .synReceived:
            receiveInSYNReceived(header, payload, now: now)
        case .synSent:
            receiveInSYNSent(header, now: now)
        case .open:
            receiveOpen(header, payload, now: now)
        case .timeWait:
            receiveInTimeWait(header, isBare: payload.isEmpty, now: now)
        case .closed:
            break
        }
    }

    // MARK: Handshakes

    /// Stores the options of the guest's SYN (RFC 9293, 3.10.7.2).
    func begin(with syn: TCPHeader, now: Instant) {
        guestInitialSequence = syn.sequence
        mayReportSACK = syn.options.sackPermitted
        let offersScale = syn.options.windowScale != nil
        guestScale = syn.options.windowScale ?? 0
        ownScale = offersScale ? TCPFlows.windowScale : 0
        // Without scaling, the window field limits the window, so less needs to be kept.
        if !offersScale { windowLimit = min(windowLimit, 65_535) }
        // RFC 9293, 3.7.1: 536 by default, and never more than our MTU carries.
        let offered = Int(syn.options.maximumSegmentSize ?? 536)
        // The option does not count in the guest's figure, but takes room in every segment (RFC
        // 6691).
        timestamps.begin(with: syn, now: now)
        let most = flows.path.maximumSegmentSize(to: key.guest.address)
        sender = TCPSender(
            first: initialSequence + 1,
            window: Int(syn.window),
            windowSequence: syn.sequence,
            segmentSize: min(max(offered, 64), most) - timestamps.length
        )
        // A SYN's window field is never scaled (RFC 7323, 2.2).
        let first = min(windowLimit, 65_535)
        receiver = TCPReceiver(first: syn.sequence + 1, offered: first, scale: ownScale)
    }

    /// The answer echoes the latest SYN's clock, so that the guest measures the true round trip
    /// (RFC 7323, 4.3).
    private func noteRepeatedSYN(_ header: TCPHeader, now: Instant) {
        guard header.flags.contains(.syn), header.sequence == guestInitialSequence else { return }
        timestamps.note(header, now: now)
    }

    private func receiveInSYNReceived(
        _ header: TCPHeader,
        _ payload: UnsafeRawBufferPointer,
        now: Instant
    ) {
        if header.flags.contains(.rst) {
            guard receiver.accepts(header.sequence, length: 0) else { return }
            if header.sequence == receiver.next { return abort(.guest, now: now) }
            return challenge(now: now)
        }
        if header.flags.contains(.syn) {
            // Our SYN-ACK was lost or is still in flight: repeat it.
            if header.sequence == guestInitialSequence {
                noteRepeatedSYN(header, now: now)
                return sendSYN(now: now)
            }
            return challenge(now: now)
        }
        guard timestamps.admits(header, now: now) else { return outdated() }
        guard header.flags.contains(.ack) else { return }
        guard header.acknowledgment == initialSequence + 1 else {
            // RFC 9293, 3.10.7.4, fifth: not an answer to our SYN-ACK.
            return sendBare(sequence: header.acknowledgment, [.rst])
        }
        becomeOpen(now: now)
        receiveOpen(header, payload, now: now)
    }

    private func receiveInSYNSent(_ header: TCPHeader, now: Instant) {
        let answers = header.flags.contains(.ack) && header.acknowledgment == initialSequence + 1
        if header.flags.contains(.ack), !answers {
            // RFC 9293, 3.10.7.3: a half-open leftover of an earlier connection is cleared.
            if !header.flags.contains(.rst) { sendBare(sequence: header.acknowledgment, [.rst]) }
            return
        }
        if header.flags.contains(.rst) {
            if answers { giveUp(.refused, now: now) }
            return
        }
        guard answers, header.flags.contains(.syn) else { return }
        begin(with: header, now: now)
        tell(.connected)
        becomeOpen(now: now)
        oweACK()
        flows.enqueue(self)
    }

    private func becomeOpen(now: Instant) {
        phase = .open
        stateDeadline = nil
        stateRetries = 0
        flows.counters.established &+= 1
        flows.leftHandshake(self)
        isReadable = true
        flows.enqueue(self)
    }

    private func receiveInTimeWait(_ header: TCPHeader, isBare: Bool, now: Instant) {
        if header.flags.contains(.rst) {
            if header.sequence == receiver.next { close() }
            return
        }
        if header.flags.contains(.fin) { return sendACK() }
        // An ACK that is in its place needs no answer: two ends that answer each other's ACKs would
        // never stop.
        let isExpected = isBare && !header.flags.contains(.syn) && header.sequence == receiver.next
        if !isExpected { challenge(now: now) }
    }

    // MARK: Open

    private func receiveOpen(
        _ header: TCPHeader,
        _ payload: UnsafeRawBufferPointer,
        now: Instant
    ) {
        guard timestamps.admits(header, now: now) else { return outdated() }
        let fin = header.flags.contains(.fin)
        let length = payload.count + (fin ? 1 : 0)
        guard receiver.accepts(header.sequence, length: length) else {
            return receiveUnacceptable(header, now: now)
        }
        if header.flags.contains(.rst) {
            // RFC 5961, 3.2: only the exact number resets; a guess in the window is challenged.
            if header.sequence == receiver.next { return abort(.guest, now: now) }
            return challenge(now: now)
        }
        // RFC 5961, 4.2: a SYN here is a forgery or a restarted guest; our answer makes the latter
        // reset us.
        if header.flags.contains(.syn) { return challenge(now: now) }
        timestamps.note(header, now: now)
        guard header.flags.contains(.ack) else { return }
        guard receiveAcknowledgment(header, isBare: length == 0, now: now) else { return }
        if length > 0 { receivePayload(header.sequence, payload, fin: fin, now: now) }
        armTimer()
    }

    /// A segment from before (RFC 7323, 5.3, R1): an ACK, and nothing of it counts.
    private func outdated() {
        flows.counters.outdated &+= 1
        oweACK()
    }

    private func receiveUnacceptable(_ header: TCPHeader, now: Instant) {
        guard !header.flags.contains(.rst) else { return }
        // Also the answer to keep-alive probes and repeated segments (RFC 9293, 3.8.4, 3.10.7.4).
        oweACK()
        // A zero window accepts no data, but a valid ACK counts (RFC 9293, 3.10.7.4).
        guard receiver.offered == 0, header.sequence == receiver.next, header.flags.contains(.ack),
            !header.flags.contains(.syn)
        else { return }
        if receiveAcknowledgment(header, isBare: false, now: now) { armTimer() }
    }

    private func receiveAcknowledgment(
        _ header: TCPHeader,
        isBare: Bool,
        now: Instant
    ) -> Bool {
        let window = Int(header.window) << Int(guestScale)
        if sender.isUntimed, header.acknowledgment > sender.unacknowledged,
            let sample = timestamps.roundTrip(header, since: traffic.start, now: now)
        {
            sender.measured(sample)
        }
        switch sender.receive(header, window: window, isBare: isBare, now: now) {
        case .advanced(let octets):
            toDiscard += octets
            traffic.octetsToGuest &+= UInt64(octets)
            flows.enqueue(self)
            return true
        case .current:
            flows.enqueue(self)
            return true
        case .impossible:
            oweACK()
            return false
        case .ancient:
            challenge(now: now)
            return false
        }
    }

    private func receivePayload(
        _ sequence: SequenceNumber,
        _ payload: UnsafeRawBufferPointer,
        fin: Bool,
        now: Instant
    ) {
        oweACK()
        switch receiver.receive(sequence, payload, fin: fin) {
        case .inOrder(let skip, let take):
            deliver(UnsafeRawBufferPointer(rebasing: payload[skip..<(skip + take)]), now: now)
            while phase == .open, let early = receiver.takeEarly() {
                early.withUnsafeBytes { deliver($0, now: now) }
            }
        case .acknowledgeOnly, .unacceptable:
            break
        }
        guard phase == .open, receiver.isFinished else { return }
        flows.enqueue(self)
    }

    // MARK: To the host

    private func deliver(_ payload: UnsafeRawBufferPointer, now: Instant) {
        guard phase == .open else { return }
        passedSinceGrowth += payload.count
        flows.counters.octetsToHost &+= UInt64(payload.count)
        traffic.octetsToHost &+= UInt64(payload.count)
        if examination != nil { return examine(payload, now: now) }
        if pending.isEmpty, flows.stage(payload, of: self, now: now) { return }
        pass(payload, now: now)
    }

    /// Sends bytes to the host socket and keeps what it does not accept.
    func pass(_ payload: UnsafeRawBufferPointer, now: Instant) {
        guard phase == .open else { return }
        var rest = payload
        if pending.isEmpty, isWritable {
            do {
                let taken = try send(payload) ?? 0
                rest = UnsafeRawBufferPointer(rebasing: payload[taken...])
            } catch {
                return abort(.host, now: now)
            }
            // Only a short send means that the socket is full; a non-empty queue does not.
            if !rest.isEmpty { isWritable = false }
        }
        guard !rest.isEmpty else { return }
        if pending.isEmpty { slowWindow() }
        pending.append(rest)
    }

    private func send(_ payload: UnsafeRawBufferPointer) throws(SystemError) -> Int? {
        switch stream {
        case .some(let stream): try Socket.send(stream.descriptor, payload)
        case .none: nil
        }
    }

    /// Sends the pending bytes, then the end of the guest's stream.
    func drainToHost(now: Instant) {
        if examination != nil, receiver.isFinished { endExamination(now: now) }
        guard phase == .open else { return }
        let sendable = examination?.admitted ?? pending.count
        if sendable > 0, isWritable {
            do {
                let sent = try pending.drain(atMost: sendable) { (octets) throws(SystemError) in
                    try send(octets)
                }
                examination?.admitted -= sent
                if sent < sendable { isWritable = false }
            } catch {
                return abort(.host, now: now)
            }
            if worthTelling { oweACK() }
        }
        guard receiver.isFinished, pending.isEmpty, !hasShutDownHost else { return }
        hasShutDownHost = true
        switch stream {
        case .some(let stream): Socket.shutDownSending(stream.descriptor)
        case .none: break
        }
    }

    /// Whether the window can open far enough for a window update (RFC 9293, 3.8.6.2.2).
    private var worthTelling: Bool {
        let gain = room - receiver.offered
        return gain >= min(windowLimit / 2, 2 * sender.segmentSize)
    }

    /// The window to advertise beyond the data received in order.
    var room: Int { max(windowLimit - pending.count, 0) }

    /// Shrinks the window of a flow whose host does not keep up; its data waits in the host socket,
    /// not here.
    private func slowWindow() {
        passedSinceGrowth = 0
        let less = min(grantedWindow, windowLimit / 2)
        flows.giveBack(less)
        grantedWindow -= less
        windowLimit -= less
    }

    /// Grows the window while the host accepts everything immediately.
    func growWindow() {
        guard passedSinceGrowth >= windowLimit else { return }
        passedSinceGrowth = 0
        guard pending.isEmpty, ownScale > 0 else { return }
        let more = flows.grant(windowLimit, to: self)
        grantedWindow += more
        windowLimit += more
    }

    // MARK: Answers

    /// Schedules an ACK for the end of the turn, unless data carries it first.
    func oweACK() {
        needsACK = true
        flows.acknowledgeLater(self)
    }

    /// Sends a challenge ACK at a limited rate, so two ends cannot challenge each other forever
    /// (RFC 5961, 7).
    func challenge(now: Instant) {
        if let lastChallenge, now - lastChallenge < TCPFlows.challengeInterval { return }
        lastChallenge = now
        flows.counters.challenges &+= 1
        oweACK()
    }
}
