import Foundation
import Testing

@testable import RDNetKit

@Suite("link over packets")
struct PacketLinkTests {
    private let scene: LinkScene

    init() throws {
        scene = try LinkScene()
        try scene.listen(at: .packets(scene.path))
    }

    private func connect() throws -> PacketPeer {
        let peer = try PacketPeer(packetsAt: scene.path)
        try scene.turn()
        return peer
    }

    @Test func `a packet is a frame, both ways`() throws {
        let peer = try connect()
        let frames = [14, 60, 1514, 9014, 65_535].map { LinkScene.frame($0, $0) }
        for frame in frames {
            #expect(try peer.send(frame))
            try scene.turn()
        }
        expectFrames(scene.recorder.frames.map { $0.octets }, equal: frames)
        #expect(scene.recorder.frames.allSatisfy { $0.header == .finished })
        let link = try #require(scene.links.first)
        for frame in frames { scene.send(frame, to: link) }
        expectFrames(try peer.receiveAll(), equal: frames)
    }

    @Test func `a hundred frames in one turn arrive in order`() throws {
        let peer = try connect()
        for number in 0..<100 { #expect(try peer.send(LinkScene.frame(number))) }
        try scene.turn()
        expectFrames(
            scene.recorder.frames.map { $0.octets },
            equal: (0..<100).map { LinkScene.frame($0) }
        )
        let link = try #require(scene.links.first)
        for number in 0..<100 {
            LinkScene.frame(number).withUnsafeBytes { link.send(Frame($0), .control) }
        }
        link.flush(now: scene.loop.now)
        #expect(try peer.receiveAll() == (0..<100).map { LinkScene.frame($0) })
    }

    @Test(
        "runts, empty and oversized packets are counted, and the next frame arrives",
        arguments: [0, 1, 13, 65_550, 69_000]
    )
    func malformed(length: Int) throws {
        let peer = try connect()
        try peer.send([UInt8](repeating: 1, count: length))
        try peer.send(LinkScene.frame(7))
        try scene.turn()
        #expect(scene.recorder.frames.map { $0.octets } == [LinkScene.frame(7)])
        #expect(scene.links.first?.counters.malformed == 1)
        #expect(scene.recorder.closings.isEmpty)
    }

    @Test("the end is told once, and the next guest is taken", arguments: [false, true])
    func endAndNext(onlySending: Bool) throws {
        do {
            let peer = try connect()
            try peer.send(LinkScene.frame(1))
            if onlySending { peer.endSending() }
            try scene.turn()
        }
        try scene.turn()
        #expect(scene.recorder.frames.count == 1)
        #expect(scene.recorder.closings.count == 1)
        #expect(scene.links.first?.isClosed == true)
        let next = try connect()
        try next.send(LinkScene.frame(2))
        try scene.turn()
        #expect(scene.links.count == 2)
        #expect(scene.recorder.frames.count == 2)
    }

    @Test func `guests are links of their own`() throws {
        let peers = [try connect(), try connect()]
        scene.send(LinkScene.frame(1), to: scene.links[0])
        scene.send(LinkScene.frame(2), to: scene.links[1])
        #expect(
            try peers.map { try $0.receiveAll() } == [[LinkScene.frame(1)], [LinkScene.frame(2)]]
        )
    }

    @Test func `a peer that stops reading fills a bounded queue; nothing is lost when it reads on`()
        throws
    {
        let peer = try connect()
        let link = try #require(scene.links.first)
        let count = link.fill(upTo: 100_000, now: scene.loop.now)
        #expect(count > 300 && count < 100_000)
        #expect(link.reserve(60, .control) != nil)
        var received = 0
        for _ in 0..<10_000 where received < count {
            received += try peer.receiveAll().count
            try scene.turn(1)
        }
        #expect(received == count)
        #expect(scene.recorder.roomAgain == 1)
        #expect(!link.isClosed && link.counters.dropped == 0)
    }

    @Test func `a segment that is larger than a packet is cut`() throws {
        let peer = try connect()
        let link = try #require(scene.links.first)
        let frame = SuperFrame.tcp(payload: (0..<5_000).map { UInt8($0 & 255) })
        let header = SuperFrame.tcpHeader(segmentSize: 1_448)
        frame.withUnsafeBytes { link.send(Frame($0, header), .bulk) }
        link.flush(now: scene.loop.now)
        let packets = try peer.receiveAll()
        #expect(packets.map(\.count) == [1_502, 1_502, 1_502, 710])
        #expect(packets.flatMap { $0[54...] } == Array(frame[54...]))
        #expect(link.counters.framesSent == 4)
    }

    @Test func `a listener that is closed leaves no file, and its links live on`() throws {
        let peer = try connect()
        scene.close()
        #expect(!FileManager.default.fileExists(atPath: scene.path))
        try peer.send(LinkScene.frame(3))
        try scene.turn()
        #expect(scene.recorder.frames.count == 1)
    }
}
