import Foundation
import Testing

@testable import RDNetKit

@Suite("link over datagrams")
struct DatagramLinkTests {
    private let scene: LinkScene

    init() throws {
        scene = try LinkScene()
        // The listener's pause after a closed link begins at time zero; move the clock past it.
        scene.clock.advance(.seconds(10))
        try scene.listen(at: .datagrams(scene.path))
    }

    private func guest(_ name: String = "guest", isConnected: Bool = true) throws -> PacketPeer {
        try PacketPeer(
            datagramsAt: scene.path,
            from: scene.directory.file(name),
            isConnected: isConnected
        )
    }

    /// Creates a guest whose link is open.
    private func attachedGuest(_ name: String = "guest", isConnected: Bool = true) throws
        -> PacketPeer
    {
        let guest = try guest(name, isConnected: isConnected)
        try guest.send(Array("VFKT".utf8))
        try scene.turn()
        return guest
    }

    @Test("the first datagram makes the link: a greeting, or a frame", arguments: [false, true])
    func start(greets: Bool) throws {
        let guest = try guest()
        #expect(scene.links.isEmpty)
        if greets { try guest.send(Array("VFKT".utf8)) }
        try guest.send(LinkScene.frame(1))
        try scene.turn()
        #expect(scene.links.count == 1)
        #expect(scene.recorder.frames.map { $0.octets } == [LinkScene.frame(1)])
        #expect(scene.links.first?.counters.malformed == 0)
        scene.send(LinkScene.frame(2), to: scene.links[0])
        #expect(try guest.receiveAll() == [LinkScene.frame(2)])
    }

    @Test func `an older greeting is longer than a frame's header`() throws {
        let guest = try guest()
        try guest.send(Array("VFKT".utf8) + [UInt8](repeating: 0, count: 60))
        try scene.turn()
        #expect(scene.links.count == 1)
        #expect(scene.recorder.frames.isEmpty)
    }

    @Test(
        "runts, empty and oversized datagrams are counted, and the next frame arrives",
        arguments: [0, 1, 13, 65_550, 69_000]
    )
    func malformed(length: Int) throws {
        let guest = try attachedGuest()
        try guest.send([UInt8](repeating: 1, count: length))
        try guest.send(LinkScene.frame(7, 65_535))
        try scene.turn()
        expectFrames(scene.recorder.frames.map { $0.octets }, equal: [LinkScene.frame(7, 65_535)])
        #expect(scene.links.first?.counters.malformed == 1)
        #expect(scene.links.first?.isClosed == false)
    }

