import Foundation
import Testing

@testable import RDNetKit

/// A virtual machine's handshake port on a unix socket, played byte by byte.
private final class ScriptedMachine {
    private let listening: OwnedDescriptor
    let path: String

    init(_ path: String) throws {
        self.path = path
        listening = try ListeningSocket.unix(path: path)
    }

    /// Accepts the next connection.
    func accept() throws -> HostPeer? {
        guard let accepted = try Socket.accept(listening) else { return nil }
        return HostPeer(try accepted.descriptor.duplicate())
    }

    deinit {
        _ = unlink(path)
    }
}

/// The host's end on unix sockets and a manual clock.
private final class HostScene {
    static let phrase = RancherProfile.current.signature

    let clock = HandMovedClock()
    let loop: EventLoop
    let directory = TemporaryDirectory()
    private(set) var host: HostHandshake?
    private(set) var streams: [HostPeer] = []
    private(set) var failures: [HandshakeFailure] = []

    init(_ machines: (TemporaryDirectory) -> [String] = { ["unix://" + $0.file("vm")] }) throws {
        let clock = clock
        loop = try EventLoop { clock.now }
        let configuration = HostHandshake.Configuration(
            machines: machines(directory).compactMap { VMAddress($0) },
            phrase: Array(Self.phrase.utf8),
            handshakePort: 6669,
            dataPort: 6656,
            searchLimit: nil
        )
        host = HostHandshake(
            configuration,
            loop: loop,
            log: .discarding(),
            connected: { [unowned self] stream, _ in streams.append(HostPeer(stream)) },
            failed: { [unowned self] failure in failures.append(failure) }
        )
        host?.start()
    }

    /// Advances the clock and handles whatever becomes due.
    func pass(_ duration: Duration) throws {
        clock.advance(duration + .milliseconds(2))
        try loop.settle()
    }

    func machine(_ name: String = "vm") throws -> ScriptedMachine {
        try ScriptedMachine(directory.file(name))
    }

    func waitsForStream(_ name: String = "vm") -> Bool {
        FileManager.default.fileExists(atPath: directory.file("\(name)_6656"))
    }

    /// Connects to the data port as a virtual machine does.
    func dial(_ name: String = "vm") throws -> HostPeer {
        let address = try #require(SocketAddress(path: directory.file("\(name)_6656")))
        let socket = try Socket.makeUnix()
        #expect(try Socket.connect(socket, to: address))
        try loop.settle()
        return HostPeer(socket)
    }

    /// Answers a waiting connection with the phrase; returns the host's reply.
    func answer(_ machine: ScriptedMachine) throws -> String {
        try pass(.zero)
        let call = try #require(try machine.accept())
        try call.write(Self.phrase.utf8)
        try loop.settle()
        let text = call.text
        #expect(call.readsEnd())
        return text
    }

    /// Runs the handshake from the query to READY.
    func shakeHands(_ machine: ScriptedMachine, _ name: String = "vm") throws {
        #expect(try answer(machine).isEmpty)
        #expect(waitsForStream(name))
        #expect(try answer(machine) == "READY")
    }

    func expectStream(_ name: String = "vm") throws {
        let guest = try dial(name)
        let stream = try #require(streams.last)
        try guest.write([1])
        #expect(stream.text == "\u{1}")
        #expect(!waitsForStream(name))
    }
}

@Suite("the host's end of the handshake")
struct HostHandshakeTests {
    @Test func `question, READY, stream: in that order and not an octet more`() throws {
        let scene = try HostScene()
        let machine = try scene.machine()
        try scene.pass(.zero)
        let question = try #require(try machine.accept())
        #expect(!scene.waitsForStream())
        try question.write(HostScene.phrase.utf8.prefix(59))
        try scene.loop.settle()
        question.read()
        #expect(!question.hasEnded)
        try question.write(HostScene.phrase.utf8.suffix(1))
        try scene.loop.settle()
        #expect(question.readsEnd() && question.received.isEmpty)
        #expect(scene.waitsForStream())
        #expect(try scene.answer(machine) == "READY")
        #expect(try machine.accept() == nil)
        try scene.expectStream()
        try scene.pass(.seconds(60))
        #expect(try machine.accept() == nil)
    }

    @Test func `READY is for those who have said the phrase, however long they take to`() throws {
        let scene = try HostScene()
        let machine = try scene.machine()
        #expect(try scene.answer(machine).isEmpty)
        let call = try #require(try machine.accept())
        try scene.pass(.seconds(4))
        #expect(call.text.isEmpty && !call.hasEnded)
        // A stream before READY is not from the machine's new system.
        let early = try scene.dial()
        #expect(early.readsEnd() && scene.streams.isEmpty)
        try call.write(HostScene.phrase.utf8)
        try scene.loop.settle()
        #expect(call.text == "READY")
        try scene.expectStream()
    }

    @Test func `a machine that is ready and does not come is asked again, five times at most`()
        throws
    {
        let scene = try HostScene()
        let machine = try scene.machine()
        for _ in 1...5 {
            try scene.shakeHands(machine)
            #expect(scene.failures.isEmpty)
            try scene.pass(.seconds(10))
            #expect(!scene.waitsForStream())
        }
        let last = "unix://\(machine.path): no stream within 10 s"
        #expect(scene.failures == [.phantoms(5, last: last)])
        try scene.pass(.seconds(60))
        #expect(try machine.accept() == nil)
    }

    @Test func `when the stream has ended it begins again within a second, as often as it takes`()
        throws
    {
        let scene = try HostScene()
        let machine = try scene.machine()
        for round in 1...7 {
            try scene.shakeHands(machine)
            try scene.expectStream()
            #expect(scene.streams.count == round)
            try scene.pass(.seconds(20))
            scene.host?.streamEnded()
        }
        #expect(scene.failures.isEmpty)
    }

