import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// `gvproxy` in a namespace, with all its files in one temporary directory.
///
/// In options and files, `@` stands for that directory.
final class GVProxyScene {
    let host: NetworkNamespace
    let directory = TemporaryDirectory()
    private(set) var program: RunningProgram?
    private var starts = 0

    /// Creates the namespace; nothing runs yet.
    init(in namespace: NetworkNamespace? = nil) throws {
        host = try namespace ?? NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
    }

    deinit {
        program?.end(with: SIGKILL)
    }

    /// Starts gvproxy and waits until it accepts clients.
    func start(_ options: String...) throws {
        try launch(with: options)
        let isThere = comesTrue { log.contains("waiting for clients...") }
        try #require(isThere, "\(log)")
    }

    /// Starts gvproxy and waits until it exits; returns its status.
    func fail(_ options: [String]) throws -> Int32 {
        try launch(with: options)
        return try waitForEnd()
    }

    /// Starts gvproxy without waiting.
    func launch(_ options: String...) throws {
        try launch(with: options)
    }

    private func launch(with options: [String]) throws {
        starts += 1
        program = try RunningProgram(
            [BuiltProgram.rdnet, "gvproxy"] + options.map(expanded),
            in: host,
            output: URL(fileURLWithPath: directory.file("log\(starts)"))
        )
    }

    /// Waits until gvproxy exits; returns its status.
    func waitForEnd() throws -> Int32 {
        let program = try #require(program)
        let hasEnded = comesTrue { !program.isRunning }
        try #require(hasEnded, "it still runs: \(log)")
        return program.status
    }

    private func expanded(_ text: String) -> String {
        text.replacingOccurrences(of: "@", with: directory.path)
    }

    /// Writes a file.
    func write(_ name: String, _ text: String) throws {
        try Data(expanded(text).utf8).write(to: URL(fileURLWithPath: directory.file(name)))
    }

    /// Returns a file's text; empty if the file does not exist.
    func text(_ name: String) -> String {
        directory.text(of: name)
    }

    /// The program's output since its last start.
    var log: String { text("log\(starts)") }

    /// Returns the directory's files, except logs.
    func files() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory.path)
            .filter { !$0.hasPrefix("log") }.sorted()
    }

    /// Sends a request to the API at `@/network.sock`.
    func ask(_ path: String, body: String? = nil) throws -> String {
        let data = body.map { ["-d", $0] } ?? []
        return try run(
            ["curl", "-s", "--max-time", "10", "--unix-socket", directory.file("network.sock")]
                + data + ["http:/unix" + path]
        )
    }

    // MARK: Machines

    /// Connects to a unix stream socket.
    func connect(_ name: String) throws -> HostPeer {
        let address = try #require(SocketAddress(path: directory.file(name)))
        let socket = try Socket.makeUnix()
        let isConnected = try Socket.connect(socket, to: address)
        try #require(isConnected)
        return HostPeer(socket)
    }

    /// Waits until this many bytes have arrived on a connection; returns all of them.
    func read(_ peer: HostPeer, _ count: Int) throws -> [UInt8] {
        let hasCome = comesTrue {
            peer.read()
            return peer.received.count >= count
        }
        try #require(hasCome, "\(peer.received.count) of \(count) octets came: \(log)")
        return peer.received
    }

    /// Waits for the next packet.
    func read(_ peer: PacketPeer) throws -> [UInt8] {
        var packet: [UInt8]?
        let hasCome = try comesTrue {
            packet = try peer.receive()
            return packet != nil
        }
        try #require(hasCome, "\(log)")
        return try #require(packet)
    }
}
