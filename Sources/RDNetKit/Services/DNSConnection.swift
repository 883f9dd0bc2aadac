/// One client's stream of queries (RFC 7766): pipelined, answered in the order in which answers
/// come.
///
/// A client that sends faster than it reads is not read any more until it has caught up; one that
/// is silent, or takes nothing, for the idle time is closed, unless it waits for answers. When the
/// client has closed its sending side, it still gets what it asked for.
final class DNSConnection {
    /// How much one connection may keep busy.
    struct Limits {
        /// Queries that wait for answers.
        var queries = 16
        /// Octets of answers that the client has not taken; beyond, nothing more is read.
        var unsent = 65_536
        /// RFC 7766, 6.2.3 asks for a few seconds.
        var idle = Duration.seconds(10)
    }

    private let descriptor: OwnedDescriptor
    private let loop: EventLoop
    private let limits: Limits
    private unowned let service: DNSService
    private var buffer = DNSStreamBuffer(limit: DNSQuery.maximumLength)
    private var watch: EventLoop.Watch?
    private var timer: TimerWheel.Token?
    private var lastActivity: Instant
    private var outstanding = 0
    private var inputEnded = false
    private var isWorking = false

    /// Starts to serve a stream.
    ///
    /// - Parameters:
    ///   - descriptor: A connected stream that does not block.
    ///   - loop: Watches it until the connection ends.
    ///   - service: Answers the queries, and outlives the connection.
    ///   - limits: Of this connection.
    /// - Throws: `SystemError` when the loop cannot watch one more.
    init(
        _ descriptor: consuming OwnedDescriptor,
        loop: EventLoop,
        service: DNSService,
        limits: Limits
    ) throws(SystemError) {
        self.descriptor = descriptor
        self.loop = loop
        self.service = service
        self.limits = limits
        lastActivity = loop.now
        watch = try loop.watch(self.descriptor.number, for: .readable, observer: self)
        timer = loop.schedule(lastActivity + limits.idle, observer: self)
    }

    /// Whether it could be closed without taking an answer away.
    var isIdle: Bool { outstanding == 0 && buffer.unsent == 0 }

    /// Ends the connection; answers that are still to come are dropped.
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

    /// Answers what has arrived, as far as the limits go, and writes what there is.
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
        let isAnswered = service.receive(message) { [weak self] answer in self?.deliver(answer) }
        if !isAnswered { outstanding -= 1 }
    }

    private func deliver(_ answer: [UInt8]) {
        guard watch != nil else { return }
        outstanding -= 1
        lastActivity = loop.now
        buffer.queue(answer)
        work()
    }

    /// Waits for what can happen next, or closes when nothing can.
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
        // Outstanding queries end by themselves, and their answers are activity.
        let isWaiting = outstanding > 0 && buffer.unsent == 0
        if !isWaiting, now - lastActivity >= limits.idle { return close() }
        let next = isWaiting ? now : lastActivity
        timer = loop.schedule(next + limits.idle, observer: self)
    }
}
