import Foundation
import Testing

@testable import RDNetKit

/// The virtual machine's end on unix sockets, and a host that the test plays byte by byte.
private final class CalledGuest {
    static let phrase = RancherProfile.current.signature

    let clock = HandMovedClock()
    let loop: EventLoop
    let directory = TemporaryDirectory()
    private(set) var guest: GuestHandshake?
    private(set) var streams: [HostPeer] = []
    private var dataPort: OwnedDescriptor?

    init() throws {
        let clock = clock
        loop = try EventLoop { clock.now }
        let configuration = GuestHandshake.Configuration(
            port: .stream(.unix(directory.file("handshake")), .littleEndian16),
            host: .stream(.unix(directory.file("data")), .littleEndian16),
            phrase: Array(Self.phrase.utf8)
        )
        guest = GuestHandshake(configuration, loop: loop, log: .discarding()) {
            [unowned self] stream in streams.append(HostPeer(stream))
        }
        try guest?.start()
    }

    /// Listens on the data port, as a ready host does.
    func openDataPort() throws {
        closeDataPort()
        dataPort = .some(try ListeningSocket.unix(path: directory.file("data")))
    }

    /// Stops listening without removing the file, as a killed host does.
    func closeDataPort() {
        dataPort = nil
    }

    /// Accepts the next connection to the data port.
    func acceptData() throws -> HostPeer? {
        switch dataPort {
        case .some(let port):
            guard let accepted = try Socket.accept(port) else { return nil }
            return HostPeer(try accepted.descriptor.duplicate())
        case .none: return nil
        }
    }

    func call() throws -> HostPeer {
        let address = try #require(SocketAddress(path: directory.file("handshake")))
        let socket = try Socket.makeUnix()
        #expect(try Socket.connect(socket, to: address))
        return HostPeer(socket)
    }

    /// Connects, sends a text, and closes without reading, as the products' host does.
    func announce(_ text: String = "READY") throws {
        let caller = try call()
        try caller.write(text.utf8)
        caller.close()
        try loop.settle()
    }

    func pass(_ duration: Duration) throws {
        clock.advance(duration)
        try loop.settle()
    }
}

extension EventLoop {
    /// Delivers all pending events and their consequences, without waiting.
    func settle() throws {
        for _ in 0..<10 { try turn(waitingAtMost: .zero) }
    }
}

@Suite("the virtual machine's end of the handshake")
struct GuestHandshakeTests {
    private let scene: CalledGuest

    init() throws {
        scene = try CalledGuest()
    }

    private func expectStream() throws {
        let host = try #require(try scene.acceptData())
        let stream = try #require(scene.streams.last)
        try stream.write([1, 2])
        #expect(host.text == "\u{1}\u{2}")
        try host.write([3])
        #expect(stream.text == "\u{3}")
        #expect(scene.guest?.isListening == false)
        #expect(!FileManager.default.fileExists(atPath: scene.directory.file("handshake")))
    }

    @Test func `probe, READY, stream: as the products' host does it`() throws {
        let probe = try scene.call()
        try scene.loop.settle()
        #expect(probe.text == CalledGuest.phrase)
        #expect(!probe.hasEnded)
        probe.close()
        try scene.loop.settle()
        #expect(scene.guest?.isListening == true)
        try scene.openDataPort()
        try scene.announce()
        try expectStream()
    }

