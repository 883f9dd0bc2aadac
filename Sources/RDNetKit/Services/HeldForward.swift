/// A client's connection that keeps a port of the host open.
final class HeldForward: ReadinessObserver {
    private let stream: OwnedDescriptor
    private let ended: () -> Void
    private let loop: EventLoop
    private var watch: EventLoop.Watch?

    /// Starts to wait for the end of the connection; the loop keeps the object alive until then.
    ///
    /// - Parameters:
    ///   - stream: The client's connection; what it sends is ignored.
    ///   - loop: Reports the end.
    ///   - ended: Called when the client has ended the connection.
    /// - Throws: `SystemError` if the loop cannot watch the connection.
    @discardableResult
    init(
        by stream: consuming OwnedDescriptor,
        loop: EventLoop,
        ended: @escaping () -> Void
    ) throws(SystemError) {
        self.ended = ended
        self.stream = stream
        self.loop = loop
        watch = try loop.watch(self.stream.number, for: .readable, observer: self)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        guard Socket.hasEndedIgnoringInput(stream) else { return }
        ended()
        close()
    }

    /// Ends the connection; does nothing if it has ended.
    func close() {
        guard let watch else { return }
        self.watch = nil
        Socket.shutDownBoth(stream)
        loop.forget(watch)
    }
}
