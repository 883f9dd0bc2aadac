import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// `rdnet up` from its caller's view: it must behave as the command would alone.
@Suite(
    "up runs its command",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct UpCommandTests {
    private let directory = TemporaryDirectory()
    private let host: NetworkNamespace

    init() throws {
        host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
    }

    private var output: String {
        directory.text(of: "output")
    }

    /// Starts `rdnet up` after a prefix, with options and a command.
    private func start(
        after prefix: [String] = [],
        options: [String] = [],
        _ command: String...
    ) throws -> RunningProgram {
        try RunningProgram(
            prefix + [BuiltProgram.rdnet, "up"] + options + ["--"] + command,
            in: host,
            output: URL(fileURLWithPath: directory.file("output"))
        )
    }

    private func status(of program: RunningProgram) throws -> Int32 {
        let hasEnded = comesTrue(within: .seconds(60)) { !program.isRunning }
        try #require(hasEnded, "it still runs: \(output)")
        return program.status
    }

    private func write(_ name: String, _ text: String, mode: mode_t) throws {
        let path = directory.file(name)
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        chmod(path, mode)
    }

    // MARK: Signals

    @Test(
        "a signal that a process sends to rdnet alone reaches the command",
        arguments: ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "CONT", "WINCH"]
    )
    func forwards(signal: String) throws {
        let program = try start(
            "perl",
            "-e",
            "$SIG{\(signal)} = sub { exit 7 }; $| = 1; print qq(ready\\n); sleep 1 while 1"
        )
        try #require(comesTrue(within: .seconds(60)) { output.contains("ready") })
        try run("kill", "-s", signal, String(program.number))
        #expect(try status(of: program) == 7)
    }

    @Test func `a command that a signal ends makes the status 128 and the signal`() throws {
        let program = try start("perl", "-e", "$| = 1; print qq(ready\\n); sleep 1 while 1")
        try #require(comesTrue(within: .seconds(60)) { output.contains("ready") })
        kill(program.number, SIGUSR2)
        #expect(try status(of: program) == 128 + SIGUSR2)
    }

    @Test func `SIGUSR1 is for the capture where there is one`() throws {
        let program = try start(
            options: ["--capture", directory.file("capture")],
            "perl",
            "-e",
            "$SIG{USR2} = sub { exit 7 }; $| = 1; print qq(ready\\n); sleep 1 while 1"
        )
        try #require(comesTrue(within: .seconds(60)) { output.contains("ready") })
        // The command does not handle SIGUSR1, which would end it.
        kill(program.number, SIGUSR1)
        kill(program.number, SIGUSR2)
        #expect(try status(of: program) == 7)
    }

    @Test func `a key of the terminal reaches the command once`() throws {
        try write(
            "command",
            """
            #!/usr/bin/perl
            $SIG{INT} = sub { $count++ };
            $| = 1;
            print "ready\\n";
            until (defined($line = <STDIN>)) {}
            print "count=$count line=$line";
            """,
            mode: 0o755
        )
        // Without exec, a shell such as dash stays in the foreground, and the key ends it as well.
        let command = "exec \(BuiltProgram.rdnet) up -- \(directory.file("command"))"
        let program = try RunningProgram(
            ["script", "-qefc", command, directory.file("typescript")],
            in: host,
            output: URL(fileURLWithPath: directory.file("output"))
        )
        try #require(comesTrue(within: .seconds(60)) { output.contains("ready") })
        try program.write(line: "\u{3}over")
        let end = try status(of: program)
        #expect(end == 0, "\(end): \(output)")
        #expect(output.contains("count=1 line=over"), "\(output)")
    }

    // MARK: The rules of execvp(3)

    @Test func `a script without an interpreter's line runs in the shell`() throws {
        try write("script", "echo $0 $1", mode: 0o755)
        let program = try start(after: ["env", "-C", directory.path], "./script", "word")
        #expect(try status(of: program) == 0)
        #expect(output == "./script word\n")
    }

    @Test func `the program's name stays as it was typed`() throws {
        let program = try start("cat", "/proc/self/cmdline")
        #expect(try status(of: program) == 0)
        #expect(output == "cat\0/proc/self/cmdline\0")
    }

    @Test(
        "what cannot run ends with 126, and what is not there with 127",
        arguments: [
            ("./plain", 126, "./plain: Permission denied"),
            ("plain", 126, "plain: Permission denied"),
            ("./missing", 127, "./missing: No such file or directory"),
            ("missing", 127, "missing: command not found"),
            ("", 127, ": command not found"),
        ]
    )
    func refuses(command: String, status expected: Int32, sentence: String) throws {
        try write("plain", "exit 0", mode: 0o644)
        let path = "PATH=\(directory.path):/nowhere"
        let program = try start(after: ["env", "-C", directory.path, path], command)
        #expect(try status(of: program) == expected)
        #expect(output == "rdnet up: \(sentence)\n")
    }

    @Test func `a file that may not run does not hide one that may, later in PATH`() throws {
        try write("tool", "exit 3", mode: 0o644)
        let folder = directory.file("folder")
        try FileManager.default.createDirectory(
            atPath: folder,
            withIntermediateDirectories: false
        )
        try write("folder/tool", "exit 4", mode: 0o755)
        let path = "PATH=\(directory.path):/nowhere:\(folder)"
        #expect(try status(of: try start(after: ["env", path], "tool")) == 4)
    }
}