    @Test func `a hundred mute callers delay nobody, and the oldest are sent away`() throws {
        let mute = try (0..<100).map { _ in
            let caller = try scene.call()
            try scene.loop.settle()
            return caller
        }
        let kept = mute.suffix(GuestHandshake.maximumExchanges)
        let turnedAway = mute.dropLast(kept.count)
        for caller in turnedAway { #expect(caller.readsEnd()) }
        for caller in kept { caller.read() }
        #expect(!kept.contains { $0.hasEnded })
        #expect(mute.allSatisfy { $0.text == CalledGuest.phrase })
        try scene.openDataPort()
        try scene.announce()
        try expectStream()
        for caller in mute { #expect(caller.readsEnd()) }
    }

    @Test func `READY counts although a thousand others called in the same turn`() throws {
        try scene.openDataPort()
        let ready = try scene.call()
        try ready.write("READY".utf8)
        let others = try (0..<1_000).map { _ in try scene.call() }
        for _ in 0..<20 { try scene.loop.settle() }
        try expectStream()
        withExtendedLifetime(others) {}
    }

    @Test func `a mute caller is sent away after ten seconds, a late READY counts until then`()
        throws
    {
        let mute = try scene.call()
        let late = try scene.call()
        try scene.loop.settle()
        try late.write("REA".utf8)
        try scene.pass(.seconds(9))
        mute.read()
        #expect(!mute.hasEnded)
        try scene.openDataPort()
        try late.write("DY".utf8)
        try scene.loop.settle()
        try expectStream()
    }

    @Test func `after ten seconds a caller's time is up`() throws {
        let mute = try scene.call()
        try scene.loop.settle()
        try scene.pass(.milliseconds(10_010))
        #expect(mute.readsEnd())
        #expect(scene.guest?.isListening == true)
    }

    @Test(
        "whoever says something else is sent away at once",
        arguments: ["ready", "READX", "GET / HTTP/1.1\r\n\r\n", "\0\0\0\0\0"]
    )
    func somethingElse(text: String) throws {
        try scene.openDataPort()
        let caller = try scene.call()
        try caller.write(text.utf8)
        try scene.loop.settle()
        let isTurnedAway = followsClose {
            caller.read()
            return caller.hasEnded || caller.failure != nil
        }
        #expect(isTurnedAway)
        #expect(scene.streams.isEmpty)
        #expect(try scene.acceptData() == nil)
        try scene.announce()
        try expectStream()
    }

    @Test func `a host that says READY and does not listen may say it again`() throws {
        try scene.announce()
        #expect(scene.streams.isEmpty)
        #expect(scene.guest?.isListening == true)
        try scene.openDataPort()
        try scene.announce()
        try expectStream()
    }

    @Test func `a host that was killed after READY may be followed by another`() throws {
        try scene.openDataPort()
        scene.closeDataPort()
        try scene.announce()
        #expect(scene.streams.isEmpty)
        try scene.openDataPort()
        try scene.announce()
        try expectStream()
    }

    @Test func `it can be started again and again, and only the last stream counts`() throws {
        for round in 1...5 {
            try scene.openDataPort()
            try scene.announce()
            #expect(scene.streams.count == round)
            try expectStream()
            // The guest no longer listens: the host has its stream.
            #expect(throws: SystemError.self) { try scene.call() }
            try scene.guest?.start()
        }
        try scene.guest?.start()
        let probe = try scene.call()
        try scene.loop.settle()
        #expect(probe.text == CalledGuest.phrase)
    }

    @Test func `when it is stopped nothing is left`() throws {
        let caller = try scene.call()
        try scene.loop.settle()
        scene.guest?.stop()
        try scene.loop.settle()
        #expect(caller.readsEnd())
        #expect(scene.guest?.isListening == false)
        #expect(!FileManager.default.fileExists(atPath: scene.directory.file("handshake")))
        scene.guest?.stop()
    }

    @Test func `a port that is taken is an error with its name in it`() throws {
        let configuration = GuestHandshake.Configuration(
            port: .stream(.unix(scene.directory.file("handshake")), .littleEndian16),
            host: .vsock(cid: nil, port: 6656),
            phrase: []
        )
        let other = GuestHandshake(configuration, loop: scene.loop, log: .discarding()) { _ in }
        let error = #expect(throws: SystemError.self) { try other.start() }
        #expect(error?.description.contains(scene.directory.file("handshake")) == true)
    }
}
