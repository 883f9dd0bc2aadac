/// One client's connection to an HTTP server.
///
/// The connection peeks at its input and consumes a request only when it answers it. If a request
/// hands the connection over, the bytes after it are still in the socket, for the new owner.
final class HTTPConnection: ReadinessObserver, TimerObserver {
    private enum Phase {
        /// No byte of a request has arrived.
        case idle
        /// A request has started.
        case reading
        /// Answers wait to be sent.
        case writing
        /// All answers are sent, and further input is discarded. Closing a socket with unread bytes
        /// would reset it, and the client might lose the last answer.
        case draining
        case closed
    }

    private static let octetsPerRead = 16_384
    private static let requestsPerTurn = 32
    private static let maximumUnsent = 65_536

    /// Nil once the connection is handed over.
    private var stream: OwnedDescriptor?
    private let loop: EventLoop
    private let limits: HTTPServer.Limits
    private let held: HTTPHeldOctets
    private let deciding: (HTTPRequest) -> HTTPOutcome
    private let date: () -> Int64
    private let ended: (HTTPConnection) -> Void

    private var phase = Phase.idle
    private var reader = HTTPRequestReader()
    private var heldHere = 0
    private var unsent: [UInt8] = []
    private var sent = 0
    /// Whether the client has closed its sending side.
    private var inputEnded = false
    /// Whether no further request is answered.
    private var isLast = false
    /// Takes over the connection after everything is sent.
    private var newOwner: HTTPHandover?
    private var watch: EventLoop.Watch?
    private var watched: Readiness = .readable
    private var deadline: TimerWheel.Token?
    /// When the phase started.
    private(set) var since: Instant

    init(
        _ stream: consuming OwnedDescriptor,
        loop: EventLoop,
        limits: HTTPServer.Limits,
        held: HTTPHeldOctets,
        deciding: @escaping (HTTPRequest) -> HTTPOutcome,
        date: @escaping () -> Int64,
        ended: @escaping (HTTPConnection) -> Void
    ) {
        self.stream = .some(stream)
        self.loop = loop
        self.limits = limits
        self.held = held
        self.deciding = deciding
        self.date = date
        self.ended = ended
        since = loop.now
    }

    /// Whether the connection waits for a request.
    var isIdle: Bool { phase == .idle }

    /// Starts waiting for a request.
    ///
    /// - Returns: Whether the loop watches the connection; if not, the connection is over.
    func start() -> Bool {
        do {
            watch = try withStream { stream throws(SystemError) in
                try loop.watch(stream.number, for: watched, observer: self)
            }
        } catch {
            return false
        }
        setDeadline(limits.idleTimeout)
        return true
    }

    /// Closes the connection at once; the socket closes with this object, unless it was handed
    /// over.
    func close() {
        guard phase != .closed else { return }
        phase = .closed
        if let watch { loop.forget(watch) }
        if let deadline { loop.cancel(deadline) }
        held.count -= heldHere
        heldHere = 0
        ended(self)
    }

    private func handOver(to owner: HTTPHandover) {
        guard let stream = stream.take() else { return }
        close()
        owner(stream)
    }

    private func withStream<Result>(
        _ body: (borrowing OwnedDescriptor) throws(SystemError) -> Result
    ) throws(SystemError) -> Result {
        switch stream {
        case .some(let stream): return try body(stream)
        case .none: preconditionFailure("a connection that was handed over is used")
        }
    }

    func timerFired(now: Instant) {
        deadline = nil
        close()
    }

