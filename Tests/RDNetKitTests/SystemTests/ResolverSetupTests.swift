import Foundation
import Testing

@testable import RDNetKit

@Suite(
    "resolver file of network-setup",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct ResolverSetupTests {
    private static let other = "nameserver 192.0.2.99\n"
    private static let mounted = "resolver file mounted"

    private let machine: ResolverMachine

    init() throws {
        machine = try ResolverMachine()
    }

    /// Runs README's command, with a host on this machine.
    private func start(_ options: String = "") throws {
        let files = machine.directory
        let host = [
            "host-switch", "--vm", "unix://" + files.file("vm"), "--dns-search", "one.example",
        ]
        try machine.startHost(host)
        try machine.start(
            """
            exec network-setup --vm-switch-path /run/bin/vm-switch \\
                --unshare-arg /run/bin/wsl-init --handshake-link unix://\(files.file("vm")) \\
                --data-link unix://\(files.file("vm_6656")) \\
                --vm-switch-logfile \(files.file("guest.log")) --logfile '' \(options)
            """
        )
    }

    private func end() throws {
        try machine.run("pkill -x network-setup; while pgrep -x network-setup; do sleep 0.02; done")
    }

    /// Waits until a shell condition holds in the programs' namespace.
    private func comesTrueInside(_ condition: String) -> Bool {
        let inside = #"nsenter -n -p -m -t "$(pgrep -P "$(cat /run/wsl-init.pid)")" sh -c "#
        return comesTrue(within: .seconds(60)) {
            succeeds { try machine.run(inside + "'\(condition)'") }
        }
    }

    private static let resolves =
        "grep -q 192.168.127.1 /etc/resolv.conf && dig +short host.docker.internal | grep -q 254"

    @Test func `names work in the namespace, and the machine's file stays as it is`() throws {
        try start()
        #expect(comesTrueInside(Self.resolves), "\(machine.log)")
        #expect(try machine.file == ResolverMachine.text)
        try machine.waitForLog(Self.mounted)
        try end()
        #expect(try machine.file == ResolverMachine.text)
        #expect(try !machine.run("cat /proc/self/mountinfo").contains("rdnet rw"))
    }

    @Test func `names work after the machine's file was replaced, and after vm-switch was killed`()
        throws
    {
        try start()
        #expect(comesTrueInside(Self.resolves), "\(machine.log)")
        try machine.waitForLog(Self.mounted)
        let mounts = "grep -c /etc/resolv.conf /proc/self/mountinfo"
        #expect(comesTrueInside("\(mounts) >/run/mounts"))
        try machine.run("pkill -9 -x vm-switch; while pgrep -x vm-switch; do sleep 0.02; done")
        #expect(
            comesTrueInside("ping -c 1 -W 1 192.168.127.1 && " + Self.resolves),
            "\(machine.log)"
        )
        // The new vm-switch reuses the killed one's file, unless its helper has noticed the end
        // and restored the file before the kernel killed it, too. There never are two.
        #expect(comesTrueInside("\(mounts) | cmp -s - /run/mounts"), "\(machine.log)")
        for text in [Self.other, ResolverMachine.text] {
            try machine.replaceFile(with: text)
            #expect(comesTrueInside(Self.resolves), "\(machine.log)")
            #expect(try machine.file == text)
        }
    }

    @Test(
        "names work where the file is a link that leads nowhere, or not there",
        arguments: ["ln -sf /mnt/wsl/resolv.conf", "rm"]
    )
    func nothingThere(command: String) throws {
        try machine.run("\(command) \(ResolverMachine.path)")
        let before = try machine.run("ls -l /etc | grep resolv || true")
        try start()
        #expect(comesTrueInside(Self.resolves), "\(machine.log)")
        try end()
        #expect(try machine.run("ls -l /etc | grep resolv || true") == before)
    }

    @Test func `a file that is named is written, and restored at the end`() throws {
        try machine.run("echo before >/run/names")
        try start("--resolv-conf /run/names")
        try machine.waitForLog("resolver file written")
        #expect(try machine.run("cat /run/names") == ResolverMachine.lease(search: "one.example"))
        #expect(try machine.file == ResolverMachine.text)
        try end()
        #expect(try machine.run("cat /run/names") == "before\n")
    }

    @Test func `no file is written if the option is empty`() throws {
        try start("--resolv-conf ''")
        #expect(comesTrueInside("ping -c 1 -W 1 192.168.127.1"), "\(machine.log)")
        #expect(!machine.log.contains("resolver file"))
        #expect(comesTrueInside("grep -q 192.0.2.53 /etc/resolv.conf"))
    }
}
