import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// The executables that real-kernel tests run: those that `make test` names, else those beside the
/// tests.
enum BuiltProgram {
    static let rdnet = path("RDNET_BINARY", "rdnet")
    static let load = path("RDNET_LOAD", "rdnet-load")
    /// rdnet that counts its allocations, optimised as the real one is; only `make test` has it.
    static let counting = ProcessInfo.processInfo.environment["RDNET_COUNTING"]

    /// The one file that is shipped; a build of `swift test` alone needs libraries.
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

/// A program that runs beside a test and ends with it.
final class RunningProgram {
    private let process = Process()
    private let input = Pipe()

    /// Starts a program from PATH.
    ///
    /// - Parameters:
    ///   - arguments: Its name first.
    ///   - namespace: Where; ip(8) becomes the program there, so signals reach it.
    ///   - stream: What it gets as descriptor 0, instead of a pipe for lines.
    ///   - output: The file for its output; none to throw it away.
    /// - Throws: When it cannot be started.
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
        try process.run()
    }

    deinit {
        end(with: SIGKILL)
    }

    var number: Int32 { process.processIdentifier }
    var isRunning: Bool { process.isRunning }
    var status: Int32 { process.terminationStatus }

    /// What it has in memory, in octets.
    func residentSize() throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(number)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        return try #require(line.split(separator: " ").compactMap { Int($0) }.first) * 1_024
    }

    /// Gives it a line on standard input.
    func write(line: String) throws {
        try input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8))
    }

    /// Lets it read the end of its input.
    func closeInput() throws {
        try input.fileHandleForWriting.close()
    }

    /// Sends a signal and waits for the end, which SIGKILL forces when the guard against hangs has
    /// passed.
    ///
    /// - Returns: Whether it ended of its own accord: it handled the signal, and exited.
    @discardableResult
    func end(with signal: Int32 = SIGTERM) -> Bool {
        guard process.isRunning else { return true }
        kill(number, signal)
        if !comesTrue({ !process.isRunning }) { kill(number, SIGKILL) }
        process.waitUntilExit()
        return process.terminationReason == .exit
    }
}

/// How long a test waits for what must happen: it only keeps a hang from being endless, and no
/// machine is too slow for it.
let hangGuard: Duration = .seconds(120)

/// Waits until something is true; false when that has not happened before the guard against hangs.
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