    // MARK: Reading

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if readiness.contains(.failed) { return close() }
        if phase == .draining { return drain() }
        guard flush() else { return }
        var answered = 0
        if watched.contains(.readable), unsent.isEmpty {
            guard let count = read(), flush() else { return }
            answered = count
        }
        guard stayWithinLimit() else { return }
        if unsent.isEmpty, let newOwner { return handOver(to: newOwner) }
        settle(progress: answered > 0, now: now)
    }

    /// Peeks at the input, answers complete requests, and consumes them from the socket.
    ///
    /// - Returns: The number of requests answered; nil if the connection is closed.
    private func read() -> Int? {
        withUnsafeTemporaryAllocation(byteCount: Self.octetsPerRead, alignment: 1) { buffer in
            do {
                let count = try withStream { stream throws(SystemError) in
                    try Socket.peek(stream, into: buffer)
                }
                guard let count else { return 0 }
                if count == 0 { inputEnded = true }
                reader.append(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                let (answered, rest) = answerRequests()
                // The rest is part of the bytes just peeked at, because earlier bytes completed no
                // request.
                try withStream { stream throws(SystemError) in
                    try Socket.skip(stream, count - rest, over: buffer)
                }
                return answered
            } catch {
                close()
                return nil
            }
        }
    }

    private func drain() {
        let ended = withUnsafeTemporaryAllocation(
            byteCount: Self.octetsPerRead,
            alignment: 1
        ) { buffer in
            do {
                return try withStream { stream throws(SystemError) in
                    try Socket.receive(stream, into: buffer) == 0
                }
            } catch {
                return true
            }
        }
        if ended { close() }
    }

    // MARK: Answering

    /// Answers complete requests, within a turn's limits.
    ///
    /// - Returns: The number of requests, and the number of bytes left for later or for a new
    ///   owner.
    private func answerRequests() -> (answered: Int, rest: Int) {
        var answered = 0
        do {
            while !isLast, answered < Self.requestsPerTurn, unsent.count < Self.maximumUnsent {
                switch try reader.next() {
                case .needsMore:
                    isLast = inputEnded
                    return (answered, 0)
                case .continueExpected:
                    unsent += Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
                case .message(let request):
                    answer(request)
                    answered += 1
                }
            }
            return (answered, reader.dropRest())
        } catch {
            refuse(error)
            return (answered, 0)
        }
    }

    private func answer(_ request: HTTPRequest) {
        let head = request.head
        switch deciding(request) {
        case .response(let response):
            isLast = !head.keepsAlive
            let delivery = HTTPResponse.Delivery(
                minorVersion: head.minorVersion,
                keepsAlive: head.keepsAlive,
                omitsBody: head.method == "HEAD",
                date: date()
            )
            response.write(to: &unsent, delivery)
        case .handover(let octets, let owner):
            isLast = true
            unsent += octets
            newOwner = owner
        }
    }

    private func refuse(_ error: HTTPError) {
        isLast = true
        let delivery = HTTPResponse.Delivery(keepsAlive: false, date: date())
        HTTPResponse.refusal(error).write(to: &unsent, delivery)
    }

    /// Enforces the limit on the bytes that all connections hold together.
    ///
    /// Refuses the request that exceeds the limit, or closes the connection if its answers do.
    ///
    /// - Returns: False if the connection is closed.
    private func stayWithinLimit() -> Bool {
        account()
        guard held.count > limits.heldOctets, heldHere > 0 else { return true }
        guard unsent.isEmpty, !isLast else {
            close()
            return false
        }
        reader = HTTPRequestReader()
        refuse(.overloaded)
        guard flush() else { return false }
        account()
        return true
    }

    private func account() {
        let count = reader.heldOctets + unsent.count - sent
        held.count += count - heldHere
        heldHere = count
    }

    // MARK: Writing

    /// Writes as much as the socket takes; returns false if the connection is closed.
    private func flush() -> Bool {
        while sent < unsent.count {
            do {
                let count = try withStream { stream throws(SystemError) in
                    try Socket.send(stream, unsent, from: sent)
                }
                guard let count else { return true }
                sent += count
            } catch {
                close()
                return false
            }
        }
        unsent.removeAll(keepingCapacity: unsent.capacity <= Self.maximumUnsent)
        sent = 0
        return true
    }

    // MARK: Phases

    private func settle(progress: Bool, now: Instant) {
        if !unsent.isEmpty {
            enter(.writing, limits.writeTimeout, watching: .writable, again: progress, now: now)
        } else if isLast {
            if inputEnded { return close() }
            endAnswers()
            enter(.draining, limits.drainTimeout, watching: .readable, again: false, now: now)
        } else if reader.isInsideMessage {
            enter(.reading, limits.readTimeout, watching: .readable, again: progress, now: now)
        } else {
            enter(.idle, limits.idleTimeout, watching: .readable, again: progress, now: now)
        }
    }

    private func endAnswers() {
        switch stream {
        case .some(let stream): Socket.shutDownSending(stream)
        case .none: break
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
