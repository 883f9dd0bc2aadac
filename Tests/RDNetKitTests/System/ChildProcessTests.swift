import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("child process")
struct ChildProcessTests {
    private let loop: EventLoop

    init() throws {
        loop = try EventLoop()
    }

    private func end(of script: String, environment: [String] = []) throws -> ProcessEnd? {
        var end: ProcessEnd?
        let command = ChildProcess.Command(
            path: "/bin/sh",
            arguments: ["-c", script],
            environment: environment
        )
        let child = try ChildProcess(command, on: loop) { status, _ in end = status }
        try turn { end != nil }
        _ = child
        return end
    }

    /// Turns the loop until a condition holds, at most for `hangGuard`.
    private func turn(until isDone: () -> Bool) throws {
        let deadline = EventLoop.monotonicClock() + hangGuard
        while !isDone(), EventLoop.monotonicClock() < deadline {
            try loop.turn(waitingAtMost: .milliseconds(100))
        }
    }

    @Test func `tells the status and the signal that ended it`() throws {
        #expect(try end(of: "exit 0") == .exited(0))
        #expect(try end(of: "exit 42") == .exited(42))
        #expect(try end(of: "kill -TERM $$") == .killed(signal: SIGTERM))
    }

    @Test func `has the environment that it is given, and no more`() throws {
        #expect(
            try end(of: "test \"$A\" = 'b c' -a -z \"$HOME\"", environment: ["A=b c"]) == .exited(0)
        )
    }

    @Test func `inherits no descriptor but the standard ones`() throws {
        let pair = try Socket.pair()
        let script = "test ! -e /proc/self/fd/\(pair.one.number)"
        #expect(try end(of: script) == .exited(0))
    }

    @Test func `writes where it is told`() throws {
        let pipe = Pipe()
        var end: ProcessEnd?
        let command = ChildProcess.Command(
            path: "/bin/echo",
            arguments: ["hello"],
            descriptors: [nil, pipe.fileHandleForWriting.fileDescriptor]
        )
        _ = try ChildProcess(command, on: loop) { status, _ in end = status }
        try turn { end != nil }
        #expect(end == .exited(0))
        try pipe.fileHandleForWriting.close()
        #expect(pipe.fileHandleForReading.readDataToEndOfFile() == Data("hello\n".utf8))
    }

    @Test func `gets the descriptors that it is given, whatever their numbers were`() throws {
        let directory = TemporaryDirectory()
        // Two files that trade descriptor numbers: each number is the other file's in the program.
        let names = ["one", "two"]
        let files = try names.map { name in
            try AtomicFile.replace(directory.file(name), with: name)
            return try #require(FileHandle(forReadingAtPath: directory.file(name)))
        }
        let numbers = files.map { Int($0.fileDescriptor) }
        var descriptors = [Int32?](repeating: nil, count: max(numbers[0], numbers[1]) + 1)
        descriptors[numbers[0]] = Int32(numbers[1])
        descriptors[numbers[1]] = Int32(numbers[0])
        let command = ChildProcess.Command(
            path: "/bin/bash",
            arguments: [
                "-c", "test \"$(cat <&\(numbers[0]))$(cat <&\(numbers[1]))$(cat)\" = twoone",
            ],
            environment: ["PATH=/bin:/usr/bin"],
            descriptors: descriptors,
            readsNothing: true
        )
        var end: ProcessEnd?
        let child = try ChildProcess(command, on: loop) { status, _ in end = status }
        try turn { end != nil }
        #expect(end == .exited(0))
        _ = child
    }

    @Test func `can be terminated`() throws {
        var end: ProcessEnd?
        let command = ChildProcess.Command(path: "/bin/sleep", arguments: ["100"])
        let child = try ChildProcess(command, on: loop) { status, _ in end = status }
        child.terminate()
        try turn { end != nil }
        #expect(end == .killed(signal: SIGKILL))
    }

    @Test func `a program that does not exist is an error`() {
        let command = ChildProcess.Command(path: "/does/not/exist")
        do {
            _ = try ChildProcess(command, on: loop) { _, _ in }
            Issue.record("it cannot run")
        } catch {
            #expect("\(error)" == "run /does/not/exist: No such file or directory")
        }
    }

    @Test func `is gone when it was ended, with its children, and nobody is told`() throws {
        var told = false
        let directory = TemporaryDirectory()
        let command = ChildProcess.Command(
            path: "/bin/sh",
            arguments: ["-c", "sleep 1000 & echo $! >\(directory.file("child")); wait"],
            environment: ["PATH=/usr/bin:/bin"],
            leadsGroup: true
        )
        let child = try ChildProcess(command, on: loop) { _, _ in told = true }
        let pidFile = directory.file("child")
        let hasStarted = comesTrue { FileManager.default.contents(atPath: pidFile)?.count ?? 0 > 1 }
        #expect(hasStarted)
        child.end()
        #expect(kill(child.process, 0) == -1)
        let text = try String(contentsOfFile: pidFile, encoding: .utf8)
        let number = try #require(Int32(text.dropLast()))
        // Another process reaps that one, so its end takes a moment.
        #expect(comesTrue { kill(number, 0) == -1 })
        child.end()
        try loop.turn(waitingAtMost: .zero)
        #expect(!told)
    }
}
