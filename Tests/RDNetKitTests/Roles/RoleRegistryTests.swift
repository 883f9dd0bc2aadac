import Testing

@testable import RDNetKit

/// Surroundings that record what a run prints.
final class RecordedSurroundings {
    private(set) var output = ""
    private(set) var error = ""
    private(set) var logged = ""
    var variables: [String: String] = [:]
    var files: [String: String] = [:]
    var logFault: SystemError?
    var commit = ""
    var executable = "/nonexistent-rdnet/rdnet"

    var surroundings: ProcessSurroundings {
        ProcessSurroundings(
            environment: { self.variables[$0] },
            environmentNames: { self.variables.keys.sorted() },
            readFile: { self.files[$0].map { .text($0) } ?? .absent },
            exists: { self.files[$0] != nil },
            isOccupied: { self.files[$0] != nil },
            printOutput: { self.output += $0 },
            printError: { self.error += $0 },
            makeLogger: { settings throws(SystemError) in
                if let fault = self.logFault { throw fault }
                return Logger(
                    level: settings.logLevel,
                    clock: { WallTime(seconds: 0, utcOffset: 0) },
                    sink: {
                        self.logged += String(decoding: $0, as: UTF8.self)
                        return $0.count
                    }
                )
            },
            commit: commit,
            executablePath: { self.executable }
        )
    }
}

@Suite("role registry")
struct RoleRegistryTests {
    private let recorded = RecordedSurroundings()

    @discardableResult
    private func run(_ arguments: String...) -> ExitCode {
        RoleRegistry.standard.run(arguments, recorded.surroundings)
    }

    @Test func `a configuration file is checked for every role at once`() {
        recorded.files["/x"] = """
            [network]
            mtu = 1400
            [wsl-proxy]
            socketFile = /run/a
            """
        #expect(run("rdnet", "--check-config", "/x") == .success)
        #expect(recorded.output == "/x is valid\n")
        recorded.files["/x"] = """
            [network]
            mtu = small
            [wsl-proxy]
            socketFil = /run/a
            """
        #expect(run("rdnet", "--check-config", "/x") == .misuse)
        let sentences = recorded.error.split(separator: "\n")
        #expect(sentences.count == 2, "\(sentences)")
        #expect(sentences.contains { $0.contains("/x:2") && $0.contains("\"small\"") })
        #expect(sentences.contains { $0.contains("/x:4") && $0.contains("socketFile") })
        #expect(run("rdnet", "--check-config", "/absent") == .failure)
        #expect(run("rdnet", "--check-config") == .misuse)
    }

    @Test func `a variable that looks like ours and that nobody reads is named in the log`() {
        recorded.variables = ["RDNET_API": "unix:///x", "RDNET_LOGLEVEL": "debug", "HOME": "/"]
        _ = run("rdnet", "ctl", "--completion")
        #expect(!recorded.logged.contains("RDNET"))
        _ = run("rdnet", "ctl", "forwards")
        #expect(recorded.logged.contains("variable=RDNET_LOGLEVEL nearest=RDNET_LOG_LEVEL"))
        #expect(!recorded.logged.contains("RDNET_API"))
    }

    @Test(
        "a role is named by the last part of argv[0], else by the first word",
        arguments: [
            (["/usr/bin/vm-switch", "-h"], "vm-switch"), (["vm-switch", "-h"], "vm-switch"),
            (["rdnet", "vm-switch", "-h"], "vm-switch"), (["./my-rdnet", "up", "-h"], "up"),
            (["/x/host-switch", "-h"], "host-switch"), (["", "up", "--help"], "up"),
            (["vm-switch/rdnet", "up", "--help"], "up"),
        ]
    )
    func dispatch(arguments: [String], role: String) {
        #expect(RoleRegistry.standard.run(arguments, recorded.surroundings) == .success)
        #expect(recorded.output.hasPrefix("Usage: rdnet \(role) "))
        #expect(recorded.error.isEmpty)
    }

