import Foundation
import Testing

@testable import RDNetKit

@Suite(
    "resolver file of up",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct ResolverUpTests {
    private static let other = "nameserver 192.0.2.99\n"
    private static let up = "rdnet up --logfile '' -- sh -c "
    /// A script that fails unless the programs' resolver gets the gateway's answers.
    private static let resolves =
        "dig +short host.docker.internal | grep -q 192.168.127.254 && "
        + "getent ahostsv4 gateway.docker.internal | grep -q 192.168.127.1"

    private let machine: ResolverMachine

    init() throws {
        machine = try ResolverMachine()
    }

    private func expectNames(_ prefix: String = "") throws {
        #expect(throws: Never.self) { try machine.run("\(prefix) \(Self.up) '\(Self.resolves)'") }
    }

    @Test func `names work, and the machine's file stays as it is`() throws {
        try expectNames()
        #expect(try machine.file == ResolverMachine.text)
    }

    @Test(
        "names work again after the machine's file was replaced or removed",
        arguments: ["printf '\(other)' >/etc/new; mv /etc/new", "rm", "ln -sf nowhere"]
    )
    func replacement(command: String) throws {
        let (ready, go) = (machine.directory.file("begun"), machine.directory.file("go"))
        let script =
            "touch \(ready); until [ -e \(go) ]; do sleep 0.02; done; "
            + "until \(Self.resolves); do sleep 0.1; done"
        let program = try machine.start("exec \(Self.up) '\(script)'")
        #expect(comesTrue(within: .seconds(60)) { FileManager.default.fileExists(atPath: ready) })
        try machine.run("\(command) \(ResolverMachine.path); touch \(go)")
        let hasEnded = comesTrue(within: .seconds(60)) { !program.isRunning }
        #expect(hasEnded && program.status == 0, "\(machine.text(of: "output"))")
    }

    @Test(
        "names work where the file is a link that leads nowhere, or not there",
        arguments: ["ln -sf /mnt/wsl/resolv.conf", "rm"]
    )
    func nothingThere(command: String) throws {
        try machine.run("\(command) \(ResolverMachine.path)")
        let before = try machine.run("ls -l /etc | grep resolv || true")
        try expectNames()
        #expect(try machine.run("ls -l /etc | grep resolv || true") == before)
    }

    @Test func `names work over TCP too where the file is not there`() throws {
        try machine.run("rm \(ResolverMachine.path)")
        let names = try machine.run("\(Self.up) 'dig +tcp +short host.docker.internal'")
        #expect(names.split(separator: "\n").last == "192.168.127.254", "\(names)")
    }

    @Test func `names work where /tmp is read-only`() throws {
        try expectNames("mount -t tmpfs -o ro none /tmp;")
    }

    @Test(
        "names work in a chroot whose root is not a mount point",
        arguments: ["", "rm root/etc/resolv.conf", "ln -sf /nowhere root/etc/resolv.conf"]
    )
    func inChroot(command: String) throws {
        let binds = ["/usr", "/opt", "/dev", BuiltProgram.rdnet]
        try machine.run(
            """
            mkdir -p /run/root/etc; cd /run
            # Or the mounts of `up` could propagate into the machine.
            mount --make-rshared /
            for name in bin sbin lib lib64; do ln -s usr/$name root/$name; done
            for path in \(binds.joined(separator: " ")); do
                [ -e $path ] || continue
                if [ -d $path ]; then mkdir -p root$path
                else mkdir -p root$(dirname $path); touch root$path; fi
                mount --rbind $path root$path
            done
            cp /etc/nsswitch.conf /etc/hosts /etc/resolv.conf root/etc
            \(command)
            """
        )
        let shown = try machine.run("cd /run/root/etc; ls -l | grep resolv || true")
        // Other tests' namespaces are mounts as well, and change meanwhile.
        let mounts = "grep -e /run/root -e /etc -e 'tmpfs rdnet' /proc/self/mountinfo"
        let before = try machine.run(mounts)
        let inside = "\(BuiltProgram.rdnet) up --logfile '' -- sh -c '\(Self.resolves)'"
        #expect(throws: Never.self) { try machine.run("chroot /run/root \(inside)") }
        #expect(try machine.run("cd /run/root/etc; ls -l | grep resolv || true") == shown)
        #expect(try machine.run(mounts) == before)
        #expect(try machine.file == ResolverMachine.text)
    }

    @Test("names work for an ordinary user", arguments: ["true", "rm \(ResolverMachine.path)"])
    func ordinaryUser(command: String) throws {
        try machine.run("\(command); mkdir /run/dev; mknod /run/dev/tun c 10 200")
        try machine.run("chmod 666 /run/dev/tun; mount --bind /run/dev/tun /dev/net/tun")
        try expectNames("setpriv --reuid 65534 --regid 65534 --clear-groups env")
    }
}
