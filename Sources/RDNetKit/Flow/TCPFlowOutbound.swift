/// Toward the guest: the host socket's data as segments, acknowledgments, handshakes.
extension TCPFlow {
    /// Limit on the bytes that one flow sends per turn: four of the largest segments.
    private static let quantum =
        4 * (OutboundPacket.capacity(for: .anyIPv4) - TCPHeader.length)

    /// Does a bounded amount of the due work.
    ///
    /// - Parameter now: The turn's clock.
    /// - Returns: Whether work remains.
    func pump(now: Instant) -> Bool {
        guard phase == .open else { return false }
        discardAcknowledged(now: now)
        drainToHost(now: now)
        guard phase == .open else { return false }
        let more = resendLost(now: now) || sendNew(now: now)
        guard phase == .open else { return false }
        sendEnd(now: now)
        watchForWindow(now: now)
        finishIfDone(now: now)
        if phase == .open { armTimer() }
        return more && phase == .open
    }

    /// Discards everything that the guest acknowledged, to the last byte.
    ///
    /// A remaining byte keeps its whole segment in the kernel, which can fill the receive buffer:
    /// the socket would then advertise a zero window forever.
    private func discardAcknowledged(now: Instant) {
        guard toDiscard > 0 else { return }
        do {
            try stream?.discard(toDiscard, scratch: flows.scratch)
            toDiscard = 0
        } catch {
            abort(.host, now: now)
        }
    }

    // MARK: Data

    private func sendNew(now: Instant) -> Bool {
        var budget = Self.quantum
        while isReadable, phase == .open {
            let allowed = sender.allowance
            guard allowed > 0 else { return false }
            guard budget > 0 else { return true }
            guard let sent = sendData(at: sender.next, upTo: allowed, now: now) else {
                return false
            }
            if sent == 0 { return false }
            sender.sent(sent, now: now)
            budget -= sent
        }
        return false
    }

    private func resendLost(now: Instant) -> Bool {
        var budget = Self.quantum
        while let range = sender.nextResend() {
            guard budget > 0 else { return true }
            flows.counters.retransmits &+= 1
            if range.start == sender.end {
                sendFIN()
                sender.resent(1, now: now)
                continue
            }
            var length = range.end - range.start
            if let end = sender.end, range.end > end { length = end - range.start }
            guard let sent = sendData(at: range.start, upTo: length, now: now), sent > 0 else {
                return false
            }
            sender.resent(sent, now: now)
            budget -= sent
        }
        return false
    }

    /// Peeks stream data into a frame and sends it.
    ///
    /// - Parameters:
    ///   - sequence: The first byte's sequence number.
    ///   - limit: Maximum number of bytes.
    ///   - now: The turn's clock.
    /// - Returns: Bytes sent; 0 if none are available, nil if the guest's link has no room.
    private func sendData(at sequence: SequenceNumber, upTo limit: Int, now: Instant) -> Int? {
        guard let route = currentRoute() else {
            flows.waitForRoute(self)
            return nil
        }
        let segment = sender.segmentSize
        let headerLength = TCPHeader.length + timestamps.length
        var count = min(limit, OutboundPacket.capacity(for: key.guest.address) - headerLength)
        // Whole packets, so segmentation leaves no small one in the middle of the stream.
        if count > segment { count -= count % segment }
        guard let packet = reserve(headerLength + count, over: route, .bulk) else {
            flows.block(self)
            return nil
        }
        let room = packet.payload(behind: headerLength)
        guard let peeked = peek(at: sequence, into: room, now: now), peeked > 0 else { return 0 }
        let header = makeHeader(sequence: sequence, flags: [.ack, .psh])
        flows.path.commit(packet, header, payload: peeked, segmentSize: segment)
        flows.counters.octetsToGuest &+= UInt64(peeked)
        // Data segments carry the acknowledgment but no SACK blocks, so with a gap a separate ACK
        // is still due.
        if receiver.earlyOctets == 0 { needsACK = false }
        return peeked
    }

    /// Checks for unsent data while the window is zero.
    ///
    /// - Parameter now: The turn's clock.
    /// - Returns: Whether at least one byte is available.
    func hasMoreToSend(now: Instant) -> Bool {
        var octet: UInt8 = 0
        // Sound: the pointer is used inside the closure only.
        let count = withUnsafeMutableBytes(of: &octet) { peek(at: sender.next, into: $0, now: now) }
        return count ?? 0 > 0
    }

    private func peek(
        at sequence: SequenceNumber,
        into room: UnsafeMutableRawBufferPointer,
        now: Instant
    ) -> Int? {
        let offset = sequence - sender.unacknowledged + toDiscard
        do {
            guard
                let count = try stream?.peek(at: offset, into: room, scratch: flows.scratch)
            else {
                isReadable = false
                return nil
            }
            // 0 means the end of the stream, visible only after its last byte.
            if count == 0, sequence == sender.next { sender.streamEnded() }
            // A short peek returned everything. New data sets the flag again; the end must be
            // polled.
            if count > 0, count < room.count, sequence + count >= sender.next, !looksUntilEmpty {
                isReadable = false
            }
            return count
        } catch {
            abort(.host, now: now)
            return nil
        }
    }

