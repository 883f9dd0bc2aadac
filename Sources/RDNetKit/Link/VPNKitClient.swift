/// One connection at VPNKit's socket until it carries frames: the greeting (`VPNKitGreeting`), and its deadline.
///
/// Reads exactly what belongs to the greeting, so that a frame right behind it is still in the socket when the link begins.
final class VPNKitClient: ReadinessObserver, TimerObserver {
    /// How long a client may take for all it has to say.
    static let patience: Duration = .seconds(10)

    /// How a greeting ends: one of the two is called once, and never from the initialiser.
    struct Outcome {
        /// Takes the connection, which carries frames from here on.
        var greeted: (VPNKitClient, consuming OwnedDescriptor) -> Void
        /// Is told why there is none.
        var failed: (VPNKitClient, String) -> Void
    }

    private enum State {
        case awaitingHello
        case awaitingCommand
    }

    private let loop: EventLoop
    private let terms: LinkTerms
    private let outcome: Outcome
    private var descriptor: OwnedDescriptor?
    private var state = State.awaitingHello
    private var received: [UInt8] = []
    private var watch: EventLoop.Watch?
    private var deadline: TimerWheel.Token?

    /// Begins to listen to a client.
    ///
    /// - Parameters:
    ///   - descriptor: Connected; nothing was read from it.
    ///   - terms: What the client is told.
    ///   - loop: Where everything runs.
    ///   - outcome: Is told how it ended.
    /// - Throws: `SystemError` when the kernel takes no more watches.
    init(
        _ descriptor: consuming OwnedDescriptor,
        _ terms: LinkTerms,
        loop: EventLoop,
        outcome: Outcome
    ) throws(SystemError) {
        let number = descriptor.number
        self.descriptor = .some(consume descriptor)
        self.terms = terms
        self.loop = loop
        self.outcome = outcome
        watch = try loop.watch(number, for: .readable, observer: self)
        deadline = loop.schedule(loop.now + Self.patience, observer: self)
    }

    /// Ends without a word.
    func close() {
        _ = release()
    }

    func timerFired(now: Instant) {
        deadline = nil
        fail("it took longer than \(Self.patience) to greet")
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do throws(SystemError) {
            // At most two messages; then this has ended.
            while let octets = try receive() {
                guard !octets.isEmpty else { return fail("it closed before it had greeted") }
                received += octets
                if received.count == expected { try answer() }
            }
        } catch {
            fail("\(error)")
        }
    }

    private var expected: Int {
        switch state {
        case .awaitingHello: VPNKitGreeting.helloLength
        case .awaitingCommand: VPNKitGreeting.commandLength
        }
    }

    /// Reads what is there of the current message; nil when nothing is, or this has ended.
    private func receive() throws(SystemError) -> [UInt8]? {
        var octets = [UInt8](repeating: 0, count: expected - received.count)
        let outcome: Result<Int?, SystemError> = octets.withUnsafeMutableBytes { room in
            do throws(SystemError) {
                switch descriptor {
                case .some(let descriptor):
                    return .success(try Socket.receive(descriptor, into: room))
                case .none: return .success(nil)
                }
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get().map { Array(octets.prefix($0)) }
    }

    private func answer() throws(SystemError) {
        let message = received
        received = []
        switch state {
        case .awaitingHello:
            state = .awaitingCommand
            if try !send(message) { fail("it does not read") }
        case .awaitingCommand:
            var random = SystemRandomNumberGenerator()
            let mac =
                terms.machines[VPNKitGreeting.machine(in: message)] ?? .local(using: &random)
            guard try send(VPNKitGreeting.answer(mtu: terms.mtu, mac: mac)) else {
                return fail("it does not read")
            }
            if let stream = release() { outcome.greeted(self, stream) }
        }
    }

    /// Whether all was taken at once: an empty socket has room for the whole greeting.
    private func send(_ octets: [UInt8]) throws(SystemError) -> Bool {
        switch descriptor {
        case .some(let descriptor):
            try Socket.send(descriptor, octets, from: 0) == octets.count
        case .none: false
        }
    }

    private func fail(_ reason: String) {
        close()
        outcome.failed(self, reason)
    }

    private func release() -> OwnedDescriptor? {
        if let watch { loop.forget(watch) }
        watch = nil
        if let deadline { loop.cancel(deadline) }
        deadline = nil
        return descriptor.take()
    }
}
