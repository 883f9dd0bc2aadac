/// One socket of a relay, and what can be done with it as far as is known.
final class TCPRelaySide: ReadinessObserver {
    private static let changes: Readiness = [.readable, .writable, .ended, .urgent, .onChange]

    let descriptor: OwnedDescriptor
    /// Until `forget`.
    var relay: TCPRelay?
    /// What it gave and the other side has not taken.
    var kept: SplicePipe?
    var mayRead = false
    var mayWrite = false
    /// The peer's end has been read.
    private(set) var hasEnded = false
    /// No more can be sent, and what waits is the last.
    private(set) var hasFailed = false
    /// Urgent octets came, at which splice(2) would stop for ever.
    private(set) var hasUrgent = false
    /// The peer's end waits, of which nobody will tell again.
    private var endWaits = false
    private var watch: EventLoop.Watch?

    init(_ descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
    }

    /// Whether it has failed and given all that it had.
    var isLost: Bool { hasFailed && hasEnded }

    func watch(_ loop: EventLoop) throws(SystemError) {
        watch = try loop.watch(descriptor.number, for: Self.changes, observer: self)
    }

    func forget(_ loop: EventLoop) {
        if let watch { loop.forget(watch) }
        watch = nil
        relay = nil
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        let isOver = !readiness.isDisjoint(with: [.failed, .hungUp])
        if isOver || readiness.contains(.ended) { endWaits = true }
        if readiness.contains(.failed) { hasFailed = true }
        if readiness.contains(.urgent) { hasUrgent = true }
        if !hasEnded, endWaits || !readiness.isDisjoint(with: [.readable, .urgent]) {
            mayRead = true
        }
        if isOver || readiness.contains(.writable) { mayWrite = true }
        relay?.changed()
    }

    /// Whether there may be octets, or an end, that another side would take.
    func canMove(to sink: TCPRelaySide) -> Bool {
        (mayRead || kept != nil) && sink.mayWrite && !sink.hasFailed
    }

    /// Takes note that what waited is read: what comes next will be told.
    func hasGivenAll() {
        // Behind urgent octets there may be more.
        mayRead = !hasEnded && (endWaits || hasUrgent)
    }

    /// Takes note of the end of what the peer sends.
    func end() {
        hasEnded = true
        mayRead = false
    }

    /// Sends what is in a pipe, as far as it fits.
    func take(from pipe: SplicePipe) {
        do {
            try pipe.drain(to: descriptor)
            if pipe.count > 0 { mayWrite = false }
        } catch {
            fail()
        }
    }

    /// Sends what fits.
    ///
    /// - Returns: How many octets; none when the peer is gone.
    func send(_ octets: UnsafeRawBufferPointer) -> Int {
        do {
            let sent = try Socket.send(descriptor, octets) ?? 0
            if sent < octets.count { mayWrite = false }
            return sent
        } catch {
            fail()
            return 0
        }
    }

    /// The peer is gone; what it sent before that can still be read.
    private func fail() {
        hasFailed = true
        mayRead = !hasEnded
    }
}
