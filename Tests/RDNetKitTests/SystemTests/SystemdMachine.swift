import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// A machine with a real systemd as its process 1, and with our programs and units.
///
/// Its file system is this machine's with a temporary overlay; systemd starts only basic.target's
/// dependencies. The machine has its own network, mounts, processes and control groups.
final class SystemdMachine {
    private let directory = TemporaryDirectory()
    private let container: RunningProgram
    /// systemd's process number in the test's namespace.
    private let leader: String
    private let name = "rdnet-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"

    /// Boots the machine and waits until systemd has finished.
    init() throws {
        let script = directory.file("boot")
        try AtomicFile.replace(script, with: Self.boot(directory.path, name))
        container = try RunningProgram(
            [
                "unshare", "--mount", "--propagation", "private", "/bin/bash", "-e", script,
            ],
            output: URL(fileURLWithPath: directory.file("console"))
        )
        let number = container.number
        var leader = ""
        let hasBooted = comesTrue(within: .seconds(60)) {
            leader = (try? RDNetKitTests.run("pgrep", "-xP", "\(number)", "systemd").trimmed) ?? ""
            // The command fails if one of the machine's own units failed, which is irrelevant here.
            let question = ["sh", "-c", "systemctl is-system-running || true"]
            let state = leader.isEmpty ? nil : try? RDNetKitTests.run(Self.door(leader) + question)
            return ["running", "degraded"].contains(state?.trimmed)
        }
        self.leader = leader
        try #require(hasBooted, "\(text(of: "console"))")
    }

    deinit {
        // Killing systemd ends the machine's other processes and then nspawn; systemd would outlive
        // nspawn.
        if let process = Int32(leader) { kill(process, SIGKILL) }
        _ = comesTrue { !container.isRunning }
        container.end(with: SIGKILL)
        do {
            // The control groups are empty once the kernel has removed the processes.
            let isClear = try comesTrue {
                try RDNetKitTests.run(
                    "sh",
                    "-c",
                    """
                    for tree in /sys/fs/cgroup/*/\(name) /sys/fs/cgroup/\(name); do
                        [ ! -d $tree ] || find $tree -depth -type d -exec rmdir {} + 2>&1 || true
                    done
                    """
                ).isEmpty
            }
            #expect(isClear)
        } catch {
            Issue.record(error)
        }
    }

    private static func boot(_ directory: String, _ name: String) -> String {
        """
        # systemd's groups are in the unified hierarchy, in one of its own, or in both.
        for groups in /sys/fs/cgroup/unified /sys/fs/cgroup/systemd /sys/fs/cgroup; do
            [ -e $groups/cgroup.procs ] || continue
            mkdir $groups/\(name)
            echo $$ >$groups/\(name)/cgroup.procs
        done
        cd \(directory)
        mkdir layers root
        mount -t tmpfs none layers
        mkdir layers/upper layers/work
        mount -t overlay -o lowerdir=/,upperdir=layers/upper,workdir=layers/work none root
        # What nspawn notes about its containers stays here.
        mkdir -p /run/systemd
        mount -t tmpfs none /run/systemd
        rm -f root/etc/resolv.conf root/etc/fstab root/etc/rdnet.conf
        echo 'nameserver 192.0.2.1' >root/etc/resolv.conf
        mkdir -p root/usr/local/bin root/usr/local/lib/systemd/system
        cp \(BuiltProgram.rdnet) root/usr/local/bin/rdnet
        for role in host-switch gvproxy vm-switch network-setup wsl-proxy; do
            ln -sf rdnet root/usr/local/bin/$role
        done
        cp \(SourceTree.root.path)/.dist/usr/local/lib/systemd/system/* root/usr/local/lib/systemd/system
        exec systemd-nspawn --directory=root --machine=\(name) --boot --register=no --keep-unit \\
            --private-network --bind=/dev/net/tun --capability=CAP_NET_ADMIN systemd.unit=basic.target
        """
    }

    private static func door(_ leader: String) -> [String] {
        ["nsenter", "-m", "-p", "-n", "-u", "-i", "-t", leader]
    }

    /// Runs a program in the machine and returns its output.
    @discardableResult
    func run(_ arguments: String...) throws -> String {
        try RDNetKitTests.run(Self.door(leader) + arguments)
    }

    /// Writes a file in the machine.
    func write(_ path: String, _ text: String) throws {
        try run("sh", "-c", "mkdir -p \"${1%/*}\" && printf %s \"$2\" >\"$1\"", "sh", path, text)
    }

    /// Overrides parts of a unit.
    func override(_ unit: String, _ text: String) throws {
        try write("/etc/systemd/system/\(unit).service.d/test.conf", text)
        try run("systemctl", "daemon-reload")
    }

    /// Returns a property of a service, as `systemctl show` prints it.
    func property(_ name: String, of service: String) throws -> String {
        try run("systemctl", "show", "--property", name, "--value", service).trimmed
    }

    /// The log of the machine's services.
    var journal: String {
        (try? run(
            "journalctl",
            "--no-pager",
            "-u",
            "host-switch",
            "-u",
            "network-setup",
            "-u",
            "wsl-proxy"
        ))
            ?? ""
    }

    private func text(of name: String) -> String {
        directory.text(of: name)
    }
}
