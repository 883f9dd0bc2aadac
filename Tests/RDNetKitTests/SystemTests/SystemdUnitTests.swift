import Foundation
import Testing

@testable import RDNetKit

@Suite(
    "units under systemd",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct SystemdUnitTests {
    private static let host = """
        [host-switch]
        link = unix:///run/rdnet/link.sock
        api = unix:///run/rdnet/api.sock

        """

    /// Waits until a service runs in a new process; returns the process.
    private func restarted(
        _ service: String,
        after process: String,
        in machine: SystemdMachine
    ) throws -> String {
        var next = ""
        let isThere = try comesTrue(within: .seconds(30)) {
            next = try machine.property("MainPID", of: service)
            let state = try machine.property("ActiveState", of: service)
            return state == "active" && next != "0" && next != process
        }
        try #require(isThere, "\(machine.journal)")
        return next
    }

    @Test func `host-switch is ready when it is started, and every end but a stop restarts it`()
        throws
    {
        let machine = try SystemdMachine()
        try machine.write("/etc/rdnet.conf", Self.host)
        #expect(try machine.property("Type", of: "host-switch") == "notify")
        try machine.run("systemctl", "start", "host-switch")
        let api = ["/run/rdnet/api.sock", "http://x/stats"]
        try machine.run("curl", "-sSf", "--unix-socket", api[0], api[1])
        var process = try machine.property("MainPID", of: "host-switch")
        // After SIGTERM it exits with status 1, as after a failure.
        for signal in ["KILL", "TERM", "KILL"] {
            try machine.run("kill", "-" + signal, process)
            process = try restarted("host-switch", after: process, in: machine)
            try machine.run("curl", "-sSf", "--unix-socket", api[0], api[1])
        }
        try machine.run("systemctl", "stop", "host-switch")
        #expect(try machine.property("ActiveState", of: "host-switch") == "inactive")
        #expect(try machine.property("Result", of: "host-switch") == "success")
    }

    @Test func `host-switch that cannot begin is failed, at once for a wrong option`() throws {
        let machine = try SystemdMachine()
        for (options, isRetried) in [("--nonsense", false), ("--link unix:///nowhere/x", true)] {
            try machine.override(
                "host-switch",
                "[Service]\nExecStart=\nExecStart=/usr/local/bin/host-switch \(options)\nRestartSec=0\n"
            )
            #expect(throws: ProgramFailure.self) {
                try machine.run("systemctl", "start", "host-switch")
            }
            let hasFailed = try comesTrue(within: .seconds(30)) {
                try machine.property("ActiveState", of: "host-switch") == "failed"
            }
            #expect(hasFailed)
            let restarts = try #require(Int(machine.property("NRestarts", of: "host-switch")))
            #expect(isRetried == (restarts > 0), "\(machine.journal)")
            try machine.run("systemctl", "reset-failed", "host-switch")
        }
    }

    @Test func `the units of a WSL distribution start, heal and stop`() throws {
        let machine = try SystemdMachine()
        // The container is not a WSL distribution.
        for unit in ["network-namespace", "network-setup", "wsl-proxy"] {
            try machine.override(unit, "[Unit]\nConditionVirtualization=\n")
        }
        // root's handshake socket, which plays the virtual machine here, is closed to others.
        try machine.override(
            "host-switch",
            "[Service]\nDynamicUser=no\nUser=root\nProtectSystem=no\n"
        )
        try machine.write(
            "/etc/rdnet.conf",
            """
            [host-switch]
            vm = unix:///run/vm
            [network-setup]
            handshake-link = unix:///run/vm
            data-link = unix:///run/vm_6656

            """
        )
        try machine.run("systemctl", "start", "host-switch", "wsl-proxy")
        try machine.run("test", "-S", "/run/wsl-proxy.sock")
        try machine.run("systemctl", "start", "network-setup")
        let namespace = try machine.property("MainPID", of: "network-namespace")
        func addresses() throws -> String {
            try machine.run("nsenter", "-n", "-t", namespace, "ip", "-4", "-br", "address")
        }
        // network-setup is ready once vm-switch has its lease.
        #expect(try addresses().contains("192.168.127.2/24"), "\(machine.journal)")
        let process = try machine.property("MainPID", of: "network-setup")
        try machine.run("kill", "-KILL", process)
        _ = try restarted("network-setup", after: process, in: machine)
        #expect(try addresses().contains("192.168.127.2/24"), "\(machine.journal)")
        for unit in ["network-setup", "wsl-proxy", "host-switch"] {
            try machine.run("systemctl", "stop", unit)
            #expect(try machine.property("ActiveState", of: unit) == "inactive")
        }
        #expect(try !addresses().contains("eth0") && !addresses().contains("veth"))
    }

    @Test(
        "host ends run as a user of their own, and are exposed to 2.0 of 10 at most",
        arguments: ["host-switch", "gvproxy"]
    )
    func exposure(unit: String) throws {
        let machine = try SystemdMachine()
        try machine.write("/etc/rdnet.conf", Self.host)
        try machine.run("systemctl", "start", unit)
        let process = try machine.property("MainPID", of: unit)
        let status = try machine.run("cat", "/proc/\(process)/status")
        let user = try #require(status.split(separator: "\n").first { $0.hasPrefix("Uid:") })
        // The range of dynamic users: systemd.exec(5).
        let number = Int(user.split(separator: "\t")[1]) ?? 0
        #expect((61_184...65_519).contains(number))
        #expect(status.contains("Seccomp:\t2"))
        for set in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            #expect(status.contains("\(set):\t0000000000000000"), "\(status)")
        }
        let result = try machine.run(
            "systemd-analyze",
            "security",
            "--no-pager",
            "--threshold=20",
            unit
        )
        #expect(result.contains("Overall exposure level"), "\(result)")
        try machine.run("systemctl", "stop", unit)
        #expect(try machine.property("Result", of: unit) == "success", "\(machine.journal)")
    }

    @Test func `systemd finds nothing wrong in the units`() throws {
        let machine = try SystemdMachine()
        let output = try machine.run(
            "sh",
            "-c",
            "systemd-analyze verify --man=no /usr/local/lib/systemd/system/*.service 2>&1"
        )
        #expect(output.isEmpty, "\(output)")
    }
}
