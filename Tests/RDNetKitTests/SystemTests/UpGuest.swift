import Foundation
import Testing

/// `rdnet up` with a command that only waits, so that a test can use the guest.
final class UpGuest: GuestScene {
    let host: NetworkNamespace
    let guest: NetworkNamespace
    /// The command's process ID.
    let command: Int32
    private let directory = TemporaryDirectory()
    private let up: RunningProgram
    var servers: [RunningProgram] = []

    /// Starts `rdnet up` and waits until the command runs; the guest has its address then.
    init(program: [String] = [BuiltProgram.rdnet], options: [String] = []) throws {
        host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        let file = directory.file("process")
        let words = [
            "/bin/sh", "-c", "echo $$ >\(file).new; mv \(file).new \(file); exec sleep 1000",
        ]
        let arguments = program + ["up", "--logfile", directory.file("log")]
        up = try RunningProgram(arguments + options + ["--"] + words, in: host)
        let isThere = comesTrue { FileManager.default.fileExists(atPath: file) }
        try #require(isThere, "up does not run its command")
        let text = try String(contentsOfFile: file, encoding: .utf8)
        let process: Int32 = try #require(Int32(text.dropLast()))
        self.command = process
        guest = try NetworkNamespace(of: process)
    }

    /// The program's log so far.
    var log: String {
        get throws { try String(contentsOfFile: directory.file("log"), encoding: .utf8) }
    }

    deinit {
        for server in servers { server.end(with: SIGKILL) }
        up.end()
    }
}
