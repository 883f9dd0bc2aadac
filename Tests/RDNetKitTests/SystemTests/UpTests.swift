import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("up", .serialized, .enabled(if: canMakeNamespaces, "needs root to make network namespaces"))
struct UpTests {
    /// Runs `rdnet up` in a namespace that stands for the machine; how it ended, and its output.
    private func up(_ arguments: String..., in host: NetworkNamespace) throws -> (Int32, String) {
        let directory = TemporaryDirectory()
        let output = URL(fileURLWithPath: directory.file("output"))
        let program = try RunningProgram(
            ["timeout", "120", BuiltProgram.rdnet, "up"] + arguments,
            in: host,
            output: output
        )
        try program.closeInput()
        #expect(comesTrue { !program.isRunning })
        return (program.status, try String(contentsOf: output, encoding: .utf8))
    }

    private func makeHost() throws -> NetworkNamespace {
        let host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        return host
    }

    @Test("returns the command's status", arguments: [0, 7, 255])
    func returnsTheStatus(status: Int32) throws {
        let host = try makeHost()
        #expect(try up("--", "/bin/sh", "-c", "exit \(status)", in: host).0 == status)
    }

    @Test func `the command has one network, and it leads to the host's 127.0.0.1`() throws {
        let host = try makeHost()
        let server = try RunningProgram([BuiltProgram.load, "echo", "7"], in: host)
        #expect(try comesTrue { try host.run("ss", "-Htln").contains(":7") })
        let script = "ip -o -4 address; exec \(BuiltProgram.load) rr 192.168.127.254 7 0.1"
        let (status, output) = try up("--", "/bin/sh", "-c", script, in: host)
        #expect(status == 0, "\(output)")
        #expect(output.contains("inet 192.168.127.2/24"))
        #expect(output.contains(#"{"count": "#))
        #expect(server.isRunning)
    }

    @Test func `without a command and a terminal it reports, and all is well`() throws {
        let host = try makeHost()
        let (status, output) = try up(in: host)
        #expect(status == 0, "\(output)")
    }

    @Test func `leaves no interface behind`() throws {
        let host = try makeHost()
        let before = try host.run("ip", "-o", "link")
        _ = try up("--", "/bin/true", in: host)
        #expect(try host.run("ip", "-o", "link") == before)
    }
}
