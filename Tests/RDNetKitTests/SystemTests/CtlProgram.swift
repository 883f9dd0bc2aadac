import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// `rdnet ctl`, what it prints, and how it ends.
final class CtlProgram {
    private let process = Process()
    private let directory = TemporaryDirectory()
    private let standardInput = Pipe()

    /// Starts it.
    ///
    /// - Parameters:
    ///   - arguments: Behind `ctl`.
    ///   - api: What it is told to ask in its environment; nil to tell it nothing.
    ///   - input: The file that it reads; nil for a pipe.
    /// - Throws: When it cannot be started.
    init(_ arguments: [String], api: String?, input: String? = nil) throws {
        process.executableURL = URL(fileURLWithPath: BuiltProgram.rdnet)
        process.arguments = ["ctl"] + arguments
        process.environment = api.map { ["RDNET_API": $0] } ?? [:]
        process.standardInput = standardInput
        if let input {
            process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: input))
        }
        process.standardOutput = try file("output")
        process.standardError = try file("error")
        try process.run()
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

    /// What it has printed so far.
    var output: Data { FileManager.default.contents(atPath: directory.file("output")) ?? Data() }
    var text: String { String(decoding: output, as: UTF8.self) }
    /// What it has said on standard error.
    var error: String {
        let octets = FileManager.default.contents(atPath: directory.file("error")) ?? Data()
        return String(decoding: octets, as: UTF8.self)
    }

    /// Gives it something to read.
    func write(_ text: String) throws {
        try standardInput.fileHandleForWriting.write(contentsOf: Data(text.utf8))
    }

    func endInput() throws {
        try standardInput.fileHandleForWriting.close()
    }

    /// Waits for its end, and returns its status.
    func end() throws -> Int32 {
        try #require(comesTrue { !process.isRunning }, "it does not end: \(error)")
        return process.terminationStatus
    }
}
