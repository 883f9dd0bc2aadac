import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("host-switch on its standard streams")
struct StandardStreamsTests {
    /// Starts host-switch with pipes, or one socket, as its standard streams.
    private func start(_ input: Any, _ output: Any, log: String) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: BuiltProgram.rdnet)
        process.arguments = ["host-switch", "--link", "stdio://", "--logfile", log]
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.start()
        return process
    }

    private func end(_ process: Process) {
        process.terminate()
        process.waitUntilExit()
    }

    @Test func `frames pass through pipes, and nothing else is printed there`() throws {
        let directory = TemporaryDirectory()
        let (input, output) = (Pipe(), Pipe())
        let process = try start(input, output, log: directory.file("log"))
        defer { end(process) }
        for _ in 0..<3 {
            try input.fileHandleForWriting.write(contentsOf: Data(ARPQuestion.framed))
            let prefix = try #require(try output.fileHandleForReading.read(upToCount: 2))
            #expect(Array(prefix) == [60, 0])
            let answer = try #require(try output.fileHandleForReading.read(upToCount: 60))
            ARPQuestion.expectAnswer(Array(answer))
        }
        // The end of the input ends the link, but not the program.
        try input.fileHandleForWriting.close()
        let log = directory.file("log")
        let hasEnded = try comesTrue {
            try String(contentsOfFile: log, encoding: .utf8).contains("link closed")
        }
        #expect(hasEnded)
        #expect(process.isRunning)
    }

    @Test func `frames pass through one socket`() throws {
        let directory = TemporaryDirectory()
        let pair = try Socket.pair()
        try pair.other.setBlocking()
        let far = FileHandle(fileDescriptor: pair.other.number, closeOnDealloc: false)
        let process = try start(far, far, log: directory.file("log"))
        defer { end(process) }
        let peer = HostPeer(try pair.one.duplicate())
        try peer.write(ARPQuestion.framed)
        let hasCome = comesTrue {
            peer.read()
            return peer.received.count >= 62
        }
        #expect(hasCome)
        ARPQuestion.expectAnswer(Array(peer.received.dropFirst(2)))
    }

    @Test func `a reader that is gone ends the link, not the program`() throws {
        let directory = TemporaryDirectory()
        let (input, output) = (Pipe(), Pipe())
        let process = try start(input, output, log: directory.file("log"))
        defer { end(process) }
        try output.fileHandleForReading.close()
        try input.fileHandleForWriting.write(contentsOf: Data(ARPQuestion.framed))
        let hasEnded = comesTrue {
            let octets = FileManager.default.contents(atPath: directory.file("log")) ?? Data()
            return String(decoding: octets, as: UTF8.self).contains("Broken pipe")
        }
        #expect(hasEnded)
        #expect(process.isRunning)
    }

    @Test func `a file is refused in one sentence`() throws {
        let directory = TemporaryDirectory()
        let process = try start(
            FileHandle.nullDevice,
            FileHandle.nullDevice,
            log: directory.file("log")
        )
        process.waitUntilExit()
        #expect(process.terminationStatus == 1)
        let log = try String(contentsOfFile: directory.file("log"), encoding: .utf8)
        #expect(log.contains("stdio://: standard input is neither a pipe nor a socket"))
    }
}
