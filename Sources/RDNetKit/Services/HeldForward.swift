/// A client's connection that keeps forwards open, and ends with them.
final class HeldForward: ReadinessObserver {
    private static let octetsPerRead = 4_096

    private let stream: OwnedDescriptor
    private let handle: ForwardHandle
    private let loop: EventLoop
    private var watch: EventLoop.Watch?

    /// Starts to wait for the end of the connection; the loop keeps the object alive until then.
    ///
    /// - Parameters:
    ///   - handle: The forwards.
    ///   - stream: The client's connection; what it sends is ignored.
    ///   - loop: Reports the end.
    /// - Throws: `SystemError` if the loop cannot watch the connection.
    @discardableResult
    init(
        _ handle: ForwardHandle,
        by stream: consuming OwnedDescriptor,
        loop: EventLoop
    ) throws(SystemError) {
        self.handle = handle
        self.stream = stream
        self.loop = loop
        watch = try loop.watch(self.stream.number, for: .readable, observer: self)
        handle.ended = { [unowned self] in close() }
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do {
            let octets = try Socket.receive(stream, upTo: Self.octetsPerRead)
            guard octets?.isEmpty == true else { return }
        } catch {
            // A reset ends the connection, too.
        }
        handle.close()
        close()
    }

    private func close() {
        guard let watch else { return }
        self.watch = nil
        Socket.shutDownBoth(stream)
        loop.forget(watch)
    }
}
