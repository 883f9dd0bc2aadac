/// One socket of a relay, and its state as far as it is known.
final class TCPRelaySide: ReadinessObserver {
    private static let changes: Readiness = [.readable, .writable, .ended, .urgent, .onChange]

    let descriptor: OwnedDescriptor
    /// Set until `forget`; keeps the relay alive.
    var relay: TCPRelay?
    /// Data from this side that the other side has not accepted.
    var kept: SplicePipe?
    var mayRead = false
    var mayWrite = false
    /// Whether the peer's end of stream has been read.
    private(set) var hasEnded = false
    /// Whether sending fails; the waiting data is the last.
    private(set) var hasFailed = false
    /// Whether urgent data arrived; splice(2) would stop at it forever.
    private(set) var hasUrgent = false
    /// Whether the peer's end of stream is unread; the loop does not report it again.
    private var endWaits = false
    private var watch: EventLoop.Watch?

    init(_ descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
    }

    /// Whether the socket has failed and all its data has been read.
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

    /// Whether data or an end of stream may be waiting that the other side would accept.
    func canMove(to sink: TCPRelaySide) -> Bool {
        (mayRead || kept != nil) && sink.mayWrite && !sink.hasFailed
    }

    /// Records that all waiting data was read; the loop reports new data.
    func hasGivenAll() {
        // More data may follow the urgent byte.
        mayRead = !hasEnded && (endWaits || hasUrgent)
    }

    /// Records the peer's end of stream.
    func end() {
        hasEnded = true
        mayRead = false
    }

    /// Sends a pipe's content as far as it fits.
    func take(from pipe: SplicePipe) {
        do {
            try pipe.drain(to: descriptor)
            if pipe.count > 0 { mayWrite = false }
        } catch {
            fail()
        }
    }

    /// Sends as much as fits.
    ///
    /// - Returns: The number of bytes sent; 0 if sending failed.
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

    /// Records that sending failed; data that the peer sent before can still be read.
    private func fail() {
        hasFailed = true
        mayRead = !hasEnded
    }
}
