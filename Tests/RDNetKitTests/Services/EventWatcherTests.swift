import Testing

@testable import RDNetKit

@Suite("events for watchers")
struct EventWatcherTests {
    private let clock = HandMovedClock()
    private let loop: EventLoop
    private let feed = EventFeed()

    init() throws {
        let clock = clock
        loop = try EventLoop { clock.now }
    }

    private func watch(_ kinds: [EventKind]) throws -> HostPeer {
        let pair = try Socket.pair()
        try EventWatcher(
            try pair.one.duplicate(),
            kinds,
            of: feed,
            loop: loop,
            wallTime: { WallTime(seconds: 0, utcOffset: 0) }
        )
        return HostPeer(try pair.other.duplicate())
    }

    private func pass() throws {
        clock.advance(.milliseconds(2))
        for _ in 0..<3 { try loop.turn(waitingAtMost: .zero) }
    }

    @Test func `each watcher gets the kinds that it has chosen, and nobody else costs anything`()
        throws
    {
        var built = 0
        func tell(_ kind: EventKind) {
            func event() -> NetworkEvent {
                built += 1
                return .observed(kind, "x", [JSON.Member("a", .string("b"))])
            }
            feed.tell(event(), kind)
        }
        tell(.flow)
        #expect(built == 0)
        let (drops, all) = (try watch([.drop]), try watch(EventKind.allCases))
        #expect(feed.kinds.count == EventKind.allCases.count)
        tell(.flow)
        tell(.drop)
        try pass()
        let head = #"{"time":"1970-01-01T00:00:00Z","type":"#
        let lines = ["flow", "drop"].map { head + "\"\($0)\"" + #","event":"x","a":"b"}"# + "\n" }
        #expect(drops.text == lines[1])
        #expect(all.text == lines[0] + lines[1])
        #expect(built == 2)
    }

    @Test func `a watcher that does not read loses events and is told how many`() throws {
        let slow = try watch([.link])
        let event = NetworkEvent.observed(.link, String(repeating: "x", count: 1_000), [])
        let count = 2_000
        for _ in 0..<count {
            feed.tell(event, .link)
            try pass()
        }
        for _ in 0..<100 {
            slow.read()
            try pass()
        }
        let lines = slow.text.split(separator: "\n")
        let lost = try #require(lines.last)
        #expect(lost.contains(#""type":"events","event":"lost","count":"#))
        let number = lost.split(separator: ":").last?.dropLast() ?? ""
        #expect(lines.count - 1 + (Int(number) ?? 0) == count)
        #expect(lines.count < count)
    }

    @Test func `a watcher that has gone is forgotten`() throws {
        let pair = try Socket.pair()
        try EventWatcher(
            try pair.one.duplicate(),
            [.flow],
            of: feed,
            loop: loop,
            wallTime: { WallTime(seconds: 0, utcOffset: 0) }
        )
        var changes = 0
        feed.changed = { changes += 1 }
        Socket.shutDownBoth(pair.other)
        try pass()
        #expect(feed.kinds.isEmpty && changes == 1)
    }
}
