import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// The executables under test: those that `make test` names, otherwise those next to the tests.
enum BuiltProgram {
    static let rdnet = path("RDNET_BINARY", "rdnet")
    static let load = path("RDNET_LOAD", "rdnet-load")
    /// Starts a program that sees a kernel without IPv6.
    static let withoutIPv6 = [load, "without-ipv6"]
    /// rdnet with an allocation counter, optimized like rdnet itself; only `make test` builds it.
    static let counting = ProcessInfo.processInfo.environment["RDNET_COUNTING"]

    /// Returns the path of the shipped file; a build by `swift test` alone needs libraries.
    static func staticFile() throws -> String {
        let variable = ProcessInfo.processInfo.environment["RDNET_BINARY"]
        return try #require(variable, "make test says where the static file is")
    }

    private static func path(_ variable: String, _ name: String) -> String {
        if let path = ProcessInfo.processInfo.environment[variable] { return path }
        return URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
            .deletingLastPathComponent().appendingPathComponent(name).path
    }
}

/// A program that runs next to a test and ends with it.
final class RunningProgram {
    private let process = Process()
    private let input = Pipe()

    /// Starts a program from PATH.
    ///
    /// - Parameters:
    ///   - arguments: The program's name and its arguments.
    ///   - namespace: Where to run it; ip(8) executes the program, so signals reach it.
    ///   - stream: Descriptor 0, instead of a pipe for lines.
    ///   - output: The file for its output; nil discards the output.
    /// - Throws: If the program cannot be started.
    init(
        _ arguments: [String],
        in namespace: NetworkNamespace? = nil,
        stream: FileHandle? = nil,
        output: URL? = nil
    ) throws {
        let prefix = namespace.map { ["ip", "netns", "exec", $0.name] } ?? []
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = prefix + arguments
        process.standardInput = stream ?? input
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        if let output {
            try Data().write(to: output)
            let file = try FileHandle(forWritingTo: output)
            process.standardOutput = file
            process.standardError = file
        }
        try process.start()
    }

    deinit {
        end(with: SIGKILL)
    }

    var number: Int32 { process.processIdentifier }
    var isRunning: Bool { process.isRunning }
    var status: Int32 { process.terminationStatus }

    /// Returns the resident size in bytes.
    func residentSize() throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(number)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        return try #require(line.split(separator: " ").compactMap { Int($0) }.first) * 1_024
    }

    /// Writes a line to the program's standard input.
    func write(line: String) throws {
        try input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8))
    }

    /// Closes the program's standard input.
    func closeInput() throws {
        try input.fileHandleForWriting.close()
    }

    /// Sends a signal and waits for the program's end; sends SIGKILL after `hangGuard`.
    ///
    /// - Returns: Whether the program handled the signal and exited.
    @discardableResult
    func end(with signal: Int32 = SIGTERM) -> Bool {
        guard process.isRunning else { return true }
        kill(number, signal)
        if !comesTrue({ !process.isRunning }) { kill(number, SIGKILL) }
        process.waitUntilExit()
        return process.terminationReason == .exit
    }
}

/// The timeout of a test that waits for an event.
///
/// It only bounds a hang: even the slowest machine takes less. Tests/mutate.sh, whose faults make
/// many tests hang, has its own.
let hangGuard: Duration = .seconds(
    ProcessInfo.processInfo.environment["RDNET_HANG_GUARD"].flatMap { Int64($0) } ?? 120
)

/// Waits until a condition holds; returns false if it does not within the limit.
func comesTrue(within limit: Duration = hangGuard, _ condition: () throws -> Bool) rethrows
    -> Bool
{
    let deadline = ContinuousClock.now + limit
    while ContinuousClock.now < deadline {
        if try condition() { return true }
        usleep(10_000)
    }
    return try condition()
}

/// Waits until a condition holds that follows from the close of a descriptor.
///
/// A program that another test starts at this moment has a copy of every descriptor of this process
/// until it calls execve(2), and the kernel closes a socket with its last copy.
func followsClose(_ condition: () throws -> Bool) rethrows -> Bool {
    try comesTrue(condition)
}
