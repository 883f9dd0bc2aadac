import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "log rotation",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct LogRotationTests {
    @Test("every start appends to the log file", arguments: StartedRole.serving)
    func appends(role: String) throws {
        let started = try StartedRole(role, before: "echo before >@/log")
        #expect(started.log.hasPrefix("before\ntime="))
    }

    /// Whether a role has a terminal, whose hang-up is another reason for SIGHUP.
    private static let terminals = [false, true]

    @Test("SIGHUP opens a renamed log file again", arguments: StartedRole.serving, terminals)
    func reopens(role: String, isOnTerminal: Bool) throws {
        let started = try StartedRole(role, isOnTerminal: isOnTerminal)
        let (log, old) = (started.directory.file("log"), started.directory.file("log.1"))
        for _ in 0..<2 {
            #expect(rename(log, old) == 0)
            try started.send(SIGHUP)
            #expect(comesTrue { started.log.contains("log file reopened") }, "\(started.log)")
        }
        #expect(started.program?.isRunning == true)
        // The old file has everything from before the signal.
        #expect(!started.log.contains("waiting") && !started.text(of: "log.1").isEmpty)
    }

    @Test func `a log file that cannot be opened again is one warning, in the old file`() throws {
        let started = try StartedRole("wsl-proxy")
        let (log, old) = (started.directory.file("log"), started.directory.file("log.1"))
        #expect(rename(log, old) == 0)
        try run("mkdir", log)
        try started.send(SIGHUP)
        #expect(comesTrue { started.text(of: "log.1").contains("cannot reopen the log file") })
        #expect(started.program?.isRunning == true)
    }

    /// The two modes of logrotate.
    ///
    /// It renames the file and the program opens a new one, or it copies and truncates the file.
    enum Mode: String, CaseIterable {
        case create
        case copytruncate
    }

    @Test("logrotate loses nothing and leaves no hole", arguments: Mode.allCases)
    func logrotate(mode: Mode) throws {
        let started = try StartedRole("wsl-proxy")
        let path = started.directory.path
        let number = try #require(started.program?.number)
        let configuration = """
            \(path)/log {
                rotate 9
                nocompress
                \(mode.rawValue)
                postrotate
                    \(mode == .create ? "kill -HUP \(number)" : ":")
                endscript
            }

            """
        try AtomicFile.replace("\(path)/conf", with: configuration, mode: 0o600)
        for round in 1...3 {
            let port = 8080 + round
            let message = #"{"ports":{"1/tcp":[{"HostIp":"127.0.0.1","HostPort":"\#(port)"}]}}"#
            try run("sh", "-c", "echo '\(message)' | nc -N -U \(path)/proxy.sock")
            #expect(comesTrue { started.log.contains(":\(port)/tcp") }, "\(started.log)")
            try run("logrotate", "-f", "-s", "\(path)/state", "\(path)/conf")
            if mode == .create {
                #expect(comesTrue { started.log.contains("log file reopened") })
            }
        }
        for round in 1...3 {
            let text = started.text(of: "log.\(4 - round)")
            #expect(text.contains(":\(8080 + round)/tcp") && !text.contains("\0"), "\(text)")
        }
        #expect(!started.log.contains("\0"))
        #expect(started.program?.isRunning == true)
    }
}
