import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "network-setup, ending",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct NetworkSetupEndTests {
    private let distro: RancherDistro

    init() throws {
        distro = try RancherDistro()
    }

    /// Waits for the program's end; returns its status.
    private func status(of program: RunningProgram) throws -> Int32 {
        try #require(comesTrue { !program.isRunning }, "\(distro.logs)")
        return program.status
    }

    /// Whether a namespace, identified by the kernel's name, has no processes.
    private func isEmpty(_ namespace: String) throws -> Bool {
        try FileManager.default.contentsOfDirectory(atPath: "/proc").allSatisfy { name in
            guard Int32(name) != nil else { return true }
            // A process that ends meanwhile has no namespace.
            let path = "/proc/\(name)/ns/net"
            return (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) != namespace
        }
    }

    /// Checks that the distribution is in its original state.
    private func expectNothingLeft() throws {
        #expect(try !distro.run("ip", "link").contains("veth"))
        #expect(try distro.run("find", "/run", "-name", "*.pid").isEmpty)
        let living = try distro.living()
        #expect(living == ["ps"])
        #expect(!FileManager.default.fileExists(atPath: distro.directory.file("vm")))
    }

    @Test(
        "a signal ends all of it, and nothing is left",
        arguments: ["TERM", "INT", "QUIT"]
    )
    func signalEnds(signal: String) throws {
        try distro.startHostSwitch()
        let program = try distro.startNetworkSetup()
        try distro.waitForNetwork()
        let namespace = try distro.runInside("readlink", "/proc/self/ns/net").trimmed
        try distro.startInside("sleep", "1000")
        #expect(comesTrue { succeeds { try distro.runInside("pgrep", "-fx", "sleep 1000") } })
        #expect(try !isEmpty(namespace))
        // The product's own way to stop it.
        try distro.run("busybox", "killall", "-\(signal)", "/usr/local/bin/network-setup")
        #expect(try status(of: program) == 1)
        #expect(try isEmpty(namespace))
        try expectNothingLeft()
    }

    @Test func `a signal ends the wait for the host`() throws {
        let program = try distro.startNetworkSetup()
        let socket = distro.directory.file("vm")
        #expect(comesTrue { FileManager.default.fileExists(atPath: socket) })
        try distro.run("pkill", "-TERM", "-x", "network-setup")
        #expect(try status(of: program) == 1)
        try expectNothingLeft()
    }

    @Test func `init's end ends all of it, and nothing is left`() throws {
        try distro.startHostSwitch()
        let program = try distro.startNetworkSetup()
        try distro.waitForNetwork()
        let namespace = try distro.runInside("readlink", "/proc/self/ns/net").trimmed
        let number = try distro.run("cat", "/run/wsl-init.pid")
        try distro.run("kill", "-KILL", number)
        #expect(try status(of: program) == 1)
        #expect(distro.text(of: "output").hasSuffix("has ended: killed by signal 9\n"))
        #expect(try isEmpty(namespace))
        try expectNothingLeft()
    }

    @Test func `what a killed run has left is not in the way of the next`() throws {
        try distro.startHostSwitch()
        _ = try distro.startNetworkSetup()
        try distro.waitForNetwork()
        try distro.run("pkill", "-KILL", "-x", "network-setup")
        // A surviving vm-switch would keep the host from the next one.
        #expect(try comesTrue { try !distro.living().contains("vm-switch") })
        #expect(try distro.living().contains("unshare"))
        _ = try distro.startNetworkSetup()
        try distro.waitForNetwork()
        #expect(distro.text(of: "network-setup.log").contains("leftover veth pair deleted"))
    }

    // MARK: Children that exit on their own

    /// Runs network-setup with valid options and these; returns its status and message.
    private func end(_ arguments: String...) throws -> (Int32, String) {
        let command = [
            "/usr/local/bin/network-setup", "--logfile", distro.directory.file("network-setup.log"),
            "--vm-switch-path", "/usr/local/bin/vm-switch", "--unshare-arg",
            "/usr/local/bin/wsl-init",
        ]
        let program = try distro.start(command + arguments, output: "output")
        let status = try status(of: program)
        return (status, distro.text(of: "output"))
    }

    @Test(
        "what cannot be made is one sentence, and nothing is left",
        arguments: [
            (["--unshare-arg", "/bin/false"], "init (/bin/false) has ended: exit status 1"),
            (["--pid-file", "/nowhere/x.pid"], "open /nowhere/x.pid: No such file or directory"),
            (["--inner-veth", "lo"], "add veth pair veth-rd-wsl, lo: File exists"),
        ]
    )
    func cannotBeMade(arguments: [String], sentence: String) throws {
        try distro.startHostSwitch()
        let (status, output) = try end(arguments[0], arguments[1])
        #expect(status == 1)
        #expect(output == "rdnet network-setup: \(sentence)\n")
        try expectNothingLeft()
    }

    @Test func `a vm-switch that ends with status 0 ends it with status 0`() throws {
        try distro.startHostSwitch()
        let (status, output) = try end("--vm-switch-path", "/bin/true")
        #expect(status == 0)
        #expect(output.isEmpty)
        try expectNothingLeft()
    }

    @Test func `a vm-switch that never stays up is given up`() throws {
        try distro.startHostSwitch()
        let (status, output) = try end("--vm-switch-path", "/bin/false")
        #expect(status == 1)
        let sentence = "vm-switch (/bin/false) keeps exiting: exit status 1"
        #expect(output == "rdnet network-setup: \(sentence)\n")
        let starts = distro.text(of: "network-setup.log").split(separator: "\n").count {
            $0.contains("vm-switch started")
        }
        #expect(starts == 5)
        try expectNothingLeft()
    }

    @Test func `another's vm-switch, which ends with its stream, is started anew`() throws {
        let script = distro.directory.file("other")
        let text =
            "#!/bin/sh\necho $$ >>\(distro.directory.path)/starts\ncat <&3 >/dev/null\nexit 1\n"
        try AtomicFile.replace(script, with: text)
        try run("chmod", "+x", script)
        let command = [
            "/usr/local/bin/network-setup", "--logfile", distro.directory.file("network-setup.log"),
            "--vm-switch-path", script, "--unshare-arg", "/usr/local/bin/wsl-init",
        ]
        let program = try distro.start(command)
        for round in 1...3 {
            try distro.startHostSwitch()
            let isStarted = comesTrue {
                distro.text(of: "starts").split(separator: "\n").count == round
            }
            #expect(isStarted, "\(distro.logs)")
            distro.hostSwitch?.end(with: SIGKILL)
        }
        #expect(program.isRunning)
    }

    // MARK: Missing prerequisites

    @Test(
        "what is missing is one sentence before the host is met",
        arguments: [
            (
                ["--vm-switch-path", ""],
                "--vm-switch-path is not given; expected the path of vm-switch"
            ),
            (
                ["--unshare-arg", ""],
                "--unshare-arg is not given; expected the program that becomes init"
            ),
            (
                ["--vm-switch-path", "/nowhere"],
                "--vm-switch-path: \"/nowhere\" is not a program; expected the path of an executable file"
            ),
            (
                ["--unshare-arg", "/etc/hosts"],
                "--unshare-arg: \"/etc/hosts\" is not a program; expected the path of an executable file"
            ),
            (
                ["--dhcp-script", "/etc"],
                "--dhcp-script: \"/etc\" is not a program; expected the path of an executable file"
            ),
        ]
    )
    func missing(arguments: [String], sentence: String) throws {
        let (status, output) = try end(arguments[0], arguments[1])
        #expect(status == 1)
        #expect(output == "rdnet network-setup: \(sentence)\n")
        #expect(distro.text(of: "network-setup.log").contains("level=fatal"))
        try expectNothingLeft()
    }

    @Test(
        "a machine without something is told of it before the host is met",
        arguments: [
            ("mount --bind /dev/null /usr/bin/nsenter", "/usr/bin/nsenter is missing"),
            ("mount --bind /dev/null /usr/bin/unshare", "/usr/bin/unshare is missing"),
            ("mount -t tmpfs none /dev/net", "/dev/net/tun: No such file or directory"),
        ]
    )
    func incompleteMachine(hiding: String, sentence: String) throws {
        let start = "exec /usr/local/bin/network-setup --logfile '' --unshare-arg wsl-init "
        let program = try distro.start(
            [
                "unshare", "--mount", "/bin/bash", "-c",
                "\(hiding); \(start) --vm-switch-path /usr/local/bin/vm-switch",
            ],
            output: "output"
        )
        #expect(try status(of: program) == 1)
        #expect(distro.text(of: "output").contains(sentence), "\(distro.text(of: "output"))")
        try expectNothingLeft()
    }
}
