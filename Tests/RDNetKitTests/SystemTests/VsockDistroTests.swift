import Foundation
import Testing

@testable import RDNetKit

/// The product's tools over AF_VSOCK in a virtual machine, with both ends on context 1.
///
/// The machine's file system contains only busybox and our one file, so the test also proves that
/// nothing else is needed.
@Suite("Rancher Desktop's tools over vsock")
struct VsockDistroTests {
    private static let script = """
        #!/bin/busybox sh
        if [ $$ -ne 1 ]; then
            exec /usr/local/bin/network-setup --logfile /tmp/network-setup.log \\
                --vm-switch-path /usr/local/bin/vm-switch --vm-switch-logfile /tmp/vm-switch.log \\
                -debug --data-link vsock://1:6656 --unshare-arg /usr/local/bin/wsl-init
        fi
        exec sleep 1000000
        """
    private static let namespace = "nsenter -n -t $(cat /run/wsl-init.pid)"
    private static let logs = "tail -n 12 /tmp/host.log /tmp/network-setup.log /tmp/vm-switch.log"

    private let directory = TemporaryDirectory()
    private let machine: GuestMachine

    init() throws {
        let script = directory.file("wsl-init")
        try AtomicFile.replace(script, with: Self.script)
        try GuestImage.makeFileSystem(
            directory.file("initrd"),
            modules: ["vsock_loopback", "tun", "veth"],
            files: [
                "/usr/local/bin/rdnet": BuiltProgram.rdnet, "/usr/local/bin/wsl-init": script,
            ]
        )
        machine = try .qemu(
            directory.file("initrd"),
            console: directory.file("console"),
            memory: 256
        )
        try machine.waitUntilReady()
        try machine.run("mkdir -p /usr/bin /tmp/www /tmp/inner")
        // The argument vectors of network-setup expect the tools there.
        for tool in ["nsenter", "unshare"] {
            try machine.run("ln -s /bin/busybox /usr/bin/\(tool)")
        }
        try machine.run("/usr/local/bin/rdnet --install -s /usr/local/bin")
        try machine.run("dd if=/dev/urandom of=/tmp/www/file bs=1M count=4 2>/dev/null")
        try machine.run("echo inside >/tmp/inner/where")
        // The host is a separate network namespace; its web server keeps the namespace alive.
        try machine.run("unshare -n httpd -h /tmp/www; pidof httpd >/tmp/host.pid")
        try machine.run("\(onHost) ip link set lo up")
    }

    private var onHost: String { "nsenter -n -t $(cat /tmp/host.pid)" }

    private func startHostSwitch() throws {
        let command = "/usr/local/bin/host-switch -port-forward 127.0.0.1:6443=192.168.127.2:80"
        try machine.run("\(onHost) \(command) >>/tmp/host.log 2>&1 & echo $! >/tmp/host-switch.pid")
    }

    private func waitFor(_ condition: String, within limit: Duration = hangGuard) throws {
        let holds = try comesTrue(within: limit) {
            try machine.run("if \(condition); then echo yes; fi").contains("yes")
        }
        let logs = holds ? "" : try machine.run(Self.logs)
        #expect(holds, "\(condition): \(logs)")
    }

    /// Checks traffic from the inner namespace to the host, and from the host to a port inside.
    private func expectTraffic() throws {
        let file = "\(Self.namespace) wget -q -O - http://192.168.127.254/file | sha256sum"
        #expect(try machine.run(file) == machine.run("sha256sum </tmp/www/file"))
        try machine.run("\(Self.namespace) ping -c 1 -W 5 192.168.127.1 >/dev/null")
        let names = "\(Self.namespace) nslookup host.docker.internal 192.168.127.1"
        #expect(try machine.run(names).contains("192.168.127.254"))
        let inside = try machine.run("\(onHost) wget -q -O - http://127.0.0.1:6443/where")
        #expect(inside.contains("inside"))
    }

    private func expectAddress() throws {
        try waitFor(
            "\(Self.namespace) ip -4 address show eth0 2>/dev/null | grep -q 192.168.127.2/24"
        )
    }

    @Test func `from the handshake to a container's traffic, and through every failure`() throws {
        try startHostSwitch()
        try machine.run("/usr/local/bin/wsl-init >/tmp/init.log 2>&1 & echo $! >/tmp/setup.pid")
        try waitFor("test -s /run/wsl-init.pid")
        try expectAddress()
        try machine.run("\(Self.namespace) httpd -h /tmp/inner")
        try expectTraffic()

        // After vm-switch dies, its interface disappears and returns with the same address.
        try machine.run("killall -9 vm-switch")
        try expectAddress()
        try expectTraffic()

        // After host-switch dies and returns, everything inside is still there.
        try machine.run("kill -9 $(cat /tmp/host-switch.pid)")
        try startHostSwitch()
        try expectAddress()
        try waitFor("\(Self.namespace) ping -c 1 -W 1 192.168.127.1 >/dev/null 2>&1")
        try expectTraffic()

        try machine.run("kill $(cat /tmp/setup.pid)")
        try waitFor("! pidof vm-switch >/dev/null && ! test -d /proc/$(cat /tmp/setup.pid)")
        let left = try machine.run("ip link; ls /run; ps")
        for name in ["veth", "wsl-init.pid", "sleep 1000000"] { #expect(!left.contains(name)) }
    }
}
