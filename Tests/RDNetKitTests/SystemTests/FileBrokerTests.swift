import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// The process that opens files for a host end in its sandbox.
@Suite(
    "file broker",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct FileBrokerTests {
    private static let hangs = "the process that opens files for the sandbox does not answer"
    private static let returns = "the process that opens files for the sandbox answers again"
    private static let hasEnded = "the process that opens files for the sandbox has ended"

    private let files = TemporaryDirectory()
    private let world: SwitchedGuest
    private let broker: Int32

    init() throws {
        try Data("10.9.8.1 name\n".utf8).write(to: URL(fileURLWithPath: files.file("hosts")))
        world = try SwitchedGuest(hostOptions: [
            "--hosts", files.file("hosts"), "--api-path", files.path,
        ])
        let host = try #require(world.hostSwitch).number
        let children = try String(
            contentsOfFile: "/proc/\(host)/task/\(host)/children",
            encoding: .utf8
        ).split(separator: " ").compactMap { Int32($0) }
        broker = try #require(children.count == 1 ? children.first : nil)
        try #require(try comesTrue { try isAnswered("10.9.8.1") }, "\(world.logs)")
    }

    private func isAnswered(_ address: String) throws -> Bool {
        try world.guest.run("dig", "+short", "@192.168.127.1", "name") == address + "\n"
    }

    private func replaceHosts(_ text: String) throws {
        let path = files.file("hosts")
        try Data(text.utf8).write(to: URL(fileURLWithPath: path + ".new"))
        #expect(rename(path + ".new", path) == 0)
    }

    /// Asks the API for a unix socket, which the broker must make.
    private func expose(_ name: String) throws -> Bool {
        let body =
            #"{"local":"\#(files.file(name))","remote":"tcp://192.168.127.2:7","protocol":"unix"}"#
        do {
            _ = try world.askAPI("/services/forwarder/expose", body: body)
            return true
        } catch is ProgramFailure {
            return false
        }
    }

    private func occurrences(of text: String) -> Int {
        world.logs.components(separatedBy: text).count - 1
    }

    @Test func `that hangs costs the loop one wait, is reported once, and may return`() throws {
        #expect(kill(broker, SIGSTOP) == 0)
        defer { kill(broker, SIGCONT) }
        let requests = 12
        let start = ContinuousClock.now
        for number in 0..<requests { #expect(try !expose("\(number)")) }
        let duration = ContinuousClock.now - start
        // Without the bound, each request would wait.
        #expect(duration < FileBroker.patience * (requests - 2), "\(duration)")
        #expect(occurrences(of: Self.hangs) == 1, "\(world.logs)")
        // What was known stays, and the network goes on.
        try replaceHosts("10.9.8.2 name\n")
        #expect(try isAnswered("10.9.8.1"))
        #expect(occurrences(of: Self.hangs) == 1)
        kill(broker, SIGCONT)
        #expect(try comesTrue { try isAnswered("10.9.8.2") }, "\(world.logs)")
        #expect(occurrences(of: Self.returns) == 1, "\(world.logs)")
        #expect(try expose("after"))
    }

    @Test func `that has ended is reported once, and the network goes on with what it knows`()
        throws
    {
        #expect(kill(broker, SIGKILL) == 0)
        #expect(comesTrue { occurrences(of: Self.hasEnded) == 1 }, "\(world.logs)")
        try replaceHosts("10.9.8.2 name\n")
        for name in ["a", "b"] { #expect(try !expose(name)) }
        #expect(try isAnswered("10.9.8.1"))
        #expect(occurrences(of: Self.hasEnded) == 1, "\(world.logs)")
        #expect(occurrences(of: Self.hangs) == 0)
        #expect(world.hostSwitch?.end() == true)
    }
}
