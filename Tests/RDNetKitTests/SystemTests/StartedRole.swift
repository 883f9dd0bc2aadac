import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// One role of the program in its own namespace and directory, started so that it waits.
final class StartedRole {
    /// The roles that serve until a signal ends them.
    static let serving = [
        "host-switch", "gvproxy", "wsl-proxy", "network-setup", "vm-switch", "gvforwarder",
        "port-fs",
        "port-forwarder",
    ]

    let directory = TemporaryDirectory()
    let namespace: NetworkNamespace
    private(set) var program: RunningProgram?
    /// The role's process ID.
    private var number: Int32?
    private let role: String
    private let logName: String?

    /// Starts a role and waits until it handles signals.
    ///
    /// - Parameters:
    ///   - role: The role's name.
    ///   - logName: The log file's name in the directory; nil logs to standard error.
    ///   - before: A shell command before the program starts, such as a trap; `@` stands for the
    ///     directory.
    ///   - isOnTerminal: Whether the role has a controlling terminal, script(1)'s.
    /// - Throws: If the role does not start to wait.
    init(
        _ role: String,
        log logName: String? = "log",
        before: String = ":",
        isOnTerminal: Bool = false
    ) throws {
        self.role = role
        self.logName = logName
        namespace = try NetworkNamespace()
        try namespace.run("ip", "link", "set", "lo", "up")
        let words = [BuiltProgram.rdnet, role] + arguments
        let preparation = before.replacingOccurrences(of: "@", with: directory.path)
        let command =
            isOnTerminal
            ? [
                "env", "SHELL=/bin/sh", "script", "-qec",
                "\(preparation); exec '\(words.joined(separator: "' '"))'", "/dev/null",
            ]
            : ["sh", "-c", "\(preparation); exec \"$@\"", "sh"] + words
        let program = try RunningProgram(
            command,
            in: namespace,
            output: URL(fileURLWithPath: directory.file("output"))
        )
        self.program = program
        let isReady = comesTrue { text(of: "command").isEmpty == false || log.contains(sign) }
        try #require(isReady, "\(role): \(log)")
        number =
            isOnTerminal ? try ProcessStatus.children(of: program.number).first : program.number
    }

    deinit {
        program?.end(with: SIGKILL)
    }

    private var arguments: [String] {
        let path = directory.path
        let words: [String] =
            switch role {
            case "host-switch": ["--link", "unix://\(path)/link"]
            case "gvproxy": ["-listen", "unix://\(path)/api"]
            case "wsl-proxy": ["-socketFile", "\(path)/proxy.sock"]
            case "port-forwarder": ["-data-listen", "\(path)/data"]
            case "network-setup":
                [
                    "--vm-switch-path", "/bin/true", "--unshare-arg", "/bin/true",
                    "--handshake-link", "unix://\(path)/vm",
                ]
            case "vm-switch": ["--link", "unix://\(path)/nowhere", "--resolv-conf", ""]
            case "gvforwarder":
                ["-url", "unix://\(path)/nowhere", "-stop-if-exist", "", "-resolv-conf", ""]
            case "port-fs": ["--listen", "unix://\(path)/port"]
            default: []
            }
        let option = role == "gvproxy" ? "-log-file" : "-logfile"
        let log = [option, logName.map { "\(path)/\($0)" } ?? ""]
        guard role == "up" else { return words + log }
        let command = "trap '' USR1 USR2; echo >\(path)/command; exec sleep 1000"
        return log + ["--", "/bin/sh", "-c", command]
    }

    /// The log message of a role that has started to wait.
    private var sign: String {
        switch role {
        case "host-switch": "DNS servers"
        case "gvproxy": "waiting for clients"
        case "wsl-proxy": "waiting for published ports"
        case "port-fs": "waiting for 9P clients"
        case "port-forwarder": "waiting for the data connection"
        case "network-setup": "waiting for the host"
        default: "no connection to the host"
        }
    }

    /// The role's log.
    var log: String { text(of: logName ?? "output") }

    func text(of name: String) -> String {
        directory.text(of: name)
    }

    /// Returns a signal mask of the process from `/proc/PID/status`: `SigIgn` or `SigBlk`.
    func mask(_ name: String) throws -> UInt64 {
        let number = try #require(program?.number)
        return try Self.mask(
            name,
            in: String(contentsOfFile: "/proc/\(number)/status", encoding: .utf8)
        )
    }

    static func mask(_ name: String, in status: String) throws -> UInt64 {
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix(name + ":") })
        return try #require(
            UInt64(line.dropFirst(name.count + 1).trimmingPrefix { $0 == "\t" }, radix: 16)
        )
    }

    /// Returns the bits of signals in a mask.
    static func bits(_ signals: [Int32]) -> UInt64 {
        signals.reduce(0) { $0 | 1 << UInt64($1 - 1) }
    }

    func send(_ signals: Int32...) throws {
        let number = try #require(number)
        for signal in signals { #expect(kill(number, signal) == 0) }
    }

    /// Waits for the program's end; returns its exit status, or the signal that killed it.
    func waitForEnd() throws -> Int32 {
        let program = try #require(program)
        try #require(comesTrue { !program.isRunning }, "\(role) still runs: \(log)")
        return program.status
    }
}
