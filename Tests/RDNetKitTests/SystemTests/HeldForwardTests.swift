import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// Forwards that last as long as the connection that asked for them.
@Suite(
    "held forwards",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct HeldForwardTests {
    private let directory = TemporaryDirectory()
    private let host: NetworkNamespace
    private let network: RunningProgram

    init() throws {
        host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        network = try RunningProgram(
            [
                BuiltProgram.rdnet, "host-switch", "--link", "unix://\(directory.file("link"))",
                "--api", "unix://\(directory.file("api"))", "--state", directory.file("state"),
            ],
            in: host,
            output: URL(fileURLWithPath: directory.file("log"))
        )
        try #require(comesTrue { FileManager.default.fileExists(atPath: directory.file("api")) })
    }

    private func text(_ name: String) -> String {
        directory.text(of: name)
    }

    private func hold(_ local: String) throws -> RunningProgram {
        let program = try RunningProgram(
            [
                BuiltProgram.rdnet, "ctl", "--api", "unix://\(directory.file("api"))", "expose",
                "--hold", local, "192.168.127.2:80",
            ],
            in: host,
            output: URL(fileURLWithPath: directory.file("output"))
        )
        try #require(comesTrue { text("output").hasSuffix("\n") })
        return program
    }

    private func ctl(_ words: String...) throws -> String {
        let command = [BuiltProgram.rdnet, "ctl", "--api", "unix://\(directory.file("api"))"]
        return try run(["ip", "netns", "exec", host.name] + command + words)
    }

    @Test("a forward ends with its holder", arguments: [SIGKILL, SIGINT])
    func ends(signal: Int32) throws {
        let holder = try hold("127.0.0.1:8080")
        #expect(text("output") == "127.0.0.1:8080\n")
        #expect(try ctl("forwards").contains("127.0.0.1:8080"))
        #expect(try host.run("ss", "-Hltn").contains("127.0.0.1:8080"))
        holder.end(with: signal)
        #expect(try comesTrue { try !ctl("forwards").contains("127.0.0.1:8080") })
        #expect(try !host.run("ss", "-Hltn").contains("127.0.0.1:8080"))
    }

    @Test func `the holder learns which port the kernel chose`() throws {
        let holder = try hold("127.0.0.1:0")
        let address = text("output").trimmingCharacters(in: .newlines)
        #expect(!address.hasSuffix(":0"))
        #expect(try host.run("ss", "-Hltn").contains(address))
        holder.end(with: SIGKILL)
    }

    @Test func `the holder ends with its forward, and with the network`() throws {
        let first = try hold("127.0.0.1:8080")
        _ = try ctl("unexpose", "127.0.0.1:8080")
        #expect(comesTrue { !first.isRunning })
        #expect(first.status == 1)
        #expect(text("output").contains("the forward was removed"))
        let second = try hold("127.0.0.1:8081")
        network.end(with: SIGKILL)
        #expect(comesTrue { !second.isRunning })
    }

    @Test func `a port that is taken is refused, as with expose`() throws {
        let holder = try hold("127.0.0.1:8080")
        do {
            _ = try ctl("expose", "--hold", "127.0.0.1:8080", "192.168.127.3:80")
            Issue.record("two forwards have the same address")
        } catch {
            #expect("\(error)".contains("proxy already running for tcp on 127.0.0.1:8080"))
        }
        holder.end(with: SIGKILL)
    }

    @Test func `a held forward is not recorded, and an exposed one is`() throws {
        let holder = try hold("127.0.0.1:8080")
        _ = try ctl("expose", "127.0.0.1:8081", "192.168.127.2:80")
        #expect(network.end())
        holder.end(with: SIGKILL)
        let files = try run("find", directory.file("state"), "-type", "f")
        let state = try files.split(separator: "\n").map {
            try String(contentsOfFile: String($0), encoding: .utf8)
        }.joined()
        #expect(state.contains("127.0.0.1:8081"))
        #expect(!state.contains("127.0.0.1:8080"))
    }
}
