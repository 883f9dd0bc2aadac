import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "signals",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct SignalTests {
    @Test(
        "a signal that was ignored at the start stays ignored",
        arguments: StartedRole.serving + ["up"]
    )
    func staysIgnored(role: String) throws {
        let signals = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2]
        let started = try StartedRole(role, before: "trap '' HUP INT QUIT TERM USR1 USR2")
        let bits = StartedRole.bits(signals)
        #expect(try started.mask("SigIgn") & bits == bits)
        // A blocked signal would reach a signalfd even if it is ignored.
        #expect(try started.mask("SigBlk") & StartedRole.bits([SIGHUP, SIGINT, SIGTERM]) == 0)
        for signal in signals { try started.send(signal) }
        try started.send(SIGKILL)
        #expect(try started.waitForEnd() == SIGKILL)
        #expect(!started.log.contains("signal"))
    }

    /// Signals that ask nothing of a program; the last three are real-time signals.
    private static let strays: [Int32] = [
        SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGSTKFLT, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, 34, 50,
        64,
    ]

    @Test("stray signals end nothing", arguments: StartedRole.serving + ["up"])
    func strays(role: String) throws {
        let started = try StartedRole(role)
        // The kernel delivers lower numbers first, so an unblocked stray signal would come before
        // SIGTERM.
        let number = try #require(started.program?.number)
        for signal in Self.strays where signal < SIGTERM { kill(number, signal) }
        // No unblocked signal above SIGTERM may come after it.
        let blocked = try started.mask("SigBlk")
        let bits = StartedRole.bits(Self.strays.filter { $0 > SIGTERM })
        #expect(blocked & bits == bits)
        for signal in Self.strays where signal > SIGTERM { kill(number, signal) }
        try started.send(SIGTERM)
        let status = try started.waitForEnd()
        #expect(!Self.strays.contains(status), "\(started.log)")
        #expect(role != "wsl-proxy" && role != "gvproxy" || status == 0)
    }

    @Test func `stray signals do not end a query`() throws {
        let directory = TemporaryDirectory()
        let path = directory.file("mute")
        let server = try RunningProgram(["nc", "-l", "-U", path], output: nil)
        #expect(comesTrue { FileManager.default.fileExists(atPath: path) })
        let query = try RunningProgram(
            [
                BuiltProgram.rdnet, "ctl", "--api", "unix://\(path)", "stats",
            ]
        )
        let isConnected = try comesTrue {
            try run("ss", "-Hx", "src", path).contains("ESTAB")
        }
        #expect(isConnected)
        for signal in Self.strays + [SIGTERM] { kill(query.number, signal) }
        #expect(comesTrue { !query.isRunning })
        #expect(query.status == SIGTERM)
        server.end(with: SIGKILL)
    }

    @Test func `a child has nothing blocked, and ignores only what its parent was told to`() throws
    {
        let directory = TemporaryDirectory()
        let (script, status) = (directory.file("script"), directory.file("status"))
        let text = """
            #!/bin/sh
            cat /proc/self/status >\(status).new && mv \(status).new \(status)
            exec sleep 1000
            """
        try AtomicFile.replace(script, with: text)
        try run("chmod", "+x", script)
        let guest = try NetworkNamespace()
        let program = try RunningProgram(
            [
                "sh", "-c", "trap '' HUP; exec \"$@\"", "sh", BuiltProgram.rdnet, "gvforwarder",
                "-url", "stdio:\(script)", "-stop-if-exist", "", "-resolv-conf", "",
            ],
            in: guest
        )
        #expect(comesTrue { FileManager.default.fileExists(atPath: status) })
        let masks = try String(contentsOfFile: status, encoding: .utf8)
        #expect(try StartedRole.mask("SigBlk", in: masks) == 0)
        let ending = StartedRole.bits([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2])
        let ignored = try StartedRole.mask("SigIgn", in: masks)
        #expect(ignored & ending == StartedRole.bits([SIGHUP]))
        program.end()
    }

    @Test func `up knows its command's status though SIGCHLD was ignored`() throws {
        let program = try RunningProgram([
            "sh", "-c", "trap '' CHLD; exec \"$@\"", "sh", BuiltProgram.rdnet, "up", "--",
            "/bin/sh", "-c",
            "exit 7",
        ])
        #expect(comesTrue { !program.isRunning })
        #expect(program.status == 7)
    }

    // MARK: Terminal hang-ups

    /// Runs a shell command on its own terminal, which hangs up when its other end closes.
    private func startOnTerminal(_ words: String, in host: NetworkNamespace) throws
        -> RunningProgram
    {
        try RunningProgram(
            ["script", "-q", "-c", words, "/dev/null"],
            in: host
        )
    }

    private func gvproxy(_ directory: TemporaryDirectory) -> String {
        let path = directory.path
        return "\(BuiltProgram.rdnet) gvproxy -listen unix://\(path)/api "
            + "-pid-file \(path)/pid -log-file \(path)/log"
    }

    @Test func `with nohup, gvproxy outlives its terminal`() throws {
        let scene = try GVProxyScene()
        let words = "nohup \(gvproxy(scene.directory)) >/dev/null 2>&1 & wait; exec sleep 1000"
        let terminal = try startOnTerminal(words, in: scene.host)
        #expect(comesTrue { scene.text("log").contains("waiting for clients...") })
        let number = try #require(Int32(scene.text("pid")))
        defer { kill(number, SIGKILL) }
        kill(terminal.number, SIGKILL)
        // The hang-up is complete once the session has lost its terminal.
        let hasHungUp = try comesTrue {
            try run("ps", "-o", "tty=", "-p", "\(number)").trimmed == "?"
        }
        #expect(hasHungUp)
        let api = scene.directory.file("api")
        try scene.host.run("curl", "-sSf", "--unix-socket", api, "http://x/stats")
        #expect(!scene.text("log").contains("signal"))
    }

    @Test(
        "a hang-up of the terminal ends a program that has a log file",
        arguments: ["exec", "trap 'kill -HUP $!' HUP;"]
    )
    func hangUp(before: String) throws {
        let scene = try GVProxyScene()
        // A shell forwards the signal to its background programs.
        let isShell = before.hasPrefix("trap")
        let words = "\(before) \(gvproxy(scene.directory))" + (isShell ? " & wait; wait" : "")
        let terminal = try startOnTerminal(words, in: scene.host)
        #expect(comesTrue { scene.text("log").contains("waiting for clients...") })
        kill(terminal.number, SIGKILL)
        #expect(comesTrue { scene.text("log").contains("gvproxy exiting: signal caught") })
        #expect(comesTrue { !FileManager.default.fileExists(atPath: scene.directory.file("api")) })
    }

    @Test func `a hang-up of the terminal ends up and its command`() throws {
        let host = try NetworkNamespace()
        let directory = TemporaryDirectory()
        let file = directory.file("command")
        let script = directory.file("script")
        try AtomicFile.replace(script, with: "echo $$ >\(file); exec sleep 1000\n")
        let words = "exec \(BuiltProgram.rdnet) up -- /bin/sh \(script)"
        let terminal = try startOnTerminal(words, in: host)
        #expect(comesTrue { FileManager.default.contents(atPath: file)?.count ?? 0 > 1 })
        let number = try #require(Int32(String(contentsOfFile: file, encoding: .utf8).trimmed))
        kill(terminal.number, SIGKILL)
        #expect(comesTrue { kill(number, 0) == -1 })
    }

    @Test("without a log file SIGHUP ends a role in order", arguments: StartedRole.serving)
    func hangUpWithoutLog(role: String) throws {
        let started = try StartedRole(role, log: nil)
        try started.send(SIGHUP)
        let failing = ["host-switch", "network-setup", "vm-switch", "gvforwarder"]
        #expect(try started.waitForEnd() == (failing.contains(role) ? 1 : 0))
        let left = try FileManager.default.contentsOfDirectory(atPath: started.directory.path)
        #expect(left == ["output"])
    }
}
