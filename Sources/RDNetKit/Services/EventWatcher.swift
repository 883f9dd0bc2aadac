/// A client of the API that receives events: one line of JSON for each, until it disconnects.
///
/// How it works: an event joins the queue, and the queue goes to the socket once in a turn. The
/// engine never waits for a client: when the queue is full, later events are lost. Once the client
/// has read all that waited, a line says how many it has lost.
final class EventWatcher: EventObserver, ReadinessObserver, TimerObserver {
    /// Limit on the bytes that wait for a slow client.
    static let maximumQueued = 256 << 10

    let kinds: [EventKind]
    private let stream: OwnedDescriptor
    private let feed: EventFeed
    private let loop: EventLoop
    private let wallTime: () -> WallTime
    private var watch: EventLoop.Watch?
    private var isBlocked = false
    private var timer: TimerWheel.Token?
    private var queue: [UInt8] = []
    private var lost: UInt64 = 0

    /// Starts to watch; the feed keeps the object alive until the client disconnects.
    ///
    /// - Parameters:
    ///   - stream: The client's connection; what it sends is ignored.
    ///   - kinds: What it wants to know.
    ///   - feed: Where events come from.
    ///   - loop: Reports when the client reads or disconnects.
    ///   - wallTime: The time of day.
    /// - Throws: `SystemError` if the loop cannot watch the connection.
    @discardableResult
    init(
        _ stream: consuming OwnedDescriptor,
        _ kinds: [EventKind],
        of feed: EventFeed,
        loop: EventLoop,
        wallTime: @escaping () -> WallTime
    ) throws(SystemError) {
        self.stream = stream
        self.kinds = kinds
        self.feed = feed
        self.loop = loop
        self.wallTime = wallTime
        watch = try loop.watch(self.stream.number, for: .readable, observer: self)
        feed.join(self)
    }

    func tell(_ event: NetworkEvent) {
        guard watch != nil else { return }
        guard queue.count < Self.maximumQueued, lost == 0 else { return lost &+= 1 }
        queue += event.line(at: wallTime())
        if !isBlocked, timer == nil { timer = loop.schedule(loop.now, observer: self) }
    }

    func timerFired(now: Instant) {
        timer = nil
        flush()
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if !readiness.isDisjoint(with: [.readable, .failed]),
            Socket.hasEndedIgnoringInput(stream)
        {
            return leave()
        }
        flush()
    }

    func close() {
        if !isBlocked { flush() }
        end()
    }

    private func leave() {
        end()
        feed.leave(self)
    }

    private func end() {
        if let timer { loop.cancel(timer) }
        timer = nil
        guard let watch else { return }
        self.watch = nil
        Socket.shutDownBoth(stream)
        loop.forget(watch)
    }

    /// Writes as much as the socket takes.
    private func flush() {
        guard watch != nil, !queue.isEmpty else { return }
        do {
            var sent = 0
            while sent < queue.count, let count = try Socket.send(stream, queue, from: sent) {
                sent += count
            }
            queue.removeFirst(sent)
        } catch {
            return leave()
        }
        if queue.isEmpty, lost > 0 {
            queue += NetworkEvent.lost(lost).line(at: wallTime())
            lost = 0
        }
        wait(forRoom: !queue.isEmpty)
    }

    private func wait(forRoom: Bool) {
        guard forRoom != isBlocked, let watch else { return }
        isBlocked = forRoom
        loop.change(watch, to: forRoom ? [.readable, .writable] : .readable)
    }
}
