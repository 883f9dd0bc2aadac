import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "gvproxy's transports",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct GVProxyTransportTests {
    private static let length: [UInt8] = [0, 0, 0, 42]

    /// Queries the gateway with QEMU's length prefix; the answer must follow `count` bytes.
    private func exchange(
        _ peer: HostPeer,
        _ question: [UInt8] = ARPQuestion.frame,
        after count: Int = 0,
        in scene: GVProxyScene
    ) throws {
        try peer.write(Self.length + question)
        let answer = try scene.read(peer, count + 64)[count...]
        #expect(Array(answer.prefix(4)) == [0, 0, 0, 60])
        ARPQuestion.expectAnswer(Array(answer.dropFirst(4)), to: question)
    }

    /// Queries the gateway with a two-byte prefix; the answer must follow `count` bytes.
    private func exchangeShort(
        _ peer: HostPeer,
        after count: Int = 0,
        in scene: GVProxyScene
    ) throws {
        try peer.write(ARPQuestion.framed)
        let answer = try scene.read(peer, count + 62)[count...]
        #expect(Array(answer.prefix(2)) == [60, 0])
        ARPQuestion.expectAnswer(Array(answer.dropFirst(2)))
    }

    @Test func `QEMU: a length of four octets, and the program ends with its machine`() throws {
        let scene = try GVProxyScene()
        try scene.start(
            "-listen",
            "unix://@/network.sock",
            "-listen-qemu",
            "unix://@/qemu.sock",
            "-pid-file",
            "@/pid"
        )
        let number = try #require(scene.program?.number)
        #expect(scene.text("pid") == "\(number)")
        let peer = try scene.connect("qemu.sock")
        try exchange(peer, in: scene)
        #expect(try scene.files() == ["network.sock", "pid", "qemu.sock"])
        peer.close()
        #expect(try scene.waitForEnd() == 0)
        #expect(try scene.files().isEmpty)
        #expect(scene.log.contains("level=info msg=\"gvproxy exiting: cannot receive packets from"))
    }

    @Test func `QEMU over TCP`() throws {
        let scene = try GVProxyScene()
        try scene.start("-listen-qemu", "tcp://localhost:1234")
        let endpoint = Endpoint(address: .loopbackIPv4, port: 1_234)
        let socket = try scene.host.enter {
            try WaitingSocket.connected(to: endpoint, .stream, within: hangGuard)
        }
        let peer = HostPeer(try socket.descriptor.duplicate())
        try exchange(peer, in: scene)
    }

    @Test func `of several machines the last one's end is the program's`() throws {
        let scene = try GVProxyScene()
        try scene.start("-listen-qemu", "unix://@/qemu.sock", "-listen-vfkit", "unixgram://@/vfkit")
        let (first, second) = (try scene.connect("qemu.sock"), try scene.connect("qemu.sock"))
        try exchange(first, in: scene)
        first.close()
        // The second guest has the first one's MAC address, which is free at once. The first
        // guest's query also reached the second.
        try exchange(second, after: 46, in: scene)
        let third = try scene.connect("qemu.sock")
        try exchange(third, ARPQuestion.other, in: scene)
        #expect(scene.program?.isRunning == true)
        second.close()
        third.close()
        #expect(try scene.waitForEnd() == 0)
        #expect(try scene.files().isEmpty)
    }

    @Test func `User Mode Linux: a packet a frame`() throws {
        let scene = try GVProxyScene()
        try scene.start("-listen-bess", "unixpacket://@/bess.sock")
        let peer = try PacketPeer(packetsAt: scene.directory.file("bess.sock"))
        try peer.send(ARPQuestion.frame)
        ARPQuestion.expectAnswer(try scene.read(peer))
        peer.endSending()
        #expect(try scene.waitForEnd() == 0)
        #expect(try scene.files().isEmpty)
    }

    @Test("vfkit: a datagram a frame, with and without the old greeting", arguments: [true, false])
    func datagrams(greets: Bool) throws {
        let scene = try GVProxyScene()
        try scene.start(
            "-listen",
            "unix://@/network.sock",
            "-listen-vfkit",
            "unixgram://@/vfkit.sock"
        )
        let (path, own) = (scene.directory.file("vfkit.sock"), scene.directory.file("machine"))
        var peer: PacketPeer? = try PacketPeer(datagramsAt: path, from: own)
        if greets { try peer?.send(Array("VFKT".utf8)) }
        try peer?.send(ARPQuestion.frame)
        ARPQuestion.expectAnswer(try scene.read(#require(peer)))
        peer = nil
        try FileManager.default.removeItem(atPath: own)
        // Only a frame to the machine reveals that it no longer exists.
        let client = try scene.connect("network.sock")
        try client.write("POST /tunnel?ip=192.168.127.2&port=22 HTTP/1.1\r\nHost: x\r\n\r\n".utf8)
        #expect(try scene.read(client, 2) == Array("OK".utf8))
        #expect(try scene.waitForEnd() == 0)
        #expect(try scene.files().isEmpty)
    }

    @Test func `HyperKit: the greeting to the octet; machines come and go`() throws {
        let scene = try GVProxyScene()
        try scene.start("-listen-vpnkit", "unix://@/vpnkit.sock", "-mtu", "4000")
        let hello = Array("VMN3T".utf8) + [1, 0, 0, 0] + [UInt8](repeating: 0x30, count: 40)
        for _ in 0..<2 {
            let peer = try scene.connect("vpnkit.sock")
            try peer.write(hello)
            #expect(try scene.read(peer, 49) == hello)
            try peer.write([1] + Array("C3D68012-0208-11EA-9FD7-F2189899AB08".utf8) + [0, 0, 0, 0])
            let answer = try scene.read(peer, 49 + 258)[49...]
            // The MTU 4000, the maximum frame 4014, and the standard guest's MAC address.
            let start: [UInt8] = [1, 0xa0, 0x0f, 0xae, 0x0f, 0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee]
            expectBytes(answer, equals: start + [UInt8](repeating: 0, count: 247))
            try exchangeShort(peer, after: 49 + 258, in: scene)
            peer.close()
        }
        #expect(scene.program?.isRunning == true)
    }

    @Test func `the API's connect, beside QEMU's socket, comes and goes`() throws {
        let scene = try GVProxyScene()
        try scene.start(
            "-listen",
            "unix://@/network.sock",
            "-listen",
            "unix://@/second.sock",
            "-listen-qemu",
            "unix://@/qemu.sock"
        )
        for name in ["network.sock", "second.sock"] {
            let peer = try scene.connect(name)
            try peer.write(Array(ForwardedGuest.request.utf8))
            try exchangeShort(peer, in: scene)
            peer.close()
        }
        let machine = try scene.connect("qemu.sock")
        try exchange(machine, in: scene)
        #expect(scene.program?.isRunning == true)
    }

    @Test func `standard streams: nothing but frames, and their end is the program's`() throws {
        let directory = TemporaryDirectory()
        let (input, output, errors) = (Pipe(), Pipe(), Pipe())
        let process = Process()
        process.executableURL = URL(fileURLWithPath: BuiltProgram.rdnet)
        process.arguments = ["gvproxy", "-listen-stdio", "accept", "-ssh-port", "-1"]
        process.currentDirectoryURL = URL(fileURLWithPath: directory.path)
        process.standardInput = input
        process.standardOutput = output
        process.standardError = errors
        try process.start()
        try input.fileHandleForWriting.write(contentsOf: Data(ARPQuestion.framed))
        let answer = try #require(try output.fileHandleForReading.read(upToCount: 62))
        #expect(Array(answer.prefix(2)) == [60, 0])
        ARPQuestion.expectAnswer(Array(answer.dropFirst(2)))
        try input.fileHandleForWriting.close()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(try output.fileHandleForReading.readToEnd() ?? Data() == Data())
        let log = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(log.contains("gvproxy exiting: cannot receive packets from stdio://"))
    }
}