    // MARK: The end of the stream

    private func sendEnd(now: Instant) {
        guard let end = sender.end, sender.next == end else { return }
        guard currentRoute() != nil else { return flows.waitForRoute(self) }
        sendFIN()
        sender.sent(1, now: now)
        if !receiver.isFinished { sentEndFirst = true }
    }

    private func sendFIN() {
        guard let end = sender.end else { return }
        sendBare(sequence: end, [.fin, .ack])
    }

    /// Starts probing a zero window (RFC 9293, 3.8.6.1).
    private func watchForWindow(now: Instant) {
        guard sender.isWindowShut, isReadable, sender.end == nil else {
            if phase == .open { stateDeadline = nil }
            return
        }
        if stateDeadline == nil { stateDeadline = now + sender.probeInterval }
    }

    // MARK: Segments without data

    /// Sends an ACK with the current window if one is still due.
    func acknowledge() {
        // In TIME-WAIT the guest's FIN may still need its ACK.
        guard needsACK, phase == .open || phase == .timeWait else { return }
        sendACK()
    }

    /// Sends an ACK with the current window.
    func sendACK() {
        sendBare(sequence: sender.next, [.ack])
    }

    /// Sends SYN or SYN-ACK; repeated with exponential backoff (RFC 9293, 3.8.1; RFC 6298, 2.1).
    func sendSYN(now: Instant) {
        guard currentRoute() != nil else {
            flows.path.askFor(key.guest.address)
            stateDeadline = now + TCPFlows.neighborRetry
            return armTimer()
        }
        let isAnswer = phase == .synReceived
        var header = TCPHeader(
            sourcePort: key.remote.port,
            destinationPort: key.guest.port,
            sequence: initialSequence,
            acknowledgment: isAnswer ? receiver.next : SequenceNumber(0),
            flags: isAnswer ? [.syn, .ack] : [.syn],
            window: UInt16(min(windowLimit, 65_535))
        )
        let largest = flows.path.maximumSegmentSize(to: key.guest.address)
        header.options.maximumSegmentSize = UInt16(truncatingIfNeeded: largest)
        // A SYN-ACK contains only options that the guest offered (RFC 7323, 2.2; RFC 2018, 2).
        if !isAnswer || ownScale > 0 { header.options.windowScale = TCPFlows.windowScale }
        header.options.sackPermitted = !isAnswer || mayReportSACK
        header.options.timestamps =
            isAnswer
            ? timestamps.option(acknowledging: receiver.next, now: now)
            : timestamps.offer(now: now)
        sendHeader(header)
        let next = now + RoundTripEstimator.initialTimeout * (1 << stateRetries)
        stateDeadline = isAnswer ? next : min(next, guestDialDeadline)
        armTimer()
    }

    /// Sends a reset that the guest accepts: the exact next sequence number, and an ACK (RFC 5961,
    /// 3.2).
    func sendReset() {
        if phase == .synSent { return }
        sendBare(sequence: sender.next, [.rst, .ack])
    }

    /// Sends a segment without data.
    func sendBare(sequence: SequenceNumber, _ flags: TCPFlags) {
        var header = makeHeader(sequence: sequence, flags: flags)
        if flags == [.ack], mayReportSACK, receiver.earlyOctets > 0 {
            let limit = TCPReceiver.maximumBlocks - (timestamps.isOn ? 1 : 0)
            header.options.sackBlocks = receiver.blocks(atMost: limit)
        }
        if flags == [.rst] { header.acknowledgment = SequenceNumber(0) }
        sendHeader(header)
        needsACK = false
    }

    private func makeHeader(sequence: SequenceNumber, flags: TCPFlags) -> TCPHeader {
        growWindow()
        var header = TCPHeader(
            sourcePort: key.remote.port,
            destinationPort: key.guest.port,
            sequence: sequence,
            acknowledgment: receiver.next,
            flags: flags,
            window: receiver.offer(room)
        )
        header.options.timestamps = timestamps.option(
            acknowledging: receiver.next,
            now: flows.loop.now
        )
        return header
    }

    private func sendHeader(_ header: TCPHeader) {
        guard let route = currentRoute() else { return }
        guard let packet = reserve(header.writtenLength, over: route, .control) else { return }
        flows.path.commit(packet, header, payload: 0, segmentSize: sender.segmentSize)
    }

    @inline(__always)
    private func reserve(
        _ count: Int,
        over route: GuestRoute,
        _ priority: FramePriority
    ) -> OutboundPacket? {
        flows.path.reserve(
            count,
            from: key.remote.address,
            to: key.guest.address,
            over: route,
            priority
        )
    }

    private func currentRoute() -> GuestRoute? {
        if let route, flows.path.isCurrent(route) { return route }
        route = flows.path.route(to: key.guest.address)
        return route
    }
}
