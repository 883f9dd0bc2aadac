import Foundation
import Testing

@testable import RDNetKit

@Suite(
    "resolver file of a guest end",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct ResolverFileTests {
    private static let other = "nameserver 192.0.2.99\n"
    private static let complaint = "resolver file not written"
    private static let write = "resolver file written"

    private let machine: ResolverMachine

    init() throws {
        machine = try ResolverMachine()
        try machine.startHost(search: "one.example")
    }

    /// Makes the guest end renew its lease, with another domain.
    private func renew(search domain: String, times: Int) throws {
        try machine.startHost(search: domain)
        try machine.waitForLog(" renewed\"", times: times)
    }

    /// Starts the guest end in a namespace with its own file, which `ip netns exec` mounts.
    private func startWithOwnFile(_ options: String = "") throws {
        try machine.run("ip netns add guest; mkdir /etc/netns/guest")
        try machine.run("echo '# mine' >/etc/netns/guest/resolv.conf")
        try machine.startGuest("ip netns exec guest", options)
        try machine.waitForLog(Self.write)
    }

    @Test
    func `in a namespace without its own, the machine's stays as it is, and one line says so`()
        throws
    {
        try machine.run("ip netns add guest")
        try machine.startGuest("ip netns exec guest")
        try machine.waitForLog(Self.complaint)
        #expect(try machine.file == ResolverMachine.text)
        try renew(search: "two.example", times: 1)
        try renew(search: "three.example", times: 2)
        #expect(machine.count(Self.complaint) == 1, "\(machine.log)")
        try machine.endGuest()
        #expect(try machine.file == ResolverMachine.text)
    }

    @Test func `gvforwarder in such a namespace leaves the machine's alone too`() throws {
        try machine.startHost(["gvproxy", "-listen", machine.link])
        try machine.run("ip netns add guest")
        try machine.startGuest("ip netns exec guest", role: "gvforwarder")
        try machine.waitForLog(Self.complaint)
        #expect(try machine.file == ResolverMachine.text)
    }

    @Test func `where there is none, none is made in such a namespace`() throws {
        try machine.run("rm \(ResolverMachine.path); ip netns add guest")
        try machine.startGuest("ip netns exec guest")
        try machine.waitForLog(Self.complaint)
        #expect(try machine.file == nil)
    }

    @Test func `a mount that process 1 sees too is the machine's`() throws {
        // A container's file is a mount; a namespace within the container has no file.
        try machine.run("cp \(ResolverMachine.path) /run/file; ip netns add guest")
        try machine.run("mount --bind /run/file \(ResolverMachine.path)")
        try machine.startGuest("ip netns exec guest")
        try machine.waitForLog(Self.complaint)
        #expect(try machine.file == ResolverMachine.text)
    }

    @Test func `a namespace's own is written, and restored at the end`() throws {
        try startWithOwnFile()
        let own = "/etc/netns/guest/resolv.conf"
        #expect(try machine.run("cat \(own)") == ResolverMachine.lease(search: "one.example"))
        #expect(try machine.file == ResolverMachine.text)
        #expect(machine.log.contains("path=/etc/resolv.conf"))
        try machine.endGuest()
        #expect(try machine.run("cat \(own)") == "# mine\n")
        #expect(machine.count("resolver file restored") == 1)
    }

    @Test(
        "a lease renewal never reaches the machine's file after a rename detached the mount",
        arguments: ["", "--resolv-conf /etc/resolv.conf"]
    )
    func detachedMount(options: String) throws {
        try startWithOwnFile(options)
        try machine.replaceFile(with: Self.other)
        try renew(search: "two.example", times: 1)
        try machine.waitForLog(Self.complaint)
        #expect(try machine.file == Self.other)
        try machine.endGuest()
        #expect(try machine.file == Self.other)
        #expect(try machine.run("cat /etc/netns/guest/resolv.conf") == "# mine\n")
    }

    @Test func `a mount that is detached before the first lease is not missed`() throws {
        try machine.startHost(search: "one.example", link: "--link=\(machine.link)-later")
        try machine.run("ip netns add guest; mkdir /etc/netns/guest")
        try machine.run("touch /etc/netns/guest/resolv.conf")
        try machine.startGuest("ip netns exec guest", "--resolv-conf /etc/resolv.conf")
        try machine.waitForLog("level=warning")
        try machine.replaceFile(with: Self.other)
        try machine.startHost(search: "one.example")
        try machine.waitForLog(Self.complaint)
        #expect(try machine.file == Self.other)
    }

    @Test(
        "in process 1's network it is a DHCP client's file, restored however it ends",
        arguments: ["TERM", "INT", "HUP", "QUIT"]
    )
    func virtualMachine(signal: String) throws {
        // With a log file, SIGHUP would only reopen that file.
        try machine.startGuest("", "--logfile '' 2>\(machine.directory.file("guest.log"))")
        try machine.waitForLog(Self.write)
        #expect(try machine.file == ResolverMachine.lease(search: "one.example"))
        try renew(search: "two.example", times: 1)
        try machine.waitForLog(Self.write, times: 2)
        #expect(try machine.file == ResolverMachine.lease(search: "two.example"))
        try machine.endGuest("vm-switch", signal)
        #expect(try machine.file == ResolverMachine.text)
    }

    @Test func `gvforwarder is a DHCP client in process 1's network`() throws {
        try machine.startHost(["gvproxy", "-listen", machine.link])
        try machine.startGuest(role: "gvforwarder")
        try machine.waitForLog(Self.write)
        #expect(try machine.file?.contains("nameserver \(SwitchedGuest.gateway)") == true)
        try machine.endGuest("gvforwarder")
        #expect(try machine.file == ResolverMachine.text)
    }

    @Test func `an unchanged lease writes nothing`() throws {
        try machine.startGuest()
        try machine.waitForLog(Self.write)
        try machine.run("touch -d @1000000000 \(ResolverMachine.path)")
        try renew(search: "one.example", times: 1)
        try renew(search: "one.example", times: 2)
        #expect(machine.count(Self.write) == 1)
        #expect(try machine.run("stat -c %Y \(ResolverMachine.path)").trimmed == "1000000000")
    }

    @Test func `what somebody else wrote meanwhile stays at the end`() throws {
        try machine.startGuest()
        try machine.waitForLog(Self.write)
        try machine.run("printf '\(Self.other)' >\(ResolverMachine.path)")
        try machine.endGuest()
        #expect(try machine.file == Self.other)
        #expect(machine.count("resolver file restored") == 0)
    }

    @Test(
        "a link that leads nowhere, or nothing at all, comes back",
        arguments: ["ln -sf /mnt/wsl/resolv.conf", "rm"]
    )
    func nothingThere(command: String) throws {
        let before = "\(command) \(ResolverMachine.path); readlink \(ResolverMachine.path) || true"
        let link = try machine.run(before)
        try machine.startGuest()
        try machine.waitForLog(Self.write)
        #expect(try machine.file == ResolverMachine.lease(search: "one.example"))
        try machine.endGuest()
        #expect(try machine.file == nil)
        #expect(try machine.run("readlink \(ResolverMachine.path) || true") == link)
        #expect(try machine.run("ls /etc").contains("resolv.conf") == !link.isEmpty)
    }

    @Test func `a script that may write the machine's file is reported`() throws {
        try machine.run("ip netns add guest")
        try machine.startGuest("ip netns exec guest", "--dhcp-script /bin/true")
        try machine.waitForLog("the script may write the machine's resolver file")
        #expect(try machine.file == ResolverMachine.text)
    }
}
