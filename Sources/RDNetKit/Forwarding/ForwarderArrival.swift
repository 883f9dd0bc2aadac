/// A stream of the host whose first bytes have not all arrived.
///
/// It peeks, so that the bytes after a destination stay in the socket for the relay.
final class ForwarderArrival: ReadinessObserver {
    /// What the first bytes mean.
    enum Result {
        case destination(ForwarderDestination)
        case multiplexer(hasHandshake: Bool)
        case failed(String)
    }

    /// Protocol, length, an IPv6 address and a port.
    private static let maximumLength = 21

    private let loop: EventLoop
    private var stream: OwnedDescriptor?
    private var decided: ((ForwarderArrival, Result) -> Void)?
    private var watch: EventLoop.Watch?
    /// Bytes that were too few.
    private var seen = 0

    /// Creates an arrival.
    ///
    /// - Parameters:
    ///   - stream: Connected.
    ///   - loop: Reports the bytes.
    ///   - decided: Called once.
    init(
        _ stream: consuming OwnedDescriptor,
        loop: EventLoop,
        decided: @escaping (ForwarderArrival, Result) -> Void
    ) {
        self.loop = loop
        self.decided = decided
        self.stream = .some(stream)
    }

    /// Waits for the first bytes.
    func start() {
        do throws(SystemError) {
            // On every change, because bytes that were peeked at stay readable.
            watch = try withStream { stream throws(SystemError) in
                try loop.watch(stream.number, for: [.readable, .ended, .onChange], observer: self)
            }
        } catch {
            end(.failed("\(error)"))
        }
    }

    /// Gives up.
    func close() {
        end(.failed("exiting"))
    }

    /// Gives the stream away.
    func take() -> OwnedDescriptor? {
        let taken = stream.take()
        return taken
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do throws(SystemError) {
            let octets = try withStream { stream throws(SystemError) in try Self.peek(stream) }
            guard let octets else { return }
            guard octets.count > seen else { return end(.failed("closed by the peer")) }
            seen = octets.count
            if let result = try decide(octets) { end(result) }
        } catch {
            end(.failed("\(error)"))
        }
    }

    private static func peek(
        _ stream: borrowing OwnedDescriptor
    ) throws(SystemError) -> [UInt8]? {
        var octets = [UInt8](repeating: 0, count: maximumLength)
        var failure: SystemError?
        let count = octets.withUnsafeMutableBytes { room -> Int? in
            do throws(SystemError) {
                return try Socket.peek(stream, into: room)
            } catch {
                failure = error
                return nil
            }
        }
        if let failure { throw failure }
        return count.map { Array(octets.prefix($0)) }
    }

    private func decide(_ octets: [UInt8]) throws(SystemError) -> Result? {
        guard octets.count >= ForwarderGreeting.length else { return nil }
        switch ForwarderGreeting(octets.span.bytes) {
        case nil: return .failed("the peer speaks none of the protocols")
        case .handshake: return .multiplexer(hasHandshake: true)
        case .multiplexer: return .multiplexer(hasHandshake: false)
        case .destination:
            do {
                guard let found = try ForwarderDestination.read(octets.span.bytes) else {
                    return nil
                }
                try skip(found.length)
                return .destination(found.destination)
            } catch {
                return .failed("\(error)")
            }
        }
    }

    private func skip(_ count: Int) throws(SystemError) {
        _ = try withStream { stream throws(SystemError) in
            try Socket.receive(stream, upTo: count)
        }
    }

    private func withStream<Value>(
        _ body: (borrowing OwnedDescriptor) throws(SystemError) -> Value
    ) throws(SystemError) -> Value {
        switch stream {
        case .some(let stream): return try body(stream)
        case .none: preconditionFailure("a stream that was given away is used")
        }
    }

    private func end(_ result: Result) {
        guard let decided else { return }
        self.decided = nil
        if let watch { loop.forget(watch) }
        watch = nil
        decided(self, result)
    }
}
