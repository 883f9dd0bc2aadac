/// A link between a guest's link and the engine that keeps the guest to a rate in each direction.
///
/// How it works: each direction has a token bucket. Towards the guest, the link refuses room for
/// bulk while the bucket is in debt, as a link with a full queue does; flows keep their data in the
/// host's sockets meanwhile, and nothing is lost. Datagrams are refused only beyond a larger debt,
/// and control frames are charged but never refused. From the guest, the link stops reading, so
/// frames wait in the guest. Its TCP would fill that queue until every ping takes seconds; so once
/// the queue has not been empty for a while, a frame is dropped, and further ones in shorter and
/// shorter intervals, until the guest slows down (the control law of CoDel, RFC 8289, 4.2, without
/// time stamps).
final class LimitedLink: FrameLink, FrameReceiver {
    /// Shorter frames are acknowledgments, pings and names: dropping them slows nobody down.
    private static let shortFrame = 200
    /// The queue was empty if nothing arrives so soon after reading has resumed.
    private static let nextFrame: Duration = .milliseconds(2)

    private let link: any FrameLink
    private let loop: EventLoop
    private let countDrop: () -> Void
    private weak var receiver: (any FrameReceiver)?
    private var fromGuest: RateBucket
    private var toGuest: RateBucket
    /// Runs while reading is stopped.
    private var pause: TimerWheel.Token?
    /// Runs while bulk waits for the bucket.
    private var wait: TimerWheel.Token?
    /// When reading resumed; nil if a frame has arrived since.
    private var resumed: Instant?
    private var queue: StandingQueue

    /// Creates a link that limits another one.
    ///
    /// - Parameters:
    ///   - link: Not started yet; start it for this link.
    ///   - rate: Of each direction.
    ///   - receiver: The engine; a weak reference.
    ///   - loop: The event loop.
    ///   - countDrop: Called for each frame of the guest that is dropped.
    init(
        _ link: any FrameLink,
        to rate: LinkRate,
        for receiver: any FrameReceiver,
        loop: EventLoop,
        countDrop: @escaping () -> Void
    ) {
        self.link = link
        self.receiver = receiver
        self.loop = loop
        self.countDrop = countDrop
        fromGuest = RateBucket(bitsPerSecond: rate.fromGuest, now: loop.now)
        toGuest = RateBucket(bitsPerSecond: rate.toGuest, now: loop.now)
        queue = StandingQueue(interval: fromGuest.patience)
    }

    var name: String { link.name }
    var format: StreamFormat? { link.format }
    var receivesOffloadHeaders: Bool { link.receivesOffloadHeaders }
    var isClosed: Bool { link.isClosed }
    var queuedOctets: Int { link.queuedOctets }
    var counters: LinkCounters {
        get { link.counters }
        set { link.counters = newValue }
    }

    /// The guest's link, or the link itself if it is one.
    static func inner(_ link: any FrameLink) -> any FrameLink {
        (link as? LimitedLink)?.link ?? link
    }

    // MARK: To the guest

    func reserve(_ count: Int, _ priority: FramePriority) -> UnsafeMutableRawBufferPointer? {
        let debt = priority == .control ? .zero : toGuest.debt(now: loop.now)
        guard debt <= (priority == .datagram ? toGuest.patience : .zero) else {
            if priority == .bulk { waitForCredit(debt) }
            return nil
        }
        return link.reserve(count, priority)
    }

    func commit(_ count: Int, _ header: VirtioNetHeader) {
        toGuest.charge(count)
        link.commit(count, header)
    }

    private func waitForCredit(_ debt: Duration) {
        guard wait == nil else { return }
        wait = loop.after(debt) { [weak self] now in
            guard let self else { return }
            wait = nil
            receiver?.hasRoom(self, now: now)
        }
    }

    func flush(now: Instant) { link.flush(now: now) }
    func verifyPeer(now: Instant) { link.verifyPeer(now: now) }
    func setReading(_ isReading: Bool) { link.setReading(isReading) }

    func close() {
        stopTimers()
        link.close()
    }

    private func stopTimers() {
        for token in [pause, wait].compactMap(\.self) { loop.cancel(token) }
        (pause, wait) = (nil, nil)
    }

    // MARK: From the guest

    func receive(_ frame: Frame, from link: any FrameLink, now: Instant) {
        if let resumed, now - resumed > Self.nextFrame { queue.ended() }
        resumed = nil
        let debt = fromGuest.debt(now: now)
        let isLong = frame.octets.count > Self.shortFrame
        guard debt <= fromGuest.patience, !(isLong && queue.drops(now: now)) else {
            return countDrop()
        }
        fromGuest.charge(frame.octets.count)
        receiver?.receive(frame, from: self, now: now)
        let rest = fromGuest.debt(now: now)
        guard rest > .zero, pause == nil, !isClosed else { return }
        queue.began(now: now)
        link.setReading(false)
        pause = loop.after(rest) { [weak self] now in
            guard let self else { return }
            (pause, resumed) = (nil, now)
            self.link.setReading(true)
        }
    }

    func batchEnded(on link: any FrameLink, now: Instant) {
        // Reading went on until nothing was left.
        if pause == nil { queue.ended() }
        receiver?.batchEnded(on: self, now: now)
    }

    func hasRoom(_ link: any FrameLink, now: Instant) {
        // Flows that wait for credit resume when its timer fires.
        if wait == nil { receiver?.hasRoom(self, now: now) }
    }

    func closed(_ link: any FrameLink, reason: String, now: Instant) {
        stopTimers()
        receiver?.closed(self, reason: reason, now: now)
    }
}

/// Decides which frames of a queue that does not become empty are dropped.
struct StandingQueue {
    private let interval: Duration
    /// The next drop; nil while the queue is empty now and then.
    private var next: Instant?
    private var drops = 0

    /// Creates an empty queue.
    ///
    /// - Parameter interval: How long it may stand before a frame is dropped.
    init(interval: Duration) {
        self.interval = interval
    }

    /// The queue has frames that wait.
    mutating func began(now: Instant) {
        if next == nil { next = now + interval }
    }

    /// The queue is empty.
    mutating func ended() {
        (next, drops) = (nil, 0)
    }

    /// Whether the frame that leaves the queue now is to be dropped.
    mutating func drops(now: Instant) -> Bool {
        guard let time = next, now >= time else { return false }
        drops += 1
        next = now + interval / Double(drops).squareRoot()
        return true
    }
}