    @Test func `each sender is a link of its own, whose frames go to it alone`() throws {
        let guests = [try attachedGuest("one"), try attachedGuest("two")]
        #expect(scene.links.map(\.name).map { $0.hasSuffix("/one") } == [true, false])
        scene.send(LinkScene.frame(1), to: scene.links[0])
        scene.send(LinkScene.frame(2), to: scene.links[1])
        #expect(
            try guests.map { try $0.receiveAll() } == [[LinkScene.frame(1)], [LinkScene.frame(2)]]
        )
    }

    @Test func `a sender without a name is not answered, and harms no other`() throws {
        let nobody = try PacketPeer(datagramsAt: scene.path, from: nil)
        try nobody.send(LinkScene.frame(1))
        let guest = try attachedGuest()
        try guest.send(LinkScene.frame(2))
        try scene.turn()
        #expect(scene.links.count == 1)
        #expect(scene.recorder.frames.map { $0.octets } == [LinkScene.frame(2)])
        #expect(scene.counters.ignoredDatagrams == 1)
    }

    @Test(
        "a guest that goes away ends its link; one that comes back has a new one",
        arguments: [
            false, true,
        ]
    )
    func goneAndBack(leavesFile: Bool) throws {
        do {
            _ = try attachedGuest()
        }
        if !leavesFile { try FileManager.default.removeItem(atPath: scene.directory.file("guest")) }
        scene.send(LinkScene.frame(1), to: scene.links[0])
        #expect(scene.links[0].isClosed)
        #expect(scene.recorder.closings.count == 1)
        if leavesFile { try FileManager.default.removeItem(atPath: scene.directory.file("guest")) }
        let guest = try guest()
        try scene.pass(.milliseconds(100))
        try guest.send(LinkScene.frame(2))
        try scene.turn()
        #expect(scene.links.count == 2)
        scene.send(LinkScene.frame(3), to: scene.links[1])
        #expect(try guest.receiveAll() == [LinkScene.frame(3)])
    }

    @Test func `a sender that cannot be answered makes ten links a second, no more`() throws {
        let guest = try attachedGuest()
        try FileManager.default.removeItem(atPath: scene.directory.file("guest"))
        for _ in 0..<100 {
            if let link = scene.links.last { scene.send(LinkScene.frame(1), to: link) }
            try guest.send(LinkScene.frame(2))
            try scene.pass(.milliseconds(10))
        }
        #expect(scene.links.count > 5 && scene.links.count <= 11)
    }

    @Test func `refused guests are asked about ten times a second, no more`() throws {
        scene.refuses = true
        for index in 0..<100 {
            try guest("guest\(index)").send(LinkScene.frame(index))
            try scene.pass(.milliseconds(10))
        }
        #expect(scene.links.count > 5 && scene.links.count <= 11)
        #expect(scene.recorder.frames.isEmpty)
        #expect(scene.counters.ignoredDatagrams == 100)
    }

    @Test(
        "a peer that stops reading fills a bounded queue; nothing is lost when it soon reads on",
        arguments: [false, true]
    )
    func slowReader(isConnected: Bool) throws {
        let guest = try attachedGuest(isConnected: isConnected)
        let link = scene.links[0]
        let count = link.fill(upTo: 100_000, now: scene.loop.now)
        #expect(count > 300 && count < 100_000)
        var received = 0
        for _ in 0..<10_000 where received < count {
            received += try guest.receiveAll().count
            // The link offers the rest after 1 ms at the earliest.
            try scene.pass(.milliseconds(2))
        }
        #expect(received == count)
        #expect(scene.recorder.roomAgain == 1)
        #expect(!link.isClosed && link.counters.dropped == 0)
    }

    @Test("a peer that never reads loses frames, not its link", arguments: [false, true])
    func stalled(isConnected: Bool) throws {
        let guest = try attachedGuest(isConnected: isConnected)
        let link = scene.links[0]
        let first = link.fill(upTo: 100_000, now: scene.loop.now)
        for _ in 0..<200 { try scene.pass(.milliseconds(10)) }
        #expect(!link.isClosed)
        #expect(link.counters.dropped > 0)
        // The queue has room again, and it drains the same way.
        scene.send(LinkScene.frame(1), to: link)
        #expect(Int(link.counters.dropped) < first + 1)
        let kept = try guest.receiveAll().count
        #expect(kept + Int(link.counters.dropped) == first + 1)
        scene.send(LinkScene.frame(2), to: link)
        #expect(try guest.receiveAll() == [LinkScene.frame(2)])
    }

    @Test("an idle guest's link ends with its socket", arguments: [false, true])
    func idleGuestIsGone(removesFile: Bool) throws {
        var guest: PacketPeer? = try attachedGuest()
        let other = try attachedGuest("other")
        for _ in 0..<3 { try scene.pass(DatagramListener.probeInterval) }
        #expect(scene.links.map { $0.isClosed } == [false, false])
        guest = nil
        let file = scene.directory.file("guest")
        if removesFile { try FileManager.default.removeItem(atPath: file) }
        let isNoticed = try followsClose {
            try scene.pass(DatagramListener.probeInterval)
            return scene.links[0].isClosed
        }
        #expect(isNoticed && !scene.links[1].isClosed)
        #expect(scene.recorder.closings.count == 1)
        #expect(try other.receiveAll().isEmpty)
        _ = guest
    }

    @Test func `a socket that nobody listens at any more is replaced, another one is not`() throws {
        #expect(throws: SystemError.self) {
            try scene.listen(at: .datagrams(scene.path))
        }
        let stale = scene.directory.file("stale")
        do {
            _ = try PacketPeer(datagramsAt: scene.path, from: stale)
        }
        try scene.listen(at: .datagrams(stale))
        #expect(throws: SystemError.self) { try scene.listen(at: .packets(stale)) }
    }

    @Test(
        "a guest of a removed socket file keeps its link, and a new one finds the socket again",
        arguments: [true, false]
    )
    func removedFile(isConnected: Bool) throws {
        let guest = try attachedGuest("one", isConnected: isConnected)
        try FileManager.default.removeItem(atPath: scene.path)
        try scene.pass(SocketFileKeeper.interval)
        let other = try attachedGuest("two", isConnected: isConnected)
        for number in 1...3 {
            try guest.send(LinkScene.frame(number))
            try other.send(LinkScene.frame(10 + number))
            try scene.turn()
            scene.send(LinkScene.frame(20 + number), to: scene.links[0])
            scene.send(LinkScene.frame(30 + number), to: scene.links[1])
        }
        #expect(scene.links.count == 2)
        #expect(scene.recorder.frames.count == 6)
        #expect(try guest.receiveAll() == (21...23).map { LinkScene.frame($0) })
        #expect(try other.receiveAll() == (31...33).map { LinkScene.frame($0) })
        #expect(scene.recorder.closings.isEmpty)
    }
}
