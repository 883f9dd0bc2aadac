import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("DHCP script")
struct DHCPScriptTests {
    /// A clock that can run ahead of the kernel's.
    private final class Clock {
        var ahead = Duration.zero
        func now() -> Instant { EventLoop.monotonicClock() + ahead }
    }

    private let clock = Clock()
    private let loop: EventLoop
    private let directory: URL

    init() throws {
        let clock = clock
        loop = try EventLoop(clock: { clock.now() })
        directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("rdnet-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }

    private func recipient(_ text: String) throws -> DHCPScript {
        let path = directory.appendingPathComponent("script").path
        try AtomicFile.replace(path, with: "#!/bin/sh\ncd \(directory.path)\n\(text)\n")
        chmod(path, 0o755)
        return DHCPScript(
            path: path,
            interface: "eth0",
            environment: ["PATH=/usr/bin:/bin"],
            loop: loop,
            log: Logger.discarding()
        )
    }

    /// Turns the loop until a condition holds; fails after `hangGuard`.
    private func turn(until isDone: () throws -> Bool) throws {
        let deadline = EventLoop.monotonicClock() + hangGuard
        while try !isDone() {
            try #require(EventLoop.monotonicClock() < deadline, "it did not happen")
            try loop.turn(waitingAtMost: .milliseconds(20))
        }
    }

    private func removeDirectory() {
        #expect(throws: Never.self) { try FileManager.default.removeItem(at: directory) }
    }

    @Test func `runs one at a time, in order`() throws {
        defer { removeDirectory() }
        let script = try recipient("echo begin $1 >>log; sleep 0.05; echo end $1 >>log")
        var done: [Int] = []
        script.apply(.lost) { done.append(1) }
        script.apply(.silence) { done.append(2) }
        try turn { done.count == 2 }
        #expect(done == [1, 2])
        let log = try String(contentsOf: directory.appendingPathComponent("log"), encoding: .utf8)
        #expect(log == "begin deconfig\nend deconfig\nbegin leasefail\nend leasefail\n")
    }

    @Test func `a script that hangs is killed after half a minute, and the next one runs`() throws {
        defer { removeDirectory() }
        let script = try recipient("test $1 = leasefail || { sleep 100 & echo $! >child; wait; }")
        var done: [Int] = []
        script.apply(.lost) { done.append(1) }
        script.apply(.silence) { done.append(2) }
        var child: pid_t?
        try turn {
            let text = FileManager.default.contents(atPath: directory.path + "/child") ?? Data()
            child = pid_t(String(decoding: text, as: UTF8.self).split(separator: "\n").first ?? "")
            return child != nil
        }
        #expect(done.isEmpty)
        clock.ahead = DHCPScript.patience
        try turn { done.count == 2 }
        #expect(done == [1, 2])
        // The script's own child is dead too: reaped, or a zombie that waits for a reaper.
        let status = "/proc/\(try #require(child))/stat"
        try turn {
            let state = FileManager.default.contents(atPath: status) ?? Data()
            return state.isEmpty || String(decoding: state, as: UTF8.self).contains(") Z ")
        }
    }

    @Test func `of changes that come too fast, the last are kept`() throws {
        defer { removeDirectory() }
        let script = try recipient("true")
        var done: [Int] = []
        for number in 0..<20 { script.apply(.lost) { done.append(number) } }
        // The first runs, eight wait, and the queue dropped the others.
        #expect(done == Array(1...11))
        try turn { done.count == 20 }
        #expect(done.last == 19)
    }

    @Test func `a script that does not exist, or fails, holds nothing up`() throws {
        defer { removeDirectory() }
        let script = DHCPScript(
            path: "/does/not/exist",
            interface: "eth0",
            environment: [],
            loop: loop,
            log: Logger.discarding()
        )
        var done = 0
        script.apply(.lost) { done += 1 }
        #expect(done == 1)
        try recipient("exit 3").apply(.lost) { done += 1 }
        try turn { done == 2 }
    }
}
