import Testing

@testable import RDNetKit

/// A limited link between a recorded one and a recorder, at 8 Mbit/s: a megabyte a second.
private final class LimitedScene {
    let clock = HandMovedClock()
    let loop: EventLoop
    let link = RecordingLink()
    let engine = FrameRecorder()
    let limited: LimitedLink
    let drops = Tally()

    /// Counts what a closure reports.
    final class Tally {
        var count = 0
    }

    init() throws {
        let clock = clock
        loop = try EventLoop(clock: { clock.now })
        let rate = LinkRate(fromGuest: 8_000_000, toGuest: 8_000_000)
        limited = LimitedLink(link, to: rate, for: engine, loop: loop) { [drops] in
            drops.count += 1
        }
        link.receiver = limited
    }

    /// Delivers a frame as the link does.
    func receive(_ length: Int) {
        [UInt8](repeating: 7, count: length).withUnsafeBytes {
            limited.receive(Frame($0), from: link, now: clock.now)
        }
    }

    /// Sends a frame; returns whether the link had room.
    func send(_ length: Int, _ priority: FramePriority) -> Bool {
        guard limited.reserve(length, priority) != nil else { return false }
        limited.commit(length, .finished)
        return true
    }

    /// Delivers a frame as soon as the link is read again.
    func receiveWhenRead(_ length: Int) throws {
        while !link.isReading { try advance(.milliseconds(1)) }
        receive(length)
    }

    func advance(_ duration: Duration) throws {
        clock.advance(duration)
        for _ in 0..<4 { try loop.turn(waitingAtMost: .zero) }
    }
}

@Suite("a link with a rate")
struct LimitedLinkTests {
    @Test func `bulk waits for credit and is told of it; control never waits`() throws {
        let scene = try LimitedScene()
        // 10 ms of credit, and 50 ms of debt.
        #expect(scene.send(60_000, .bulk))
        #expect(!scene.send(100, .bulk))
        #expect(scene.send(100, .control))
        try scene.advance(.milliseconds(49))
        #expect(scene.engine.roomAgain == 0)
        // The control frame has cost 0.1 ms, and the timer's resolution is 1 ms.
        try scene.advance(.milliseconds(3))
        #expect(scene.engine.roomAgain == 1)
        #expect(scene.send(1_500, .bulk))
        #expect(scene.link.sent.map(\.octets.count) == [60_000, 100, 1_500])
    }

    @Test func `datagrams may run into a larger debt, then they are refused`() throws {
        let scene = try LimitedScene()
        #expect(scene.send(60_000, .bulk))
        var count = 0
        while scene.send(1_000, .datagram), count < 10_000 { count += 1 }
        // A millisecond each: the credit of 10 ms and ten of the longest frames, less 60 ms.
        #expect((604...607).contains(count), "\(count)")
        try scene.advance(.seconds(1))
        // Nobody waits for room.
        #expect(scene.engine.roomAgain == 0)
        #expect(scene.send(1_000, .datagram))
    }

    @Test func `a room that the link itself refuses is told as before`() throws {
        let scene = try LimitedScene()
        scene.link.bulkLimit = 0
        #expect(!scene.send(100, .bulk))
        scene.limited.flush(now: scene.clock.now)
        #expect(scene.engine.roomAgain == 1)
    }

    @Test func `reading stops while the guest's frames are not paid for`() throws {
        let scene = try LimitedScene()
        scene.receive(9_000)
        #expect(scene.link.isReading)
        scene.receive(9_000)
        #expect(!scene.link.isReading && scene.engine.frames.count == 2)
        try scene.advance(.milliseconds(6))
        #expect(!scene.link.isReading)
        try scene.advance(.milliseconds(4))
        #expect(scene.link.isReading)
        #expect(scene.drops.count == 0)
    }

    @Test func `a queue that stays loses long frames, and no short ones`() throws {
        let scene = try LimitedScene()
        let count = 2_000
        for _ in 0..<count {
            // As from a full queue: each frame arrives as soon as it may.
            try scene.receiveWhenRead(1_500)
            try scene.receiveWhenRead(100)
        }
        #expect(scene.engine.frames.filter { $0.octets.count == 100 }.count == count)
        // 3.2 s at an interval of 655 ms: after 655, 1310, 1773, 2151, 2479, 2772 and 3039 ms.
        #expect((6...8).contains(scene.drops.count), "\(scene.drops.count)")
        #expect(scene.drops.count == 2 * count - scene.engine.frames.count)
    }

    @Test func `a guest that fills its link, but pauses, loses nothing`() throws {
        let scene = try LimitedScene()
        for _ in 0..<100 {
            for _ in 0..<10 { try scene.receiveWhenRead(1_500) }
            while !scene.link.isReading { try scene.advance(.milliseconds(1)) }
            try scene.advance(.milliseconds(5))
        }
        #expect(scene.drops.count == 0 && scene.engine.frames.count == 1_000)
    }

    @Test func `a link that cannot stop reading loses what is beyond the debt`() throws {
        let scene = try LimitedScene()
        for _ in 0..<1_000 { scene.receive(1_000) }
        // A millisecond each: the credit of 10 ms and ten of the longest frames.
        #expect((664...667).contains(scene.engine.frames.count))
        #expect(scene.drops.count == 1_000 - scene.engine.frames.count)
    }

    @Test func `after its end nothing runs any more`() throws {
        let scene = try LimitedScene()
        for _ in 0..<20 { scene.receive(1_500) }
        #expect(!scene.send(60_000, .bulk) || !scene.send(60_000, .bulk))
        scene.limited.close()
        scene.limited.closed(scene.link, reason: "test", now: scene.clock.now)
        try scene.advance(.seconds(10))
        #expect(scene.engine.closings == ["test"] && scene.engine.roomAgain == 0)
        #expect(!scene.link.isReading)
    }
}
