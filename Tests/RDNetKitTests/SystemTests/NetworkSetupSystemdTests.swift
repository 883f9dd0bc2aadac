import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "network-setup under systemd",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct NetworkSetupSystemdTests {
    private let distro: RancherDistro

    init() throws {
        distro = try RancherDistro()
    }

    /// Installs a script in the distribution's `/usr/local/bin`.
    private func install(_ name: String, _ script: String) throws {
        try AtomicFile.replace(distro.directory.file(name), with: "#!/bin/sh\n\(script)\n")
        try distro.run(
            "install",
            "-m",
            "755",
            distro.directory.file(name),
            "/usr/local/bin/\(name)"
        )
    }

    /// Starts a service with its own network; returns its process number in the distribution.
    private func startService() throws -> String {
        try distro.start(["unshare", "--net", "sleep", "54321"])
        #expect(comesTrue { succeeds { try distro.run("pgrep", "-fx", "sleep 54321") } })
        return try distro.run("pgrep", "-fx", "sleep 54321").trimmed
    }

    /// Starts network-setup like the unit of openSUSE's distribution.
    private func startNetworkSetup(_ arguments: String...) throws -> RunningProgram {
        try distro.start(
            [
                "/usr/local/bin/network-setup", "--debug", "--logfile", "/dev/stdout",
                "--vm-switch-path", "/usr/local/bin/vm-switch", "--vm-switch-logfile",
                distro.directory.file("vm-switch.log"), "--dhcp-script", "/usr/local/bin/dhcp",
            ] + arguments,
            environment: [
                "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_EXEC_PID=1",
                "NOTIFY_SOCKET=/run/notify",
            ],
            output: "output"
        )
    }

    @Test func `the network is a service's, and the script tells systemd of it`() throws {
        let service = try startService()
        try install("systemctl", #"echo "$@" >>\#(distro.directory.path)/asked; echo \#(service)"#)
        try install(
            "dhcp",
            """
            [ "$1" = bound ] || exit 0
            ip address add "$ip/$mask" dev "$interface" && ip route add default via "$router"
            echo "$1 $NOTIFY_SOCKET" >\(distro.directory.path)/script
            """
        )
        try distro.startHostSwitch()
        let program = try startNetworkSetup("--unshare-arg", "/bin/false")
        let inside = ["nsenter", "-n", "-t", service]
        let isUp = comesTrue {
            succeeds {
                try distro.run(inside + ["ping", "-c", "1", "-W", "1", RancherDistro.gateway])
            }
        }
        #expect(isUp, "\(distro.logs)")
        #expect(distro.text(of: "script") == "bound /run/notify\n")
        let question = "show --property=MainPID --value network-namespace.service\n"
        #expect(distro.text(of: "asked") == question)
        #expect(distro.text(of: "output").contains("--unshare-arg is not used under systemd"))
        #expect(try distro.run(inside + ["ip", "link"]).contains("veth-rd-ns"))
        #expect(try distro.run("find", "/run", "-name", "*.pid").isEmpty)

        try distro.run("pkill", "-TERM", "-x", "network-setup")
        #expect(comesTrue { !program.isRunning })
        #expect(comesTrue { succeeds { try distro.livesAlone("sleep") } }, "\(distro.logs)")
        #expect(try !distro.run("ip", "link").contains("veth"))
        #expect(try !distro.run(inside + ["ip", "link"]).contains("eth0"))
    }

    @Test func `a signal does not wait for systemctl, nor leave it behind`() throws {
        try install("systemctl", ": >\(distro.directory.path)/asked; exec sleep 98765")
        try install("dhcp", "exit 0")
        try distro.startHostSwitch()
        let program = try startNetworkSetup()
        let asked = distro.directory.file("asked")
        #expect(comesTrue { FileManager.default.fileExists(atPath: asked) })
        try distro.run("pkill", "-TERM", "-x", "network-setup")
        // The timeout of systemctl is twice as long.
        try #require(comesTrue { !program.isRunning })
        #expect(program.status == 1)
        #expect(comesTrue { succeeds { try distro.livesAlone("ps") } })
    }

    @Test(
        "a service that is not there is one sentence",
        arguments: [
            ("echo 0", "network-namespace.service is not running: it has no main process"),
            (
                "exit 4",
                "systemctl does not report network-namespace.service's main process: exit status 4"
            ),
        ]
    )
    func noService(script: String, sentence: String) throws {
        try install("systemctl", script)
        try install("dhcp", "exit 0")
        try distro.startHostSwitch()
        let program = try startNetworkSetup()
        try #require(comesTrue { !program.isRunning })
        #expect(program.status == 1)
        #expect(distro.text(of: "output").hasSuffix("rdnet network-setup: \(sentence)\n"))
    }
}

extension RancherDistro {
    /// Throws if anything runs except programs of one name.
    fileprivate func livesAlone(_ name: String) throws {
        let living = try living()
        try #require(Set(living) == [name, "ps"])
    }
}
