import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// What the guest ends have given up, and what still works.
@Suite(
    "sandbox of the guest ends",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct GuestSandboxTests {
    private let directory = TemporaryDirectory()

    private var output: String { text(of: "output") }

    private func text(of name: String) -> String {
        let octets = FileManager.default.contents(atPath: directory.file(name)) ?? Data()
        return String(decoding: octets, as: UTF8.self)
    }

    @Test(
        "files, programs and other processes are out of reach",
        arguments: ["vm-switch", "gvforwarder"]
    )
    func probe(role: String) throws {
        let guest = try NetworkNamespace()
        let address = role == "vm-switch" ? "--link" : "-url"
        let program = try RunningProgram(
            [
                BuiltProgram.rdnet, role, address, "unix://" + directory.file("link"), "--logfile",
                "", "--resolv-conf", directory.file("resolv.conf"), "--sandbox", "probe",
            ],
            in: guest,
            output: URL(fileURLWithPath: directory.file("output"))
        )
        #expect(comesTrue { !program.isRunning } && program.status == 0, "\(output)")
        #expect(output.contains("everything else was refused"), "\(output)")
        let possible = output.split(separator: "\n").filter { !$0.contains("refused") }
        #expect(possible.count == 2 && possible[1].hasPrefix("open a packet socket"), "\(output)")
        #expect(output.contains("a system call\" number=\(SYS_ptrace)"), "\(output)")
        // It ends as always: the interface and the helpers are gone.
        #expect(try !guest.run("ip", "link").contains("eth0"))
    }

    @Test func `a role and its helpers keep what they use`() throws {
        let world = try SwitchedGuest(
            guestOptions: ["--resolv-conf", directory.file("resolv.conf")]
        )
        let vmSwitch = try #require(world.vmSwitch).number
        try #require(try ProcessStatus.isInSandbox(vmSwitch))
        // CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW.
        try ProcessStatus.expect([10, 12, 13], of: vmSwitch)
        #expect(try run("stat", "-c", "%u", "/proc/\(vmSwitch)/mem") == "0\n")
        let children = try ProcessStatus.children(of: vmSwitch)
        // One writes the resolver file, the other connects to the host's socket.
        #expect(children.count == 2)
        for child in children {
            #expect(try ProcessStatus.isInSandbox(child))
            // CAP_DAC_OVERRIDE.
            try ProcessStatus.expect([1], of: child)
        }
    }

    /// The sockets that a process holds open.
    private func sockets(of process: Int32) throws -> Set<String> {
        let folder = "/proc/\(process)/fd"
        let links = try FileManager.default.contentsOfDirectory(atPath: folder).map {
            try FileManager.default.destinationOfSymbolicLink(atPath: folder + "/" + $0)
        }
        return Set(links.filter { $0.hasPrefix("socket:") })
    }

    @Test func `no helper holds the host's stream, not even as its standard input`() throws {
        let world = try SwitchedGuest(
            .handshake,
            guestOptions: ["--resolv-conf", directory.file("resolv.conf")]
        )
        let vmSwitch = try #require(world.vmSwitch).number
        try #require(try ProcessStatus.isInSandbox(vmSwitch))
        let children = try ProcessStatus.children(of: vmSwitch)
        try #require(children.count == 1)
        let (own, helpers) = (try sockets(of: vmSwitch), try sockets(of: children[0]))
        #expect(!own.isEmpty && !helpers.isEmpty && own.isDisjoint(with: helpers))
    }

    @Test func `a descriptor that was not passed is no helper's`() throws {
        let guest = try NetworkNamespace()
        for number in 3...8 {
            let program = try RunningProgram(
                [
                    BuiltProgram.rdnet, "vm-switch", "--vsock-fd", "\(number)", "--logfile", "",
                    "--resolv-conf", directory.file("resolv.conf"),
                ],
                in: guest,
                output: URL(fileURLWithPath: directory.file("output"))
            )
            #expect(comesTrue { !program.isRunning } && program.status == 1)
            let sentence = "fd://\(number): descriptor \(number) was not handed over"
            #expect(output.contains(sentence) && !output.contains("helper"), "\(output)")
        }
    }

    @Test func `the interface, its configuration, the link and the names heal`() throws {
        let resolver = directory.file("resolv.conf")
        let world = try SwitchedGuest(
            hostOptions: ["--dns-search", "one.example"],
            guestOptions: ["--resolv-conf", resolver]
        )
        try world.serveEcho(7, in: world.host)
        let guest = world.guest
        let isWhole = {
            try comesTrue {
                try guest.run("ip", "-4", "address").contains("inet 192.168.127.2/24")
                    && guest.run("ip", "route").contains("default via 192.168.127.1 dev eth0")
                    && world.reachesHost()
            }
        }
        #expect(try isWhole())
        for command in [
            "ip link set eth0 down; ip link set eth0 up", "ip address flush dev eth0",
            "ip route flush dev eth0", "ip link delete eth0",
        ] {
            try guest.run("sh", "-c", command)
            #expect(try isWhole(), "\(command): \(world.logs)")
        }
        // The lease is renewed over the new link.
        #expect(comesTrue { text(of: "resolv.conf").contains("search one.example") })
        world.hostSwitch?.end()
        try run("sh", "-c", "echo else >\(resolver).new; mv \(resolver).new \(resolver).other")
        try world.startHostSwitch()
        #expect(try isWhole())
        #expect(!world.logs.contains("refused a system call"), "\(world.logs)")
        world.vmSwitch?.end()
        #expect(!FileManager.default.fileExists(atPath: resolver))
    }

    @Test func `a DHCP script keeps the privileges of the start`() throws {
        let script = directory.file("script")
        let text = """
            #!/bin/sh
            grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status >\(directory.path)/status
            [ "$1" = bound ] || exit 0
            ip address add "$ip/$mask" dev "$interface"
            """
        try Data(text.utf8).write(to: URL(fileURLWithPath: script))
        chmod(script, 0o755)
        let world = try SwitchedGuest(guestOptions: ["--dhcp-script", script])
        let vmSwitch = try #require(world.vmSwitch).number
        try #require(try ProcessStatus.isInSandbox(vmSwitch))
        let mine = try ProcessStatus.field("CapEff", of: getpid())
        let status = self.text(of: "status").split(separator: "\n")
        #expect(status.map { $0.split(separator: "\t")[1] } == [mine[...], "0", "0"])
        try ProcessStatus.expect([10, 12, 13], of: vmSwitch)
    }

    @Test func `a helper that must find out whose file it is may look at other processes`() throws {
        let world = try SwitchedGuest(guestOptions: ["--resolv-conf", "auto"])
        let vmSwitch = try #require(world.vmSwitch).number
        try #require(try ProcessStatus.isInSandbox(vmSwitch))
        let helper = try #require(
            try ProcessStatus.children(of: vmSwitch).first {
                try ProcessStatus.field("Name", of: $0) == "rdnet-lease"
            }
        )
        // CAP_DAC_OVERRIDE, CAP_SYS_PTRACE.
        try ProcessStatus.expect([1, 19], of: helper)
        #expect(try ProcessStatus.isInSandbox(helper))
    }

    /// Whether a process is the silent program; false for one that has ended.
    private func isSilent(_ process: Int32) -> Bool {
        do {
            return try ProcessStatus.field("Name", of: process) == "cat"
        } catch {
            return false
        }
    }

    @Test func `a program for each connection keeps the network's privileges only`() throws {
        let guest = try NetworkNamespace()
        let silent = directory.file("silent")
        try Data("#!/bin/sh\nexec cat >/dev/null\n".utf8).write(to: URL(fileURLWithPath: silent))
        chmod(silent, 0o755)
        let program = try RunningProgram(
            [
                BuiltProgram.rdnet, "gvforwarder", "-url", "stdio:\(silent)",
                "-stop-if-exist", "", "-resolv-conf", "", "-logfile", "",
            ],
            in: guest,
            output: URL(fileURLWithPath: directory.file("output"))
        )
        #expect(comesTrue { output.contains("the sandbox restricts capabilities only") })
        try ProcessStatus.expect([10, 12, 13], of: program.number)
        var started: Int32?
        let hasStarted = try comesTrue {
            started = try ProcessStatus.children(of: program.number).first { child in
                // Another child may end while it is looked at.
                isSilent(child)
            }
            return started != nil
        }
        try #require(hasStarted, "\(output)")
        let child = try #require(started)
        try ProcessStatus.expect([10, 12, 13], of: child)
        #expect(try ProcessStatus.field("Seccomp", of: child) == "0")
    }

    @Test func `up's process in the namespace keeps that network, its command everything`() throws {
        let up = try UpGuest()
        let inside = try #require(Int32(ProcessStatus.field("PPid", of: up.command)))
        try #require(try ProcessStatus.isInSandbox(inside))
        try ProcessStatus.expect([10, 12, 13], of: inside)
        let helpers = try ProcessStatus.children(of: inside).filter { $0 != up.command }
        try #require(helpers.count == 1)
        #expect(try ProcessStatus.isInSandbox(helpers[0]))
        // CAP_DAC_OVERRIDE, CAP_SYS_CHROOT, CAP_SYS_PTRACE, CAP_SYS_ADMIN, for the mount.
        try ProcessStatus.expect([1, 18, 19, 21], of: helpers[0])
        let mine = try ProcessStatus.field("CapBnd", of: getpid())
        #expect(try ProcessStatus.field("CapBnd", of: up.command) == mine)
        #expect(try ProcessStatus.field("NoNewPrivs", of: up.command) == "0")
        #expect(try ProcessStatus.field("Seccomp", of: up.command) == "0")
        // It can still create the interface again.
        try up.guest.run("ip", "link", "delete", "eth0")
        let isThere = try comesTrue {
            try up.guest.run("ip", "-4", "address").contains("inet 192.168.127.2/24")
        }
        #expect(try isThere && !up.log.contains("refused a system call"))
    }

    @Test func `--sandbox off says so loudly, and changes nothing`() throws {
        let world = try SwitchedGuest(guestOptions: ["--sandbox", "off"])
        let vmSwitch = try #require(world.vmSwitch).number
        #expect(world.logs.contains("the sandbox is off: a fault gives"), "\(world.logs)")
        #expect(try ProcessStatus.field("Seccomp", of: vmSwitch) == "0")
        let mine = try ProcessStatus.field("CapEff", of: getpid())
        #expect(try ProcessStatus.field("CapEff", of: vmSwitch) == mine)
    }

    @Test func `the log's rotation reaches the helper`() throws {
        let world = try SwitchedGuest(
            hostOptions: ["--dns-search", "one.example"],
            guestOptions: ["--resolv-conf", directory.file("resolv.conf")]
        )
        #expect(comesTrue { world.logs.contains("resolver file written") })
        let log = world.directory.file("guest.log")
        #expect(rename(log, log + ".1") == 0)
        kill(try #require(world.vmSwitch).number, SIGHUP)
        #expect(comesTrue { world.logs.contains("log file reopened") })
        world.vmSwitch?.end()
        // The helper reports the restored file, to the new log.
        #expect(!FileManager.default.fileExists(atPath: directory.file("resolv.conf")))
        #expect(world.logs.contains("resolver file restored"), "\(world.logs)")
    }
}
