/// One client's connection to an HTTP server.
final class HTTPConnection: ReadinessObserver, TimerObserver {
    private enum Phase {
        /// No octet of a request is here.
        case idle
        /// A request has begun.
        case reading
        /// Answers wait to be taken.
        case writing
        /// All is said; what the client still sends is thrown away, because closing a socket with
        /// unread octets resets it and may take the last answer with it.
        case draining
        case closed
    }

    private static let octetsPerRead = 16_384
    private static let requestsPerTurn = 32
    private static let mostUnsent = 65_536

    private let stream: OwnedDescriptor
    private let loop: EventLoop
    private let limits: HTTPServer.Limits
    private let held: HTTPHeldOctets
    private let answering: (HTTPRequest) -> HTTPResponse
    private let date: () -> Int64
    private let ended: (HTTPConnection) -> Void

    private var phase = Phase.idle
    private var reader = HTTPRequestReader()
    private var heldHere = 0
    private var unsent: [UInt8] = []
    private var sent = 0
    /// The client has ended its direction.
    private var inputEnded = false
    /// Nothing is answered after what is unsent.
    private var isLast = false
    /// Requests may be complete that were not answered yet.
    private var hasBacklog = false
    private var watch: EventLoop.Watch?
    private var watched: Readiness = .readable
    private var deadline: TimerWheel.Token?
    /// When the phase began.
    private(set) var since: Instant

    init(
        _ stream: consuming OwnedDescriptor,
        peer: Endpoint?,
        loop: EventLoop,
        limits: HTTPServer.Limits,
        held: HTTPHeldOctets,
        answering: @escaping (HTTPRequest) -> HTTPResponse,
        date: @escaping () -> Int64,
        ended: @escaping (HTTPConnection) -> Void
    ) {
        self.stream = stream
        self.loop = loop
        self.limits = limits
        self.held = held
        self.answering = answering
        self.date = date
        self.ended = ended
        since = loop.now
    }

    /// Whether it waits for a request.
    var isIdle: Bool { phase == .idle }

    /// Begins to wait for a request.
    ///
    /// - Returns: Whether the loop watches the connection; if not, it is over.
    func start() -> Bool {
        do {
            watch = try loop.watch(stream.number, for: watched, observer: self)
        } catch {
            return false
        }
        setDeadline(limits.idleTimeout)
        return true
    }

    /// Ends the connection at once.
    func close() {
        guard phase != .closed else { return }
        phase = .closed
        if let watch { loop.forget(watch) }
        if let deadline { loop.cancel(deadline) }
        held.count -= heldHere
        heldHere = 0
        // Resets nothing that a peer waits for: the socket itself closes with this object.
        ended(self)
    }

    func timerFired(now: Instant) {
        deadline = nil
        close()
    }

    // MARK: Reading

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if readiness.contains(.failed) { return close() }
        if phase == .draining { return drain() }
        if watched.contains(.readable) {
            guard read() else { return }
        }
        advance(now: now)
    }

    /// Reads once; false when the connection is over.
    private func read() -> Bool {
        withUnsafeTemporaryAllocation(byteCount: Self.octetsPerRead, alignment: 1) { buffer in
            do {
                guard let count = try Socket.receive(stream, into: buffer) else { return true }
                if count == 0 { inputEnded = true }
                reader.append(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                return true
            } catch {
                close()
                return false
            }
        }
    }

    private func drain() {
        let ended = withUnsafeTemporaryAllocation(
            byteCount: Self.octetsPerRead,
            alignment: 1
        ) { buffer in
            do {
                return try Socket.receive(stream, into: buffer) == 0
            } catch {
                return true
            }
        }
        if ended { close() }
    }

    // MARK: Answering

    private func advance(now: Instant) {
        guard flush() else { return }
        var answered = 0
        if unsent.isEmpty, !isLast {
            answered = answerRequests()
            accountHeld()
            guard flush() else { return }
        }
        settle(progress: answered > 0, now: now)
    }

    /// Answers what is complete, within a turn's bounds.
    ///
    /// - Returns: How many requests.
    private func answerRequests() -> Int {
        hasBacklog = false
        var answered = 0
        do {
            while !isLast {
                guard answered < Self.requestsPerTurn, unsent.count < Self.mostUnsent else {
                    hasBacklog = true
                    break
                }
                switch try reader.next() {
                case .needsMore:
                    isLast = inputEnded
                    return answered
                case .continueExpected:
                    unsent += Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
                case .request(let request):
                    answer(request)
                    answered += 1
                }
            }
        } catch {
            refuse(error)
        }
        return answered
    }

    private func answer(_ request: HTTPRequest) {
        let head = request.head
        isLast = !head.keepsAlive
        let delivery = HTTPResponse.Delivery(
            minorVersion: head.minorVersion,
            keepsAlive: head.keepsAlive,
            omitsBody: head.method == "HEAD",
            date: date()
        )
        answering(request).write(to: &unsent, delivery)
    }

    private func refuse(_ error: HTTPError) {
        isLast = true
        let delivery = HTTPResponse.Delivery(keepsAlive: false, date: date())
        HTTPResponse.refusal(error).write(to: &unsent, delivery)
    }

    private func accountHeld() {
        held.count += reader.heldOctets - heldHere
        heldHere = reader.heldOctets
        guard held.count > limits.heldOctets, !isLast else { return }
        reader = HTTPRequestReader()
        held.count -= heldHere
        heldHere = 0
        refuse(.overloaded)
    }

    // MARK: Writing

    /// Writes what the socket takes; false when the connection is over.
    private func flush() -> Bool {
        while sent < unsent.count {
            do {
                let count = try unsent.withUnsafeBytes { octets throws(SystemError) in
                    try Socket.send(stream, UnsafeRawBufferPointer(rebasing: octets[sent...]))
                }
                guard let count else { return true }
                sent += count
            } catch {
                close()
                return false
            }
        }
        unsent.removeAll(keepingCapacity: unsent.capacity <= Self.mostUnsent)
        sent = 0
        return true
    }

    // MARK: Phases

    private func settle(progress: Bool, now: Instant) {
        if !unsent.isEmpty {
            enter(.writing, limits.writeTimeout, watching: .writable, again: progress, now: now)
        } else if isLast {
            if inputEnded { return close() }
            Socket.shutDownSending(stream)
            enter(.draining, limits.drainTimeout, watching: .readable, again: false, now: now)
        } else if hasBacklog {
            // Writable at once: the rest is answered in the next turn, after everyone else.
            enter(.writing, limits.writeTimeout, watching: .writable, again: progress, now: now)
        } else if reader.isInsideRequest {
            enter(.reading, limits.readTimeout, watching: .readable, again: progress, now: now)
        } else {
            enter(.idle, limits.idleTimeout, watching: .readable, again: progress, now: now)
        }
    }

    private func enter(
        _ next: Phase,
        _ timeout: Duration,
        watching readiness: Readiness,
        again: Bool,
        now: Instant
    ) {
        if readiness != watched, let watch {
            loop.change(watch, to: readiness)
            watched = readiness
        }
        guard next != phase || again else { return }
        phase = next
        since = now
        setDeadline(timeout)
    }

    private func setDeadline(_ timeout: Duration) {
        if let deadline { loop.cancel(deadline) }
        deadline = loop.schedule(loop.now + timeout, observer: self)
    }
}
