/// The guest end's data path between a TAP and the host's stream.
///
/// How it works: frames from the TAP are read directly into the stream's buffer, and one write per
/// turn sends them. Frames from the stream are written to the TAP directly from the receive buffer.
/// While the stream is full, the TAP is not read: the kernel's queue holds the frames, and drops
/// them when it is full, as for any interface.
final class FrameRelay: FrameReceiver, TurnParticipant {
    /// Limit on frames read from the TAP per turn; they fill the stream's buffer.
    private static let framesPerTurn = 64

    private let loop: EventLoop
    private var tap: TAPLink
    private var stream: StreamLink?
    /// Counters of ended streams.
    private var endedCounters = LinkCounters()
    private var isPaused = true
    /// Called when the stream has ended.
    var streamEnded: (String) -> Void = { _ in }
    /// Called when the TAP has failed.
    var tapEnded: (String) -> Void = { _ in }
    /// Receives every frame in both directions while set: from the guest or to it.
    var trace: ((Frame, _ isFromGuest: Bool) -> Void)?

    /// Creates a relay without a stream; the TAP is not read until a stream is attached.
    ///
    /// - Parameters:
    ///   - tap: Not started yet.
    ///   - loop: The loop of all descriptors.
    /// - Throws: `SystemError` if the loop cannot watch the TAP.
    init(_ tap: TAPLink, loop: EventLoop) throws(SystemError) {
        self.tap = tap
        self.loop = loop
        try startTAP()
        loop.join(self)
    }

    private func startTAP() throws(SystemError) {
        try tap.start(for: self) { [unowned self] now in pump(now: now) }
        tap.setReading(!isPaused)
    }

    /// Continues with another TAP after the first has failed; the stream stays.
    ///
    /// - Parameter newTAP: Not started yet.
    /// - Throws: `SystemError` if the loop cannot watch the TAP.
    func replaceTAP(by newTAP: TAPLink) throws(SystemError) {
        tap = newTAP
        try startTAP()
    }

    /// Whether a stream is attached.
    var isConnected: Bool { stream != nil }

    /// Frames from the guest (received) and to it (sent).
    var interfaceCounters: LinkCounters { tap.counters }

    /// Frames from the host (received) and to it (sent), over all streams.
    var streamCounters: LinkCounters {
        var sum = endedCounters
        if let stream { sum += stream.counters }
        return sum
    }

    /// The offloads that the interface supports.
    var capabilities: OffloadCapabilities { tap.capabilities }

    /// Connects the TAP to a stream.
    ///
    /// - Parameters:
    ///   - stream: Not started yet.
    ///   - now: The turn's clock.
    /// - Throws: `SystemError` if the loop cannot watch the stream.
    func attach(_ stream: StreamLink, now: Instant) throws(SystemError) {
        self.stream = stream
        try stream.start(for: self, now: now)
        // The stream may have turned out to be closed when `start` sent its offer.
        if self.stream != nil { resume() }
    }

    /// Closes the stream and the TAP.
    func stop() {
        loop.leave(self)
        stream?.close()
        tap.close()
    }

    // MARK: From the guest

    private func pump(now: Instant) {
        guard let stream else { return }
        do {
            for _ in 0..<Self.framesPerTurn {
                guard let room = stream.reserve(Frame.maximumLength, .bulk) else { return pause() }
                guard let (count, header) = try tap.read(into: room) else { return }
                guard count >= EthernetHeader.length, count <= room.count else {
                    tap.counters.malformed &+= 1
                    continue
                }
                let frame = UnsafeRawBufferPointer(rebasing: room[..<count])
                trace?(Frame(frame, header), true)
                stream.commit(count, header)
            }
        } catch {
            tap.close()
            tapEnded("\(error)")
        }
    }

    private func pause() {
        isPaused = true
        tap.setReading(false)
    }

    private func resume() {
        guard isPaused else { return }
        isPaused = false
        tap.setReading(true)
    }

    // MARK: To the guest

    func receive(_ frame: Frame, from link: any FrameLink, now: Instant) {
        trace?(frame, false)
        tap.send(frame, .bulk)
    }

    func batchEnded(on link: any FrameLink, now: Instant) {}

    func hasRoom(_ link: any FrameLink, now: Instant) {
        resume()
    }

    func closed(_ link: any FrameLink, reason: String, now: Instant) {
        if link === tap { return tapEnded(reason) }
        pause()
        if let stream { endedCounters += stream.counters }
        stream = nil
        streamEnded(reason)
    }

    func takeTurn(now: Instant) -> Bool {
        stream?.flush(now: now)
        return false
    }
}
