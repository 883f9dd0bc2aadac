import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// Whether this process can create network namespaces.
let canMakeNamespaces = geteuid() == 0

/// A network namespace with a unique name, deleted with this object.
final class NetworkNamespace {
    let name: String
    private let descriptor: OwnedDescriptor

    /// Creates a namespace, or names the namespace of a process.
    ///
    /// - Parameter process: The process whose namespace gets the name; nil for a new namespace.
    /// - Throws: `ProgramFailure` if ip(8) fails, `SystemError` if the namespace cannot be opened.
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

    /// Calls `body` while this thread is in the namespace.
    func enter<Result: ~Copyable>(_ body: () throws -> Result) throws -> Result {
        let path = "/proc/thread-self/ns/net"
        let home = OwnedDescriptor(adopting: try systemCall("open") { open(path, O_RDONLY) })
        let (inside, outside) = (descriptor.number, home.number)
        try systemCall("setns") { setns(inside, CInt(CLINUX_CLONE_NEWNET)) }
        defer {
            // A thread that stays would break every later test that runs on it.
            if setns(outside, CInt(CLINUX_CLONE_NEWNET)) != 0 { fatalError("cannot leave \(name)") }
        }
        return try body()
    }

    /// Runs a program in the namespace and returns its output.
    @discardableResult
    func run(_ arguments: String...) throws -> String {
        try RDNetKitTests.run(["ip", "netns", "exec", name] + arguments)
    }
}

/// A program exited with a status other than 0.
struct ProgramFailure: Error, CustomStringConvertible {
    let description: String
}

/// Runs a program from PATH and returns its output.
@discardableResult
func run(_ arguments: String...) throws -> String {
    try run(arguments)
}

/// Runs a program from PATH and returns its output.
@discardableResult
func run(_ arguments: [String]) throws -> String {
    let (process, output) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.standardOutput = output
    process.standardError = output
    try process.start()
    let octets = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let text = String(decoding: octets, as: UTF8.self)
    guard process.terminationStatus == 0 else {
        throw ProgramFailure(description: "\(arguments): \(text)")
    }
    return text
}