    @Test(
        "alone, and when asked for help, it lists the roles one line each",
        arguments: [[], ["--help"], ["-help"], ["-h"]]
    )
    func overview(words: [String]) {
        #expect(RoleRegistry.standard.run(["rdnet"] + words, recorded.surroundings) == .success)
        let lines = recorded.output.split(separator: "\n")
        for role in RoleRegistry.standard.roles {
            #expect(
                lines.count { $0.hasPrefix("  \(role.name) ") && $0.hasSuffix(role.summary) } == 1
            )
        }
        #expect(lines.allSatisfy { $0.count <= 80 })
        #expect(RoleRegistry.standard.run([], recorded.surroundings) == .success)
    }

    @Test func `--list prints the names and nothing else`() {
        #expect(run("rdnet", "--list") == .success)
        #expect(
            recorded.output
                == "host-switch\nvm-switch\nnetwork-setup\nwsl-proxy\nup\ngvproxy\ngvforwarder\nport-proxy\nport-fs\nport-forwarder\nslirp4netns\npasta\nvpnkit\nctl\nextcap\n"
        )
    }

    @Test func `--version prints the version, and the commit where it is known`() {
        #expect(run("/usr/bin/rdnet", "--version") == .success)
        recorded.commit = "0123456789ab"
        #expect(run("/usr/bin/rdnet", "--version") == .success)
        #expect(recorded.output == "rdnet 0.1.0\nrdnet 0.1.0 (commit 0123456789ab)\n")
    }

    @Test("the version is printed for -V, and by every role", arguments: ["-V", "--version"])
    func version(word: String) {
        #expect(run("rdnet", word) == .success)
        #expect(run("rdnet", "up", word) == .success)
        #expect(run("/usr/bin/vm-switch", word) == .success)
        #expect(recorded.output == String(repeating: "rdnet 0.1.0\n", count: 3))
    }

    @Test func `help prints the roles, or a role's usage text`() {
        #expect(run("rdnet", "help") == .success)
        #expect(recorded.output.hasPrefix("Usage: rdnet ROLE"))
        #expect(run("rdnet", "help", "up") == .success)
        #expect(recorded.output.contains("\nUsage: rdnet up "))
        #expect(run("rdnet", "help", "upp") == .misuse)
        #expect(recorded.error.contains("the nearest is up"))
    }

    @Test func `an unknown option is refused with the nearest name`() {
        #expect(run("rdnet", "up", "--subnt", "x") == .misuse)
        #expect(
            recorded.error == "rdnet up: unknown option --subnt; did you mean --subnet?\n"
        )
    }

    @Test(
        "an unknown word is refused in one sentence with the nearest name",
        arguments: [
            (
                "host-swtich",
                "rdnet: unknown role \"host-swtich\"; the nearest is host-switch, "
                    + "and rdnet --help shows all\n"
            ),
            (
                "--lst",
                "rdnet: unknown option \"--lst\"; the nearest is --list, "
                    + "and rdnet --help shows all\n"
            ),
        ]
    )
    func unknown(word: String, sentence: String) {
        #expect(run("rdnet", word) == .misuse)
        #expect(recorded.error == sentence)
        #expect(recorded.output.isEmpty)
    }

    @Test func `a role's help is within 80 columns and names every option`() {
        for role in RoleRegistry.standard.roles {
            let recorded = RecordedSurroundings()
            let status = RoleRegistry.standard.run([role.name, "--help"], recorded.surroundings)
            #expect(status == .success)
            #expect(recorded.output.split(separator: "\n").allSatisfy { $0.count <= 80 })
        }
        run("vm-switch", "-h")
        for option in Option.vmSwitch {
            #expect(recorded.output.contains("  --\(option.name)"))
        }
    }

    @Test func `a bad configuration is one sentence on standard error and status 2`() {
        #expect(run("up", "-mtu", "9") == .misuse)
        let sentence =
            "rdnet up: --mtu: \"9\" is not valid; expected a whole number from 576 to 65520\n"
        #expect(recorded.error == sentence)
        #expect(recorded.output.isEmpty)
    }

    @Test func `a log file that cannot be opened is one sentence and status 1`() {
        recorded.logFault = SystemError(call: "open /nowhere/x.log", errno: 2)
        #expect(run("up", "-logfile", "/nowhere/x.log") == .failure)
        let sentence = "unable to open log file /nowhere/x.log: no such file or directory\n"
        #expect(recorded.error == "rdnet up: " + sentence)
    }

    @Test func `--print-config ends before a log file is made`() {
        recorded.logFault = SystemError(call: "open", errno: 2)
        recorded.variables["RDNET_SUBNET"] = "10.0.0.0/8"
        #expect(run("up", "--print-config") == .success)
        #expect(recorded.output.contains("# environment RDNET_SUBNET\n"))
    }

    @Test func `every option of every role has a name of its own`() {
        for names in [
            Option.hostSwitch.map(\.name), Option.vmSwitch.map(\.name), Option.up.map(\.name),
        ] {
            #expect(Set(names).count == names.count)
        }
    }
}

@Suite("role")
struct RoleTests {
    private let recorded = RecordedSurroundings()

    private func run(
        _ arguments: [String],
        body: @escaping @Sendable (RoleStart<UpSettings>) throws(RoleFailure) -> ExitCode
    ) -> ExitCode {
        let role = Role(
            name: "up",
            summary: "s",
            operands: "",
            options: Option.up,
            body: body
        )
        let registry = RoleRegistry(roles: [role])
        return registry.run(["up"] + arguments, recorded.surroundings)
    }

    @Test func `its work is given settings, operands and a logger at their level`() {
        let status = run(["-debug", "-mtu", "600", "true", "x"]) { start throws(RoleFailure) in
            start.logger.debug("started", ["mtu": String(start.settings.network.mtu)])
            return ExitCode(rawValue: start.operands == ["true", "x"] ? 7 : 8)
        }
        #expect(status == ExitCode(rawValue: 7))
        #expect(recorded.logged.hasSuffix("level=debug msg=started mtu=600\n"))
    }

    @Test func `a failure is one sentence with the role's name and the failure's status`() {
        let cause = SystemError(call: "tap0: ioctl(TUNSETIFF)", errno: 1)
        let failed = run([]) { _ throws(RoleFailure) in throw RoleFailure(cause) }
        #expect(failed == .failure)
        let sentence = "rdnet up: tap0: ioctl(TUNSETIFF): Operation not permitted\n"
        #expect(recorded.error == sentence)
        #expect(recorded.logged.isEmpty)
        let misused = run([]) { _ throws(RoleFailure) in
            throw RoleFailure("no command", status: .misuse)
        }
        #expect(misused == .misuse)
    }

    @Test func `a failure is in the log file too`() {
        _ = run(["-logfile", "/l"]) { _ throws(RoleFailure) in throw RoleFailure("no device") }
        #expect(recorded.logged.hasSuffix("level=fatal msg=\"no device\"\n"))
        #expect(recorded.error == "rdnet up: no device\n")
    }
}
