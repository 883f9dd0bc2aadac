import Testing

@testable import RDNetKit

/// A listening link address on a manual clock, with every link that it opened.
final class LinkScene {
    let clock = HandMovedClock()
    let loop: EventLoop
    let directory = TemporaryDirectory()
    let recorder = FrameRecorder()
    let counters = ListenerCounters()
    /// Every link so far, in order.
    private(set) var links: [any FrameLink] = []
    /// Whether the scene refuses new links.
    var refuses = false
    private var listener: LinkListener?

    init() throws {
        let clock = clock
        loop = try EventLoop { clock.now }
    }

    deinit {
        close()
    }

    func close() {
        listener?.close()
        listener = nil
    }

    /// The socket's path.
    var path: String { directory.file("link") }

    func listen(at address: LinkAddress, mtu: Int = 1500) throws {
        let terms = LinkTerms(mtu: mtu, subnet: .standard, mac: .standardGateway)
        listener = try LinkListener(
            at: address,
            terms,
            loop: loop,
            log: .discarding(),
            counters: counters
        ) { [unowned self] link in
            links.append(link)
            return refuses ? nil : recorder
        }
    }

    func turn(_ count: Int = 5) throws {
        for _ in 0..<count { try loop.turn(waitingAtMost: .zero) }
    }

    /// Advances the clock and fires the timers that are due.
    func pass(_ time: Duration) throws {
        clock.advance(time)
        try turn()
    }

    /// Returns a frame whose payload bytes identify it.
    static func frame(_ number: Int, _ count: Int = 60) -> [UInt8] {
        let head = [UInt8](repeating: 0x11, count: 12) + [8, 0]
        return head + [UInt8](repeating: UInt8(number & 255), count: count - head.count)
    }

    /// Sends a frame to a guest.
    func send(_ frame: [UInt8], to link: any FrameLink) {
        frame.withUnsafeBytes { link.send(Frame($0), .control) }
        link.flush(now: loop.now)
    }
}

extension FrameLink {
    /// Queues full-sized frames until the queue is full; returns their number, at most `limit`.
    func fill(upTo limit: Int, now: Instant) -> Int {
        var count = 0
        while count < limit, reserve(1514, .bulk) != nil {
            commit(1514, .finished)
            flush(now: now)
            count += 1
        }
        return count
    }
}
