import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// Whether this process may make network namespaces.
let canMakeNamespaces = geteuid() == 0

/// A network namespace with a name of a test's own, which goes away with it.
final class NetworkNamespace {
    let name: String
    private let descriptor: OwnedDescriptor

    /// Makes one, or gives a name to a process's.
    ///
    /// - Parameter process: Whose namespace it is; nil for a fresh one.
    /// - Throws: When ip(8) cannot.
    init(of process: Int32? = nil) throws {
        let name = "rdnet-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        self.name = name
        let verb = process.map { ["attach", name, String($0)] } ?? ["add", name]
        _ = try RDNetKitTests.run(["ip", "netns"] + verb)
        let path = "/run/netns/\(name)"
        descriptor = OwnedDescriptor(adopting: try systemCall("open") { open(path, O_RDONLY) })
    }

    deinit {
        do {
            _ = try RDNetKitTests.run(["ip", "netns", "delete", name])
        } catch {
            Issue.record(error)
        }
    }

    /// Does something on this thread while it is in the namespace.
    func enter<Result: ~Copyable>(_ body: () throws -> Result) throws -> Result {
        let path = "/proc/thread-self/ns/net"
        let home = OwnedDescriptor(adopting: try systemCall("open") { open(path, O_RDONLY) })
        let (inside, outside) = (descriptor.number, home.number)
        try systemCall("setns") { setns(inside, CInt(CLINUX_CLONE_NEWNET)) }
        defer {
            // Staying would break every test that runs on this thread later.
            if setns(outside, CInt(CLINUX_CLONE_NEWNET)) != 0 { fatalError("cannot leave \(name)") }
        }
        return try body()
    }

    /// Runs a program in the namespace; its output.
    @discardableResult
    func run(_ arguments: String...) throws -> String {
        try RDNetKitTests.run(["ip", "netns", "exec", name] + arguments)
    }
}

/// A program that ended with another status than 0.
struct ProgramFailure: Error, CustomStringConvertible {
    let description: String
}

/// Runs a program from PATH; its output.
@discardableResult
func run(_ arguments: String...) throws -> String {
    try run(arguments)
}

/// Runs a program from PATH; its output.
@discardableResult
func run(_ arguments: [String]) throws -> String {
    let (process, output) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let octets = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let text = String(decoding: octets, as: UTF8.self)
    guard process.terminationStatus == 0 else {
        throw ProgramFailure(description: "\(arguments): \(text)")
    }
    return text
}
