/// A client of the API that receives frames as they pass, in the pcapng format.
///
/// How it works: frames join the queue, each as a whole block, and the queue goes to the socket at
/// the end of each turn. The engine never waits for a client: while the queue is full, frames are
/// lost, and the next one that fits says how many. The description of a link precedes its first
/// frame, and the names of addresses come as guests learn them. A frame of a guest stays the latest
/// until it has been dealt with, so that the reason for which it was dropped becomes its comment.
final class CaptureStream: FrameTap, ReadinessObserver {
    /// Limit on the bytes that wait for a slow client.
    static let maximumQueued = 4 << 20

    private let stream: OwnedDescriptor
    private var wish: CaptureWish
    private let counters: CaptureCounters
    private let loop: EventLoop
    private let ended: (CaptureStream) -> Void
    private var watch: EventLoop.Watch?
    private var isBlocked = false
    private var queue: [UInt8] = []
    /// The bytes at the front of the queue that the client has.
    private var sent = 0
    private var lost: UInt64 = 0
    /// The interface of each link, by the link's number.
    private var interfaces: [Int: UInt32] = [:]
    /// The index of the latest frame of a guest in the queue; nil once it was dealt with.
    private var latest: Int?

    /// Starts a capture.
    ///
    /// - Parameters:
    ///   - stream: The client's connection; what it sends is ignored.
    ///   - wish: What to capture.
    ///   - start: The first blocks.
    ///   - counters: Counts lost frames.
    ///   - loop: Reports when the client reads or disconnects.
    ///   - ended: Called once, when the client disconnects or has what it wanted.
    /// - Throws: `SystemError` if the loop cannot watch the connection.
    init(
        _ stream: consuming OwnedDescriptor,
        _ wish: CaptureWish,
        start: [UInt8],
        counters: CaptureCounters,
        loop: EventLoop,
        ended: @escaping (CaptureStream) -> Void
    ) throws(SystemError) {
        self.stream = stream
        self.wish = wish
        self.counters = counters
        self.loop = loop
        self.ended = ended
        queue = start
        watch = try loop.watch(self.stream.number, for: .readable, observer: self)
        flush()
    }

    // MARK: Frames

    func record(
        _ frame: Frame,
        on link: any FrameLink,
        numbered number: Int,
        _ direction: CaptureBlocks.Direction
    ) {
        guard watch != nil, wish.wants(frame) else { return }
        guard queue.count - sent + frame.octets.count <= Self.maximumQueued else {
            lost &+= 1
            counters.lostFrames &+= 1
            return
        }
        let interface = interface(of: link, number)
        let start = queue.count
        CaptureBlocks.beginPacket(
            microseconds: WallClock.microseconds(),
            interface: interface,
            length: frame.octets.count,
            to: &queue
        )
        frame.appendFinished(to: &queue)
        CaptureBlocks.finishPacket(from: start, direction, lost: lost, in: &queue)
        lost = 0
        if direction == .fromGuest { latest = start }
        wish.took(frame)
    }

    private func interface(of link: any FrameLink, _ number: Int) -> UInt32 {
        if let known = interfaces[number] { return known }
        let interface = UInt32(truncatingIfNeeded: interfaces.count)
        interfaces[number] = interface
        queue += CaptureBlocks.interface(named: link.name)
        return interface
    }

    func dropped(_ reason: DropReason) {
        guard let latest else { return }
        let comment = "dropped by rdnet: \(reason.rawValue)"
        CaptureBlocks.add(comment: comment, toPacketAt: latest, in: &queue)
        finished()
    }

    func finished() {
        latest = nil
    }

    /// Adds the name of an address.
    func learned(_ address: IPAddress, _ name: String) {
        guard watch != nil, queue.count - sent < Self.maximumQueued else { return }
        queue += CaptureBlocks.names([(address, name)])
    }

    // MARK: The client

    func flush() {
        guard let watch, !isBlocked else { return }
        guard !queue.isEmpty else {
            if wish.isMet { close() }
            return
        }
        latest = nil
        do {
            while sent < queue.count, let count = try Socket.send(stream, queue, from: sent) {
                sent += count
            }
        } catch {
            return close()
        }
        // Moving the rest costs little for each byte that was sent before it.
        if sent >= queue.count - sent {
            queue.removeFirst(sent)
            sent = 0
        }
        if queue.isEmpty {
            if wish.isMet { close() }
        } else {
            isBlocked = true
            loop.change(watch, to: [.readable, .writable])
        }
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if !readiness.isDisjoint(with: [.readable, .failed]),
            Socket.hasEndedIgnoringInput(stream)
        {
            return close()
        }
        guard isBlocked, readiness.contains(.writable), let watch else { return }
        isBlocked = false
        loop.change(watch, to: .readable)
        flush()
    }

    /// Ends the capture, and the connection.
    func close() {
        guard let watch else { return }
        self.watch = nil
        loop.forget(watch)
        Socket.shutDownBoth(stream)
        ended(self)
    }
}
