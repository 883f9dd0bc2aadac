import Dispatch
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("the file of a unix socket")
struct StaleSocketTests {
    private static let kinds: [SocketKind] = [.stream, .packet, .datagram]

    private let directory = TemporaryDirectory()
    private var path: String { directory.file("socket") }

    private func connects(_ kind: SocketKind = .stream) throws -> Bool {
        let address = try #require(SocketAddress(path: path))
        do {
            return try Socket.connect(Socket.make(AF_UNIX, kind), to: address)
        } catch {
            return false
        }
    }

    private func files() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
    }

    /// Leaves a socket file behind, as a killed program does.
    private func leaveStaleSocket(_ kind: SocketKind = .stream) throws {
        _ = try ListeningSocket.unix(path: path, kind)
        try waitUntilStale()
    }

    private func waitUntilStale() throws {
        try #require(followsClose { !StaleSocket.isOccupied(path) })
    }

    @Test(
        "is replaced when a killed program left it, whatever kind it was",
        arguments: kinds,
        kinds
    )
    func replacesStale(left: SocketKind, kind: SocketKind) throws {
        try leaveStaleSocket(left)
        let socket = try ListeningSocket.unix(path: path, kind)
        #expect(try connects(kind))
        #expect(try files() == ["socket"])
        _ = socket.number
    }

    @Test("stays when a program has it, whatever kind it is", arguments: kinds, kinds)
    func keepsLive(live: SocketKind, kind: SocketKind) throws {
        let socket = try ListeningSocket.unix(path: path, live)
        do throws(SystemError) {
            _ = try ListeningSocket.unix(path: path, kind)
            Issue.record("it was taken away")
        } catch {
            #expect(error.errno == EADDRINUSE)
            #expect("\(error)".contains(path))
        }
        #expect(try connects(live))
        _ = socket.number
    }

    @Test("anything else stays", arguments: ["file", "directory", "link"])
    func keepsOthers(kind: String) throws {
        switch kind {
        case "file": try AtomicFile.replace(path, with: "precious")
        case "directory":
            try FileManager.default.createDirectory(
                atPath: path,
                withIntermediateDirectories: false
            )
        default:
            // A symbolic link to a stale socket is not a socket.
            let target = directory.file("target")
            _ = try ListeningSocket.unix(path: target)
            try FileManager.default.createSymbolicLink(
                atPath: path,
                withDestinationPath: target
            )
        }
        let before = try files()
        #expect(throws: SystemError.self) { _ = try ListeningSocket.unix(path: path) }
        #expect(try files() == before)
    }

    @Test func `has one owner when many start at once over a stale one`() throws {
        let path = path
        for _ in 0..<30 {
            try leaveStaleSocket()
            let owners = Owners()
            DispatchQueue.concurrentPerform(iterations: 8) { _ in
                do throws(SystemError) {
                    owners.add(try ListeningSocket.unix(path: path).release())
                } catch {
                    // Another thread owns the socket.
                }
            }
            #expect(owners.count == 1)
            #expect(try connects())
            owners.close()
            try waitUntilStale()
            #expect(try files() == ["socket"])
        }
    }

    @Test func `stays when another program has it by the time a listener closes`() throws {
        let loop = try EventLoop()
        let first = try listener(loop)
        try FileManager.default.removeItem(atPath: path)
        let second = try listener(loop)
        first.close()
        #expect(try connects())
        try FileManager.default.removeItem(atPath: path)
        try AtomicFile.replace(path, with: "precious")
        second.close()
        #expect(try files() == ["socket"])
    }

    @Test func `goes with its listener`() throws {
        let listener = try listener(EventLoop())
        listener.close()
        #expect(try files().isEmpty)
    }

    private func listener(_ loop: EventLoop) throws -> StreamListener {
        try StreamListener(ListeningSocket.unix(path: path), path: path, loop: loop) { _, _ in }
    }
}

/// Descriptors that several threads add concurrently.
private final class Owners: @unchecked Sendable {
    private let lock = NSLock()
    private var descriptors: [Int32] = []

    var count: Int { lock.withLock { descriptors.count } }

    func add(_ descriptor: Int32) {
        lock.withLock { descriptors.append(descriptor) }
    }

    func close() {
        for descriptor in descriptors { _ = Glibc.close(descriptor) }
    }
}
