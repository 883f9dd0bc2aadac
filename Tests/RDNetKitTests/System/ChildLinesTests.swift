import Foundation
import Testing

@testable import RDNetKit

@Suite("a child's lines")
struct ChildLinesTests {
    private let loop: EventLoop

    init() throws {
        loop = try EventLoop()
    }

    /// Returns the lines of a script's standard error.
    private func lines(of script: String) throws -> [String] {
        var (lines, hasEnded): ([String], Bool) = ([], false)
        let output = try ChildLines(loop: loop) { lines.append($0) }
        let command = ChildProcess.Command(
            path: "/bin/sh",
            arguments: ["-c", script],
            environment: ["PATH=/usr/bin:/bin"],
            descriptors: [nil, nil, output.number]
        )
        let child = try ChildProcess(command, on: loop) { _, _ in
            output.close()
            hasEnded = true
        }
        output.childHasStarted()
        let deadline = EventLoop.monotonicClock() + hangGuard
        while !hasEnded, EventLoop.monotonicClock() < deadline {
            try loop.turn(waitingAtMost: .milliseconds(100))
        }
        #expect(hasEnded)
        _ = child
        return lines
    }

    @Test func `are told one by one, without their ends, empty ones not at all`() throws {
        let script = #"printf 'one\r\n\n two \nthr' >&2; sleep 0.1; printf 'ee' >&2"#
        #expect(try lines(of: script) == ["one", " two ", "three"])
    }

    @Test func `are told though the child has ended already`() throws {
        let lines = try lines(of: "i=0; while [ $i -lt 2000 ]; do echo $i >&2; i=$((i+1)); done")
        #expect(lines == (0..<2_000).map { String($0) })
    }

    @Test func `are cut when they are too long`() throws {
        let script = "head -c 100000 /dev/zero | tr '\\0' x >&2; echo >&2; echo next >&2"
        let expected = [String(repeating: "x", count: ChildLines.maximumLineLength), "next"]
        #expect(try lines(of: script) == expected)
    }
}
