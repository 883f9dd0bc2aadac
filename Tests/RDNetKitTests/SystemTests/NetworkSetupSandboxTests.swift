import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// What network-setup, its handshake and its vm-switch have given up, and what still works.
@Suite(
    "sandbox of network-setup",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct NetworkSetupSandboxTests {
    private let distro: RancherDistro

    init() throws {
        distro = try RancherDistro()
    }

    /// The ID of the process of a name that was started by one of the distribution's processes.
    private func process(_ name: String, startedBy parent: Int32) throws -> Int32 {
        let children = try ProcessStatus.children(of: parent)
        return try #require(
            children.first { process in
                // A process may have ended since.
                (try? ProcessStatus.field("Name", of: process)) == name
            },
            "\(name): \(distro.logs)"
        )
    }

    @Test func `only a process without privileges reads what others send`() throws {
        try distro.startHostSwitch()
        let distribution = try distro.startNetworkSetup().number
        try distro.waitForNetwork()
        let setup = try process("network-setup", startedBy: distribution)
        let handshake = try process("rdnet-handshake", startedBy: setup)
        #expect(try ProcessStatus.isInSandbox(handshake))
        // CAP_NET_BIND_SERVICE.
        try ProcessStatus.expect([10], of: handshake)

        // What vm-switch, nsenter and the end of all processes take; see keptCapabilities.
        try ProcessStatus.expect([1, 5, 8, 10, 12, 13, 18, 19, 21], of: setup)
        #expect(try run("stat", "-c", "%u", "/proc/\(setup)/mem") == "0\n")

        let vmSwitch = try process("vm-switch", startedBy: setup)
        #expect(try ProcessStatus.isInSandbox(vmSwitch))
        try ProcessStatus.expect([10, 12, 13], of: vmSwitch)
        // It mounts the resolver file in init's namespace.
        let helper = try process("rdnet-lease", startedBy: vmSwitch)
        #expect(try ProcessStatus.isInSandbox(helper))
        try ProcessStatus.expect([1, 18, 19, 21], of: helper)

        // Init keeps everything, and may gain everything.
        let mine = try ProcessStatus.field("CapBnd", of: getpid())
        let bounds = try distro.runInside("grep", "-E", "^(CapBnd|NoNewPrivs)", "/proc/1/status")
        #expect(bounds == "CapBnd:\t\(mine)\nNoNewPrivs:\t0\n")
        #expect(!distro.logs.contains("refused a system call"), "\(distro.logs)")
    }

    @Test func `names and interfaces heal, and vm-switch is started again`() throws {
        try distro.startHostSwitch()
        _ = try distro.startNetworkSetup()
        try distro.waitForNetwork()
        let names = { try distro.runInside("cat", "/etc/resolv.conf").contains("192.168.127.1") }
        #expect(try comesTrue(names), "\(distro.logs)")
        try distro.runInside("sh", "-c", "echo >/etc/resolv.conf.new; true")
        try distro.runInside("ip", "link", "delete", "eth0")
        try distro.waitForNetwork()
        try distro.run("pkill", "-KILL", "-x", "vm-switch")
        try distro.waitForNetwork()
        distro.hostSwitch?.end(with: SIGKILL)
        try distro.startHostSwitch()
        try distro.waitForNetwork()
        #expect(try comesTrue(names), "\(distro.logs)")
        #expect(!distro.logs.contains("refused a system call"), "\(distro.logs)")
    }

    @Test func `a handshake process that is killed has a successor`() throws {
        try distro.startHostSwitch()
        _ = try distro.startNetworkSetup()
        try distro.waitForNetwork()
        try distro.run("pkill", "-KILL", "-x", "rdnet-handshake")
        #expect(
            comesTrue { distro.logs.contains("the handshake process has ended; starting another") }
        )
        distro.hostSwitch?.end(with: SIGKILL)
        try distro.startHostSwitch()
        let isBack = comesTrue {
            distro.text(of: "network-setup.log").contains("new stream passed to vm-switch")
        }
        #expect(isBack, "\(distro.logs)")
        try distro.waitForNetwork()
    }

    @Test func `the handshake's attempts to break out are refused`() throws {
        let program = try distro.start(
            [
                "/usr/local/bin/network-setup", "--logfile", "", "--vm-switch-path", "/bin/true",
                "--unshare-arg", "/bin/true", "--sandbox", "probe",
            ],
            output: "output"
        )
        #expect(comesTrue { !program.isRunning })
        let output = distro.text(of: "output")
        #expect(program.status == 0, "\(output)")
        #expect(output.contains("everything was refused"), "\(output)")
        for attempt in ["read /etc/shadow", "run a program", "trace a process"] {
            let line = output.split(separator: "\n").first { $0.hasPrefix(attempt) } ?? ""
            #expect(line.contains("refused: "), "\(output)")
        }
    }

    @Test func `--sandbox off keeps everything, with a warning`() throws {
        try distro.startHostSwitch()
        let program = try distro.start(
            [
                "/usr/local/bin/network-setup", "--logfile", "", "--vm-switch-path",
                "/usr/local/bin/vm-switch", "--vm-switch-logfile",
                distro.directory.file("vm-switch.log"), "--unshare-arg",
                "/usr/local/bin/wsl-init", "--sandbox", "off",
            ],
            output: "output"
        )
        try distro.waitForNetwork()
        #expect(distro.text(of: "output").contains("the sandbox is off: a fault gives"))
        let mine = try ProcessStatus.field("CapEff", of: getpid())
        let setup = try process("network-setup", startedBy: program.number)
        #expect(try ProcessStatus.field("CapEff", of: setup) == mine)
        #expect(program.isRunning)
    }
}
