import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// The socket on which a service manager is notified.
private final class ServiceManager {
    private let socket: OwnedDescriptor

    /// Binds the socket; an abstract name belongs to one network namespace.
    init(at name: String, isAbstract: Bool = false) throws {
        socket = try Socket.make(AF_UNIX, SOCK_DGRAM)
        let address = try #require(
            isAbstract ? SocketAddress(abstractName: name) : SocketAddress(path: name)
        )
        try Socket.bind(socket, to: address, named: name)
    }

    /// Waits for the notification that a service is ready.
    func expectReady(_ log: @autoclosure () -> String = "") throws {
        var buffer = [UInt8](repeating: 0, count: 100)
        let hasCome = try comesTrue {
            let count = try buffer.withUnsafeMutableBytes { try Socket.receive(socket, into: $0) }
            return count == 7
        }
        #expect(hasCome, "\(log())")
        #expect(String(decoding: buffer.prefix(7), as: UTF8.self) == "READY=1")
    }
}

@Suite(
    "wsl-proxy's start and end",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct WSLProxyLifeTests {
    /// Runs the program until it exits on its own; returns its status and output.
    private func run(_ arguments: [String], in namespace: NetworkNamespace) throws -> (
        Int32, String
    ) {
        let directory = TemporaryDirectory()
        let output = URL(fileURLWithPath: directory.file("output"))
        let program = try RunningProgram(arguments, in: namespace, output: output)
        #expect(comesTrue { !program.isRunning })
        return (program.status, try String(contentsOf: output, encoding: .utf8))
    }

    @Test("a signal ends it with status 0 and leaves no socket", arguments: [SIGTERM, SIGINT])
    func signals(signal: Int32) throws {
        let world = try ProxiedNamespaces(options: ["-debug", "false"])
        try world.serveEcho(7, in: world.guest)
        try world.publish(7)
        let proxy = try #require(world.proxy)
        #expect(proxy.end(with: signal))
        #expect(proxy.status == 0)
        #expect(!FileManager.default.fileExists(atPath: world.socket))
        #expect(try world.listeners(7).isEmpty)
    }

    @Test func `a socket that was left behind is replaced`() throws {
        let world = try ProxiedNamespaces()
        world.proxy?.end(with: SIGKILL)
        #expect(FileManager.default.fileExists(atPath: world.socket))
        try world.start()
        try world.publish(7)
    }

    @Test func `a socket that is in use is not stolen`() throws {
        let world = try ProxiedNamespaces()
        let (status, output) = try run(
            [BuiltProgram.rdnet, "wsl-proxy", "-socketFile", world.socket, "-logfile", ""],
            in: world.host
        )
        #expect(status == 1)
        #expect(output.split(separator: "\n").count == 1, "\(output)")
        #expect(output.contains("socketFile \(world.socket): another program is listening there"))
        try world.publish(7)
    }

    @Test func `a path that cannot be had is one sentence and status 1`() throws {
        let world = try ProxiedNamespaces()
        let file = world.directory.file("file")
        try "precious".write(toFile: file, atomically: true, encoding: .utf8)
        for path in [
            file, world.directory.file("nowhere/proxy.sock"),
            "/" + String(repeating: "x", count: 200),
        ] {
            let (status, output) = try run(
                [BuiltProgram.rdnet, "wsl-proxy", "-logfile", "", "-socketFile", path],
                in: world.host
            )
            #expect(status == 1)
            #expect(output.split(separator: "\n").count == 1, "\(output)")
            #expect(output.hasPrefix("rdnet wsl-proxy: socketFile"), "\(output)")
        }
        #expect(try String(contentsOfFile: file, encoding: .utf8) == "precious")
    }

    @Test("a service manager is told when agents can connect", arguments: [false, true])
    func readiness(isAbstract: Bool) throws {
        let world = try ProxiedNamespaces()
        world.proxy?.end()
        let name = world.directory.file("notify")
        let manager = try ServiceManager(at: name, isAbstract: isAbstract)
        let program = try RunningProgram(
            ["env", "NOTIFY_SOCKET=\(isAbstract ? "@" : "")\(name)"] + world.arguments
        )
        try manager.expectReady()
        // The service manager may connect as soon as it is notified.
        try world.say("{}")
        #expect(program.end())
    }

    @Test(
        "a service manager is notified when clients can connect",
        arguments: ["host-switch", "gvproxy"]
    )
    func readiness(role: String) throws {
        let directory = TemporaryDirectory()
        let name = directory.file("notify")
        let manager = try ServiceManager(at: name)
        let started = try StartedRole(role, before: "export NOTIFY_SOCKET=\(name)")
        try manager.expectReady("\(started.log)")
    }
}
