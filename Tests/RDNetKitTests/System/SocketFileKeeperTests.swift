import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// A socket that stays open as long as the object.
private final class KeptSocket {
    private let socket: OwnedDescriptor

    init(_ socket: consuming OwnedDescriptor) {
        self.socket = socket
    }
}

/// A stream listener on a manual clock that accepts clients while it has room.
private final class KeptListener {
    let directory = TemporaryDirectory()
    let clock = HandMovedClock()
    let loop: EventLoop
    let kind: SocketKind
    private(set) var log = ""
    /// The number of accepted clients.
    private(set) var accepted = 0
    var hasRoom = true
    private var listener: StreamListener?

    init(_ kind: SocketKind = .stream) throws {
        let clock = clock
        self.kind = kind
        loop = try EventLoop { clock.now }
        try FileManager.default.createDirectory(
            atPath: directory.file("sub"),
            withIntermediateDirectories: false
        )
        let logger = Logger(clock: { WallTime(seconds: 0, utcOffset: 0) }) {
            [unowned self] octets in
            log += String(decoding: octets, as: UTF8.self)
            return octets.count
        }
        listener = try StreamListener(
            ListeningSocket.unix(path: path, kind),
            path: path,
            kind,
            loop: loop,
            log: logger,
            admitting: { [unowned self] in hasRoom },
            taking: { [unowned self] _, _ in accepted += 1 }
        )
    }

    deinit {
        close()
    }

    var path: String { directory.file("sub/socket") }

    func close() {
        listener?.close()
        listener = nil
    }

    func remove(_ path: String? = nil) throws {
        try FileManager.default.removeItem(atPath: path ?? self.path)
    }

    /// Lets the listener check its file.
    func pass() throws {
        clock.advance(SocketFileKeeper.interval * 2)
        for _ in 0..<3 { try loop.turn(waitingAtMost: .zero) }
    }

    /// Connects a client; nil if the path leads to no listener.
    func client() throws -> KeptSocket? {
        let socket = try Socket.make(AF_UNIX, kind)
        do {
            guard try Socket.connect(socket, to: #require(SocketAddress(path: path))) else {
                return nil
            }
            return KeptSocket(socket)
        } catch {
            return nil
        }
    }

    /// Whether a client can connect, and the listener accepts it.
    func serves() throws -> Bool {
        let before = accepted
        guard let client = try client() else { return false }
        try loop.turn(waitingAtMost: .zero)
        return withExtendedLifetime(client) { accepted == before + 1 }
    }
}

@Suite("a unix listener whose file is removed")
struct SocketFileKeeperTests {
    @Test("accepts clients at the same path again", arguments: [SocketKind.stream, .packet])
    func rebinds(kind: SocketKind) throws {
        let scene = try KeptListener(kind)
        for round in 1...3 {
            try scene.remove()
            #expect(try !scene.serves())
            try scene.pass()
            #expect(try scene.serves(), "round \(round)")
        }
        let attributes = try FileManager.default.attributesOfItem(atPath: scene.path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        #expect(scene.log.split(separator: "\n").count == 3)
        #expect(scene.log.contains("socket file was removed; created it again"))
        scene.close()
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: scene.directory.file("sub")) == []
        )
    }

    @Test func `leaves its own file alone`() throws {
        let scene = try KeptListener()
        let identity = FileIdentity(ofSocket: scene.path)
        try scene.pass()
        #expect(FileIdentity(ofSocket: scene.path) == identity)
        #expect(scene.log.isEmpty)
    }

    @Test func `still accepts a client that waited at the removed file`() throws {
        let scene = try KeptListener()
        scene.hasRoom = false
        let early = try #require(try scene.client())
        try scene.remove()
        try scene.pass()
        let late = try #require(try scene.client())
        #expect(scene.accepted == 0)
        scene.hasRoom = true
        // The listener pauses while it has no room.
        scene.clock.advance(StreamListener.rest * 2)
        for _ in 0..<3 { try scene.loop.turn(waitingAtMost: .zero) }
        #expect(scene.accepted == 2)
        withExtendedLifetime((early, late)) {}
    }

    @Test(
        "never takes over a path that another program uses",
        arguments: ["listener", "stale", "file", "link"]
    )
    func keepsOthers(kind: String) throws {
        let scene = try KeptListener()
        try scene.remove()
        var other: KeptSocket?
        switch kind {
        case "listener": other = KeptSocket(try ListeningSocket.unix(path: scene.path))
        case "stale": _ = try ListeningSocket.unix(path: scene.path)
        case "file": try AtomicFile.replace(scene.path, with: "precious")
        default:
            try FileManager.default.createSymbolicLink(
                atPath: scene.path,
                withDestinationPath: "/nowhere"
            )
        }
        let identity = FileIdentity(at: scene.path, followsLink: false)
        for _ in 0..<3 { try scene.pass() }
        #expect(FileIdentity(at: scene.path, followsLink: false) == identity)
        #expect(scene.log.split(separator: "\n").count == 1)
        #expect(scene.log.contains("clients cannot find the socket"))
        try scene.remove()
        try scene.pass()
        #expect(try scene.serves())
        withExtendedLifetime(other) {}
    }

    @Test func `waits for a directory that was removed with the file`() throws {
        let scene = try KeptListener()
        let directory = scene.directory.file("sub")
        try scene.remove(directory)
        for _ in 0..<3 { try scene.pass() }
        #expect(scene.log.split(separator: "\n").count == 1)
        #expect(scene.log.contains("No such file or directory"))
        try FileManager.default.createDirectory(
            atPath: directory,
            withIntermediateDirectories: false
        )
        try scene.pass()
        #expect(try scene.serves())
    }

    @Test func `a closed listener does not come back`() throws {
        let scene = try KeptListener()
        scene.close()
        try scene.pass()
        #expect(FileIdentity(at: scene.path) == nil)
    }
}
