import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "Rancher Desktop's way",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct RancherDesktopTests {
    private func machine() throws -> RancherDistro {
        let distro = try RancherDistro()
        try distro.startHostSwitch()
        _ = try distro.startNetworkSetup()
        try distro.waitForNetwork()
        return distro
    }

    @Test func `containers resolve names, ping and download through the host`() throws {
        let distro = try machine()
        let names = try distro.runInside("dig", "+short", "host.docker.internal")
        #expect(names.trimmed == RancherDistro.hostAlias)
        try distro.runInside("ping", "-c", "1", "-W", "5", RancherDistro.gateway)

        let (file, copy) = (distro.directory.file("file"), distro.directory.file("copy"))
        try run("dd", "if=/dev/urandom", "of=\(file)", "bs=1M", "count=64")
        let server = try RunningProgram(
            ["busybox", "httpd", "-f", "-p", "80", "-h", distro.directory.path],
            in: distro.host
        )
        let url = "http://host.docker.internal/file"
        #expect(comesTrue { succeeds { try distro.runInside("curl", "-sSfI", url) } })
        try distro.runInside("curl", "-sSf", "-m", "60", "-o", copy, url)
        #expect(succeeds { try run("cmp", file, copy) })
        server.end(with: SIGKILL)
    }

    @Test func `init has its own processes, and the file that leads to it`() throws {
        let distro = try machine()
        let file = try distro.run("stat", "-c", "%a %U %s", "/run/wsl-init.pid").trimmed
        let number = try distro.run("cat", "/run/wsl-init.pid")
        #expect(file == "600 root \(number.utf8.count)")
        #expect(Int(number) != nil)
        let command = try distro.run("ps", "-o", "args=", "-p", number).trimmed
        #expect(
            command == "/usr/bin/unshare --pid --mount-proc --fork --propagation slave "
                + "/usr/local/bin/wsl-init"
        )
        #expect(try distro.runInside("ps", "-o", "args=", "-p", "1").trimmed == "sleep 1000000")
        let arguments = try distro.run("pgrep", "-a", "-x", "vm-switch")
        #expect(
            arguments.contains(
                "/usr/local/bin/vm-switch -tap-interface eth0 -subnet 192.168.127.0/24 "
                    + "-tap-mac-address 5a:94:ef:e4:0c:ee -dhcp-script  -logfile "
                    + "\(distro.directory.file("vm-switch.log")) -debug"
            )
        )
    }

    @Test func `the veth pair leads from the distribution to the containers and back`() throws {
        let distro = try machine()
        let outer = try distro.run("ip", "-br", "-4", "address", "show", "veth-rd-wsl")
        #expect(outer.contains("UP") && outer.contains("192.168.143.2/24"))
        let inner = try distro.runInside("ip", "-br", "-4", "address", "show", "veth-rd-ns")
        #expect(inner.contains("UP") && inner.contains("192.168.143.1/24"))
        try distro.run("ping", "-c", "1", "-W", "5", "192.168.143.1")
        try distro.runInside("ping", "-c", "1", "-W", "5", "192.168.143.2")
        // No route and no forwarding came with the pair.
        #expect(try distro.run("ip", "route", "show", "default").isEmpty)
        let forwarding = "/proc/sys/net/ipv4/conf"
        #expect(try distro.run("cat", "\(forwarding)/veth-rd-wsl/forwarding").trimmed == "0")
        #expect(try distro.runInside("cat", "\(forwarding)/veth-rd-ns/forwarding").trimmed == "0")
    }

    @Test func `an older or a newer generation's names, addresses and ports are a word away`()
        throws
    {
        let distro = try RancherDistro()
        try distro.startHostSwitch(["--profile", "legacy"])
        try distro.start(
            ["/usr/local/bin/wsl-init"],
            environment: ["LOG_DIR=\(distro.directory.path)", "RDNET_PROFILE=legacy"]
        )
        try distro.waitForNetwork()
        let outer = try distro.run("ip", "-br", "-4", "address", "show", "veth-rd0")
        #expect(outer.contains("192.168.1.1/24"))
        let inner = try distro.runInside("ip", "-br", "-4", "address", "show", "veth-rd1")
        #expect(inner.contains("192.168.1.2/24"))
        // The vm-switch of that generation does not know the flag.
        #expect(try !distro.run("pgrep", "-a", "-x", "vm-switch").contains("-dhcp-script"))
    }
}
