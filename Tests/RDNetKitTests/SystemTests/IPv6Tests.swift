import Testing

@testable import RDNetKit

@Suite(
    "IPv6 of a real guest",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct IPv6Tests {
    private static let server = "2001:db8:71::2"

    /// A guest whose host has an address and a default route of IPv6, or neither.
    private func scene(hasRoute: Bool = true, options: [String] = []) throws -> UpGuest {
        let scene = try UpGuest(options: options)
        if hasRoute { try addRoute(scene.host) }
        return scene
    }

    private func addRoute(_ host: NetworkNamespace) throws {
        try host.run("ip", "link", "add", "outside", "type", "veth", "peer", "name", "inside")
        for name in ["outside", "inside"] { try host.run("ip", "link", "set", name, "up") }
        let address = "\(Self.server)/64"
        try host.run("ip", "-6", "address", "add", address, "dev", "outside", "nodad")
        try host.run("ip", "-6", "route", "add", "default", "via", "2001:db8:71::1")
    }

    private func serve(_ address: String, in scene: UpGuest) throws {
        let directory = "/usr/share/common-licenses"
        try scene.serve("busybox", "httpd", "-f", "-p", address, "-h", directory, in: scene.host)
    }

    private func curl(_ url: String, from guest: NetworkNamespace) throws -> String {
        try guest.run(
            "curl",
            "-sSf",
            "-g",
            "-m",
            "20",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            url
        )
    }

    @Test func `has the number of its IPv4 address, and reaches the gateway and the host`() throws {
        let scene = try scene(hasRoute: false)
        let addresses = try scene.guest.run("ip", "-6", "-o", "address", "show", "dev", "eth0")
        #expect(addresses.contains("fdc0:a87f::2/64"))
        #expect(try scene.guest.run("ip", "-6", "route", "show", "default").isEmpty)
        for address in ["fdc0:a87f::1", "fdc0:a87f::fe", "fe80::1%eth0"] {
            try scene.guest.run("ping", "-6", "-n", "-c", "1", "-W", "10", address)
        }
        try serve("[::1]:8123", in: scene)
        try scene.waitForListener(8123, in: scene.host)
        #expect(try curl("http://[fdc0:a87f::fe]:8123/GPL-3", from: scene.guest) == "200")
    }

    @Test func `follows the host's default route`() throws {
        let scene = try scene(hasRoute: false)
        func hasRoute() throws -> Bool {
            try scene.guest.run("ip", "-6", "route", "show", "default").contains("via fe80::1")
        }
        #expect(try !hasRoute())
        try addRoute(scene.host)
        // A guest end of this program learns it with its lease, which it renews at once.
        #expect(try comesTrue { try hasRoute() })
        try scene.host.run("ip", "link", "delete", "outside")
        #expect(try comesTrue { try !hasRoute() })
    }

    @Test func `connects, pings and sends datagrams to an address of the internet`() throws {
        let scene = try scene()
        #expect(
            try comesTrue {
                try scene.guest.run("ip", "-6", "route", "show", "default").contains("fe80::1")
            }
        )
        try serve("[\(Self.server)]:8124", in: scene)
        try scene.waitForListener(8124, in: scene.host)
        #expect(try curl("http://[\(Self.server)]:8124/GPL-3", from: scene.guest) == "200")
        try scene.guest.run("ping", "-6", "-n", "-c", "1", "-W", "10", Self.server)
        try scene.serve("iperf3", "-s", "-1", "-B", Self.server, in: scene.host)
        try scene.waitForListener(5201, in: scene.host)
        let report = try scene.guest.run("iperf3", "-6", "-c", Self.server, "-n", "64M", "-R")
        #expect(report.contains("receiver"))
    }

    @Test func `an unreachable address is reported at once`() throws {
        let scene = try UpGuest(options: ["--ipv6", "on"])
        #expect(
            try comesTrue {
                try scene.guest.run("ip", "-6", "route", "show", "default").contains("fe80::1")
            }
        )
        // The host has no route; without an answer, connect would take two minutes.
        let command = "curl -sS -g -m 60 http://[2001:db8:77::1]/ 2>&1; echo status $?"
        let output = try scene.guest.run("sh", "-c", command)
        #expect(output.hasSuffix("status 7\n"), "\(output)")
    }

    /// The ICMPv6 errors of destinations that the guest's kernel has received.
    private func unreachables(_ guest: NetworkNamespace) throws -> Int {
        let counters = try guest.run("cat", "/proc/net/snmp6")
        let line = counters.split(separator: "\n").first { $0.hasPrefix("Icmp6InDestUnreachs") }
        return try #require(line?.split(whereSeparator: \.isWhitespace).last.flatMap { Int($0) })
    }

    @Test func `a program with addresses of both families learns at once that IPv6 leads nowhere`()
        throws
    {
        let scene = try UpGuest(options: ["--ipv6", "on"])
        #expect(
            try comesTrue {
                try scene.guest.run("ip", "-6", "route", "show", "default").contains("fe80::1")
            }
        )
        try serve("127.0.0.1:8125", in: scene)
        try scene.waitForListener(8125, in: scene.host)
        let before = try unreachables(scene.guest)
        let peer = try scene.guest.run(
            "curl",
            "-sSf",
            "-m",
            "60",
            "--resolve",
            "both.test:8125:[2001:db8:77::1],192.168.127.254",
            "-o",
            "/dev/null",
            "-w",
            "%{remote_ip}",
            "http://both.test:8125/GPL-3"
        )
        #expect(peer == "192.168.127.254")
        #expect(try unreachables(scene.guest) == before + 1)
    }

    @Test func `does not exist with --ipv6 off`() throws {
        let scene = try UpGuest(options: ["--ipv6", "off"])
        let addresses = try scene.guest.run("ip", "-6", "-o", "address", "show", "dev", "eth0")
        #expect(!addresses.contains("fdc0"))
        #expect(throws: (any Error).self) {
            try scene.guest.run("ping", "-6", "-n", "-c", "1", "-W", "1", "fe80::1%eth0")
        }
    }
}
