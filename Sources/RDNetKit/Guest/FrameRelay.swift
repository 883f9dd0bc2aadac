/// The guest end's data path: a TAP on one side, the host's stream on the other, nothing in
/// between.
///
/// How it works: frames read from the TAP land in the stream's buffer and leave in one write a
/// turn; frames read from the stream are written to the TAP from where they lie. When the stream is
/// full the TAP is not read: the kernel's queue holds what comes and drops when it is full, as any
/// interface does.
final class FrameRelay: FrameReceiver, TurnParticipant {
    /// Frames that one turn takes from the TAP: as many as fill the stream's buffer.
    private static let framesPerTurn = 64

    private let loop: EventLoop
    private let tap: TAPLink
    private var stream: StreamLink?
    private var isPaused = true
    /// Told when the stream has ended.
    var streamEnded: (String) -> Void = { _ in }
    /// Told when the TAP is gone.
    var tapEnded: (String) -> Void = { _ in }
    /// Sees every frame in both directions while set: from the guest, or to it.
    var trace: ((Frame, _ isFromGuest: Bool) -> Void)?

    /// Makes a relay without a stream; the TAP is not read until there is one.
    ///
    /// - Parameters:
    ///   - tap: Not started yet.
    ///   - loop: Where everything runs.
    /// - Throws: `SystemError` when the TAP cannot be watched.
    init(_ tap: TAPLink, loop: EventLoop) throws(SystemError) {
        self.tap = tap
        self.loop = loop
        try tap.start(for: self) { [unowned self] now in pump(now: now) }
        tap.setReading(false)
        loop.join(self)
    }

    /// Whether there is a stream.
    var isConnected: Bool { stream != nil }

    /// What the interface takes and gives unfinished.
    var capabilities: OffloadCapabilities { tap.capabilities }

    /// Connects the TAP to a stream.
    ///
    /// - Parameters:
    ///   - stream: Not started yet.
    ///   - now: The turn's clock.
    /// - Throws: `SystemError` when the stream cannot be watched.
    func attach(_ stream: StreamLink, now: Instant) throws(SystemError) {
        self.stream = stream
        try stream.start(for: self, now: now)
        // Its offer may have met a stream that had ended already.
        if self.stream != nil { resume() }
    }

    /// Ends everything.
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
                guard count >= EthernetHeader.length, count <= room.count else { continue }
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
        pause()
        stream = nil
        streamEnded(reason)
    }

    func takeTurn(now: Instant) -> Bool {
        stream?.flush(now: now)
        return false
    }
}
