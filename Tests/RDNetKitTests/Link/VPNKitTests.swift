import Glibc
import Testing

@testable import RDNetKit

@Suite("VPNKit's greeting")
struct VPNKitTests {
    private let scene: LinkScene
    private static let hello: [UInt8] =
        Array("VMN3T".utf8) + [22, 0, 0, 0]  // magic, version
        + Array("0123456789012345678901234567890123456789".utf8)  // commit
    private static let usual = "C3D68012-0208-11EA-9FD7-F2189899AB08"

    init() throws {
        scene = try LinkScene()
        try scene.listen(at: .stream(.unix(scene.path), .vpnkit), mtu: 1_500)
    }

    private func connect() throws -> HostPeer {
        let socket = try Socket.makeUnix()
        #expect(try Socket.connect(socket, to: #require(SocketAddress(path: scene.path))))
        try scene.turn()
        return HostPeer(socket)
    }

    private func command(_ machine: String) -> [UInt8] {
        [1] + Array(machine.utf8) + [0, 0, 0, 0]
    }

    @Test func `is answered to the octet, and frames follow`() throws {
        let peer = try connect()
        try peer.write(Self.hello)
        try scene.turn()
        peer.read()
        #expect(peer.received == Self.hello)
        try peer.write(command(Self.usual))
        try scene.turn()
        peer.read()
        let answer: [UInt8] = [1, 0xdc, 5, 0xea, 5, 0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee]
        #expect(peer.received.count == 49 + 258)
        expectBytes(peer.received[49...], equals: answer + [UInt8](repeating: 0, count: 247))
        #expect(scene.links.count == 1)
        try peer.write([60, 0] + LinkScene.frame(1))
        try scene.turn()
        #expect(scene.recorder.frames.map { $0.octets } == [LinkScene.frame(1)])
        scene.send(LinkScene.frame(2), to: scene.links[0])
        peer.read()
        expectBytes(peer.received[307...], equals: [60, 0] + LinkScene.frame(2))
    }

    @Test func `another machine gets a local address of its own each time`() throws {
        let addresses = try (0..<2).map { _ in
            let peer = try connect()
            try peer.write(Self.hello + command("00000000-0000-0000-0000-000000000000"))
            try scene.turn()
            peer.read()
            return Array(peer.received[54..<60])
        }
        #expect(addresses.allSatisfy { $0[0] & 3 == 2 })
        #expect(addresses[0] != addresses[1])
    }

    @Test("may come in any pieces, with frames right behind it", arguments: [UInt64](1...8))
    func pieces(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let peer = try connect()
        var octets = (Self.hello + command(Self.usual) + [60, 0] + LinkScene.frame(1))[...]
        while !octets.isEmpty {
            let count = min(octets.count, Int.random(in: 1...60, using: &random))
            try peer.write(octets.prefix(count))
            octets = octets.dropFirst(count)
            if Bool.random(using: &random) { try scene.turn() }
        }
        try scene.turn()
        #expect(scene.recorder.frames.map { $0.octets } == [LinkScene.frame(1)])
    }

    @Test func `is not looked at, but for the machine's name`() throws {
        let peer = try connect()
        try peer.write([UInt8](repeating: 0xff, count: 90))
        try scene.turn()
        #expect(scene.links.count == 1)
        // The link finds only garbage after that: a frame of 65535 bytes that never ends.
        try peer.write([UInt8](repeating: 0xff, count: 90))
        try scene.turn()
        #expect(scene.recorder.frames.isEmpty)
    }

    @Test("that stays away for ten seconds ends the connection", arguments: [0, 48, 49, 89])
    func slow(length: Int) throws {
        let peer = try connect()
        try peer.write((Self.hello + command(Self.usual)).prefix(length))
        try scene.pass(.milliseconds(9_900))
        peer.read()
        #expect(!peer.hasEnded)
        try scene.pass(.milliseconds(200))
        #expect(peer.readsEnd())
        #expect(scene.links.isEmpty)
    }

    @Test("that is broken off leaves nothing", arguments: [0, 20, 49, 70])
    func brokenOff(length: Int) throws {
        let peer = try connect()
        try peer.write((Self.hello + command(Self.usual)).prefix(length))
        peer.close()
        try scene.turn()
        #expect(scene.links.isEmpty)
        let next = try connect()
        try next.write(Self.hello + command(Self.usual))
        try scene.turn()
        #expect(scene.links.count == 1)
    }

    @Test func `of more than 64 at once the rest is turned away`() throws {
        let peers = try (0..<70).map { _ in try connect() }
        for peer in peers[64...] { #expect(peer.readsEnd()) }
        for peer in peers[..<64] { peer.read() }
        #expect(!peers[..<64].contains { $0.hasEnded })
        try peers[0].write(Self.hello + command(Self.usual))
        try scene.turn()
        #expect(scene.links.count == 1)
        let next = try connect()
        next.read()
        #expect(!next.hasEnded)
    }
}