    @Test(
        "whoever says something else, too little or nothing is asked again, and gets nothing",
        arguments: [
            "", "github.com", RancherProfile.legacy.signature, RancherProfile.opensuse.signature,
            "SSH-2.0-OpenSSH\r\n",
        ]
    )
    func somethingElse(text: String) throws {
        let scene = try HostScene()
        let machine = try scene.machine()
        try scene.pass(.zero)
        for _ in 1...3 {
            let call = try #require(try machine.accept())
            try call.write(text.utf8)
            try scene.pass(.seconds(1))
            #expect(call.text.isEmpty)
            #expect(!scene.waitsForStream())
        }
        // A machine that meanwhile became the right one is recognized, however slow the others
        // were.
        try scene.shakeHands(machine)
        try scene.expectStream()
    }

    @Test func `a mute machine's calls do not become more and more`() throws {
        let scene = try HostScene()
        let machine = try scene.machine()
        var calls: [HostPeer] = []
        for _ in 1...20 {
            try scene.pass(.seconds(1))
            while let call = try machine.accept() { calls.append(call) }
        }
        let areFew = followsClose {
            for call in calls { call.read() }
            return calls.count { !$0.hasEnded } <= 5
        }
        #expect(areFew)
        #expect(calls.count >= 20)
    }

    @Test func `a hundred mute machines delay nobody`() throws {
        let scene = try HostScene { ["unix://\($0.path)/"] }
        let mute = try (0..<100).map { try scene.machine("mute\($0)") }
        let machine = try scene.machine("zz")
        try scene.shakeHands(machine, "zz")
        try scene.expectStream("zz")
        withExtendedLifetime(mute) {}
    }

    @Test func `a phantom does not keep another machine from being found`() throws {
        let scene = try HostScene { ["unix://\($0.path)/"] }
        let phantom = try scene.machine("a")
        try scene.shakeHands(phantom, "a")
        let machine = try scene.machine("b")
        try scene.pass(.seconds(10))
        #expect(try phantom.accept() == nil)
        try scene.shakeHands(machine, "b")
        try scene.expectStream("b")
    }

    @Test func `a directory's machines come and go, and sockets beside them are none`() throws {
        let scene = try HostScene { ["unix://\($0.path)/later/", "unix://" + $0.file("vm")] }
        try scene.pass(.seconds(1))
        let later = scene.directory.file("later")
        try FileManager.default.createDirectory(atPath: later, withIntermediateDirectories: false)
        let beside = try scene.machine("later/x_6656")
        #expect(FileManager.default.createFile(atPath: later + "/file", contents: nil))
        try scene.pass(.seconds(1))
        #expect(try beside.accept() == nil)
        let machine = try scene.machine("later/x_y")
        try scene.pass(.seconds(1))
        #expect(try beside.accept() == nil)
        try scene.shakeHands(machine, "later/x_y")
        try scene.expectStream("later/x_y")
    }

    @Test func `a hypervisor is asked for the port, and says so when nobody listens there`() throws
    {
        let scene = try HostScene { ["firecracker+unix://" + $0.file("vm")] }
        let hypervisor = try scene.machine()
        try scene.pass(.zero)
        let early = try #require(try hypervisor.accept())
        #expect(early.text == "CONNECT 6669\n")
        early.close()
        try scene.pass(.seconds(1))
        for words in ["", "READY"] {
            let call = try #require(try hypervisor.accept())
            #expect(call.text == "CONNECT 6669\n")
            try call.write("OK 1073741824\n".utf8)
            try scene.loop.settle()
            try call.write(HostScene.phrase.utf8)
            try scene.loop.settle()
            #expect(call.text == "CONNECT 6669\n\(words)")
            #expect(call.readsEnd())
        }
        try scene.expectStream()
    }

    @Test func `a data port that another holds counts as an attempt, and is named at the end`()
        throws
    {
        let scene = try HostScene()
        let machine = try scene.machine()
        let other = try ScriptedMachine(scene.directory.file("vm_6656"))
        for _ in 1...5 {
            #expect(try scene.answer(machine).isEmpty)
            try scene.pass(.seconds(1))
        }
        guard case .phantoms(5, let cause)? = scene.failures.first else {
            Issue.record("it goes on: \(scene.failures)")
            return
        }
        #expect(cause.contains(other.path))
    }

    @Test func `stopped, it leaves nothing behind`() throws {
        let scene = try HostScene()
        let machine = try scene.machine()
        try scene.shakeHands(machine)
        scene.host?.stop()
        #expect(!scene.waitsForStream())
        try scene.pass(.seconds(60))
        #expect(try machine.accept() == nil)
        #expect(scene.failures.isEmpty)
    }

    @Test func `both ends of ours find each other`() throws {
        let scene = try HostScene()
        var streams: [HostPeer] = []
        let guest = GuestHandshake(
            GuestHandshake.Configuration(
                port: .stream(.unix(scene.directory.file("vm")), .littleEndian16),
                host: .stream(.unix(scene.directory.file("vm_6656")), .littleEndian16),
                phrase: Array(HostScene.phrase.utf8)
            ),
            loop: scene.loop,
            log: .discarding()
        ) { streams.append(HostPeer($0)) }
        for round in 1...3 {
            try guest.start()
            try scene.pass(.seconds(6))
            try scene.loop.settle()
            try #require(streams.count == round && scene.streams.count == round)
            try streams[round - 1].write("from the machine".utf8)
            #expect(scene.streams[round - 1].text == "from the machine")
            scene.host?.streamEnded()
        }
    }
}
