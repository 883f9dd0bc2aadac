import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// A run of `rdnet ctl`, with its output and status.
final class CtlProgram {
    private let process = Process()
    private let directory = TemporaryDirectory()
    private let standardInput = Pipe()

    /// Starts the program.
    ///
    /// - Parameters:
    ///   - arguments: The arguments after `ctl`.
    ///   - api: The API's address for its environment; nil for an empty environment.
    ///   - runtime: The run-time directory in which it looks for networks.
    ///   - input: The file for its standard input; nil for a pipe.
    /// - Throws: If the program cannot be started.
    init(
        _ arguments: [String],
        api: String?,
        runtime: String? = nil,
        input: String? = nil
    ) throws {
        process.executableURL = URL(fileURLWithPath: BuiltProgram.rdnet)
        process.arguments = ["ctl"] + arguments
        process.environment = api.map { ["RDNET_API": $0] } ?? [:]
        if let runtime { process.environment?["XDG_RUNTIME_DIR"] = runtime }
        process.standardInput = standardInput
        if let input {
            process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: input))
        }
        process.standardOutput = try file("output")
        process.standardError = try file("error")
        try process.start()
    }

    deinit {
        guard process.isRunning else { return }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    private func file(_ name: String) throws -> FileHandle {
        let url = URL(fileURLWithPath: directory.file(name))
        try Data().write(to: url)
        return try FileHandle(forWritingTo: url)
    }

    /// The standard output so far.
    var output: Data { FileManager.default.contents(atPath: directory.file("output")) ?? Data() }
    var text: String { String(decoding: output, as: UTF8.self) }
    /// The standard error output so far.
    var error: String {
        directory.text(of: "error")
    }

    /// Writes to the program's standard input.
    func write(_ text: String) throws {
        try standardInput.fileHandleForWriting.write(contentsOf: Data(text.utf8))
    }

    func endInput() throws {
        try standardInput.fileHandleForWriting.close()
    }

    /// Waits for the program's end and returns its status.
    func end() throws -> Int32 {
        try #require(comesTrue { !process.isRunning }, "it does not end: \(error)")
        return process.terminationStatus
    }
}
