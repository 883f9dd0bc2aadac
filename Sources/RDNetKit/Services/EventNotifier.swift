/// Sends events to a listener at a unix socket: one connection per event, with one line of JSON.
///
/// How it works: The notifier queues each event and sends it in the loop's next turn, in order. If
/// the listener's backlog is full, the notifier retries after a pause; it drops an event that is
/// too old by then. It also drops new events while `capacity` events wait, and any event for which
/// no listener exists. No operation blocks.
final class EventNotifier: TimerObserver, EventObserver {
    /// Limit on waiting events.
    static let capacity = 100
    /// The maximum age of an event.
    static let patience: Duration = .seconds(5)
    private static let retryInterval: Duration = .milliseconds(20)

    private struct Waiting {
        var line: [UInt8]
        var deadline: Instant
    }

    let kinds: [EventKind] = [.link]
    private let path: String
    private let loop: EventLoop
    private let log: Logger
    private var queue: [Waiting] = []
    private var timer: TimerWheel.Token?
    /// Events dropped since the last successful one; only the first causes a warning.
    private var losses = 0

    /// Creates a notifier with an empty queue.
    ///
    /// - Parameters:
    ///   - path: The listener's socket, which is looked up for each event.
    ///   - loop: The event loop.
    ///   - log: Records dropped events.
    init(path: String, loop: EventLoop, log: Logger) {
        self.path = path
        self.loop = loop
        self.log = log
    }

    /// Queues an event, if gvproxy has it.
    func tell(_ event: NetworkEvent) {
        guard let line = event.notification else { return }
        guard queue.count < Self.capacity else {
            return lose("too many notifications wait: \(Self.capacity)")
        }
        queue.append(Waiting(line: line, deadline: loop.now + Self.patience))
        if timer == nil { timer = loop.schedule(loop.now, observer: self) }
    }

    /// Sends the events that can be sent at once, and drops the rest.
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
                guard try Socket.deliver(next.line, to: path) else {
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
