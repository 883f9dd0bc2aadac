/// One client's stream of queries (RFC 7766): pipelined, and answered in the order of the answers'
/// arrival.
///
/// Reading pauses for a client that sends faster than it reads, until the client has caught up. A
/// client that sends nothing, or reads no answers, for the idle time is disconnected, unless it is
/// waiting for answers. A client that has closed its sending side still receives the answers to its
/// queries.
final class DNSConnection {
    /// Limits on the resources of one connection.
    struct Limits {
        /// Queries that wait for answers.
        var queries = 16
        /// Bytes of answers that the client has not read; above this limit, reading pauses.
        var unsent = 65_536
        /// RFC 7766, 6.2.3 recommends a few seconds.
        var idle = Duration.seconds(10)
    }

    private let descriptor: OwnedDescriptor
    private let loop: EventLoop
    private let limits: Limits
    private unowned let service: DNSService
    private let peer: Endpoint?
    private var buffer = DNSStreamBuffer(limit: DNSQuery.maximumLength)
    private var watch: EventLoop.Watch?
    private var timer: TimerWheel.Token?
    private var lastActivity: Instant
    private var outstanding = 0
    private var inputEnded = false
    private var isWorking = false

    /// Starts serving a stream.
    ///
    /// - Parameters:
    ///   - descriptor: A connected, non-blocking stream.
    ///   - peer: The client's address.
    ///   - loop: Watches the stream until the connection ends.
    ///   - service: Answers the queries; outlives the connection.
    ///   - limits: The limits of this connection.
    /// - Throws: `SystemError` when the loop cannot watch another descriptor.
    init(
        _ descriptor: consuming OwnedDescriptor,
        from peer: Endpoint?,
        loop: EventLoop,
        service: DNSService,
        limits: Limits
    ) throws(SystemError) {
        self.descriptor = descriptor
        self.peer = peer
        self.loop = loop
        self.service = service
        self.limits = limits
        lastActivity = loop.now
        watch = try loop.watch(self.descriptor.number, for: .readable, observer: self)
        timer = loop.schedule(lastActivity + limits.idle, observer: self)
    }

    /// Whether closing the connection would lose no answer.
    var isIdle: Bool { outstanding == 0 && buffer.unsent == 0 }

    /// Closes the connection and drops outstanding answers.
    func close() {
        guard let watch else { return }
        loop.forget(watch)
        self.watch = nil
        if let timer { loop.cancel(timer) }
        timer = nil
        service.connectionClosed(self)
    }

    private var takesMore: Bool {
        outstanding < limits.queries && buffer.unsent < limits.unsent
    }

    /// Answers the queries that have arrived, up to the limits, and writes the available answers.
    private func work() {
        guard watch != nil, !isWorking else { return }
        isWorking = true
        defer { isWorking = false }
        repeat {
            while takesMore, let message = buffer.nextMessage() { take(message) }
            do {
                try buffer.flush(to: descriptor)
            } catch {
                return close()
            }
        } while takesMore && buffer.hasMessage
        if buffer.isOverlong { return close() }
        settle()
    }

    private func take(_ message: [UInt8]) {
        outstanding += 1
        let isAnswered = service.receive(message, from: peer) { [weak self] answer in
            self?.deliver(answer)
        }
        if !isAnswered { outstanding -= 1 }
    }

    private func deliver(_ answer: [UInt8]) {
        guard watch != nil else { return }
        outstanding -= 1
        lastActivity = loop.now
        buffer.queue(answer)
        work()
    }

    /// Watches for the next event, or closes the connection when none can follow.
    private func settle() {
        if inputEnded, isIdle { return close() }
        guard let watch else { return }
        var interest: Readiness = []
        if takesMore, !inputEnded { interest.insert(.readable) }
        if buffer.unsent > 0 { interest.insert(.writable) }
        loop.change(watch, to: interest)
    }
}

extension DNSConnection: ReadinessObserver {
    func descriptorReady(_ readiness: Readiness, now: Instant) {
        // Both directions are closed, so nobody would read an answer.
        guard readiness.isDisjoint(with: [.failed, .hungUp]) else { return close() }
        if readiness.contains(.readable) {
            do {
                switch try buffer.fill(from: descriptor, through: service.buffer) {
                case .octets: lastActivity = now
                case .nothing: break
                case .end: inputEnded = true
                }
            } catch {
                return close()
            }
        }
        if readiness.contains(.writable) { lastActivity = now }
        work()
    }
}

extension DNSConnection: TimerObserver {
    func timerFired(now: Instant) {
        timer = nil
        // Outstanding queries have their own time limit, and their answers count as activity.
        let isWaiting = outstanding > 0 && buffer.unsent == 0
        if !isWaiting, now - lastActivity >= limits.idle { return close() }
        let next = isWaiting ? now : lastActivity
        timer = loop.schedule(next + limits.idle, observer: self)
    }
}
