/// Tells a listener at a unix socket of events: a connection each, with one line of JSON.
///
/// How it works: an event is queued, and told in the loop's next turn, in the order of events. When
/// too many connections wait at the listener it is tried again after a while; what is too old by
/// then is given up, and so is what comes while `capacity` events wait. A listener that is not
/// there costs the event. Whatever happens, nothing here waits.
final class EventNotifier: TimerObserver {
    /// Events that wait at once.
    static let capacity = 100
    /// After which an event is no news.
    static let patience: Duration = .seconds(5)
    private static let retryInterval: Duration = .milliseconds(20)

    private struct Waiting {
        var event: NetworkEvent
        var deadline: Instant
    }

    private let path: String
    private let loop: EventLoop
    private let log: Logger
    private var queue: [Waiting] = []
    private var timer: TimerWheel.Token?
    /// Events that were given up since the last one that was told: one warning is enough.
    private var losses = 0

    /// Makes a notifier that has told nothing yet.
    ///
    /// - Parameters:
    ///   - path: Where somebody listens, at the time of each event.
    ///   - loop: Where everything runs.
    ///   - log: For events that nobody heard of.
    init(path: String, loop: EventLoop, log: Logger) {
        self.path = path
        self.loop = loop
        self.log = log
    }

    /// Queues an event.
    func tell(_ event: NetworkEvent) {
        guard queue.count < Self.capacity else {
            return lose("too many notifications wait: \(Self.capacity)")
        }
        queue.append(Waiting(event: event, deadline: loop.now + Self.patience))
        if timer == nil { timer = loop.schedule(loop.now, observer: self) }
    }

    /// Tells what can be told at once, and forgets the rest.
    func close() {
        deliver(now: loop.now)
        queue = []
        if let timer { loop.cancel(timer) }
        timer = nil
    }

    func timerFired(now: Instant) {
        timer = nil
        deliver(now: now)
        guard !queue.isEmpty else { return }
        timer = loop.schedule(now + Self.retryInterval, observer: self)
    }

    private func deliver(now: Instant) {
        while let next = queue.first {
            do {
                guard try Socket.deliver(next.event.line, to: path) else {
                    guard now >= next.deadline else { return }
                    lose("too many connections wait at \(path)")
                    queue.removeFirst()
                    continue
                }
                losses = 0
            } catch {
                lose("cannot dial notification socket: \(error)")
            }
            queue.removeFirst()
        }
    }

    private func lose(_ reason: String) {
        losses += 1
        if losses == 1 { log.warning("failed to send notification: \(reason)") }
    }
}
