import Testing

@testable import RDNetKit

@Suite(
    "the guest's IPv6 configuration",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct LinkIPv6Tests {
    private static let offer = IPv6Offer(prefix: .standard, hasDefaultRoute: true)
    private static let address = "inet6 fdc0:a87f::2/64 scope global"
    private static let route = "default via fe80::1 dev eth0"

    private let link: RestoredLink

    init() throws {
        link = try RestoredLink(ipv6: Self.offer)
    }

    private var addresses: String {
        get throws { try link.namespace.run("ip", "-6", "-o", "address", "show", "dev", "eth0") }
    }
    private var routes: String {
        get throws { try link.namespace.run("ip", "-6", "route", "show") }
    }
    private var isWhole: Bool {
        get throws {
            try addresses.contains(Self.address) && routes.contains(Self.route)
                && routes.contains("fdc0:a87f::/64 dev eth0") && link.isWhole
        }
    }

    @Test func `has an address that is usable at once, and a default route`() throws {
        #expect(try isWhole)
        let own = try addresses.split(separator: "\n").first { $0.contains("fdc0:a87f::2") }
        #expect(try #require(own).contains("tentative") == false)
        let path = try link.namespace.run("ip", "-6", "route", "get", "2001:db8::1")
        #expect(path.contains("via fe80::1 dev eth0") && path.contains("src fdc0:a87f::2"))
        let neighbor = try link.namespace.run("ip", "-6", "route", "get", "fdc0:a87f::1")
        #expect(neighbor.contains("dev eth0") && !neighbor.contains("via"))
    }

    @Test(
        "comes back after its loss",
        arguments: [
            "link set eth0 down; ip link set eth0 up", "-6 route del default via fe80::1",
            "-6 address del fdc0:a87f::2/64 dev eth0", "-6 address flush dev eth0 scope global",
            "-6 route flush dev eth0", "-6 route del fdc0:a87f::/64 dev eth0",
        ]
    )
    func comesBack(command: String) throws {
        for round in 1...3 {
            try link.ip(command)
            #expect(try !isWhole)
            try link.settle()
            #expect(try isWhole, "round \(round): \(link.log)")
        }
        #expect(link.log.contains("eth0: configuration was removed; restored it"))
    }

    @Test(
        "stays as another program has set it, also when the lease is renewed",
        arguments: [
            "-6 address del fdc0:a87f::2/64 dev eth0; ip address add fdc0:a87f::9/64 dev eth0",
            "-6 route replace default via fe80::9 dev eth0",
            "-6 route del default; ip -6 route add default via fe80::9 dev eth1",
        ]
    )
    func yields(command: String) throws {
        try link.ip(command)
        let before = (try permanentAddresses, try routes)
        for _ in 0..<3 {
            try link.settle()
            try link.renew()
        }
        #expect(try permanentAddresses == before.0)
        #expect(try routes == before.1)
        #expect(link.lines == 1, "\(link.log)")
        #expect(link.log.contains("eth0: another program configured it; leaving it alone"))
    }

    private var permanentAddresses: [Substring] {
        get throws { try addresses.split(separator: "\n").filter { $0.contains("fdc0") } }
    }

    @Test func `an address that the kernel formed is no other configuration`() throws {
        try link.ip("address add fdc0:a87f::77/64 dev eth0 valid_lft 900 preferred_lft 900")
        try link.ip("-6 address del fdc0:a87f::2/64 dev eth0")
        try link.settle()
        #expect(try isWhole)
        #expect(try addresses.contains("fdc0:a87f::77"))
    }

    @Test func `the default route follows the host's`() throws {
        link.ipv6?.hasDefaultRoute = false
        try link.renew()
        #expect(try addresses.contains(Self.address))
        #expect(try !routes.contains("default"))
        try link.settle()
        link.ipv6?.hasDefaultRoute = true
        try link.renew()
        #expect(try isWhole)
        #expect(link.log.isEmpty)
    }

    @Test func `another prefix replaces the old one`() throws {
        link.ipv6?.prefix = try IPv6Prefix("fd00:1:2:3::/64")
        try link.renew()
        #expect(try addresses.contains("inet6 fd00:1:2:3::2/64 scope global"))
        #expect(try !addresses.contains("fdc0:a87f"))
        link.ipv6 = nil
        try link.renew()
        #expect(try !addresses.contains("scope global") && !routes.contains("default"))
        #expect(try link.isWhole)
    }

    @Test func `leaves the interface with the lease`() throws {
        link.lose()
        #expect(try !addresses.contains("scope global") && !routes.contains("default"))
    }

    @Test(
        "an interface without IPv6 has IPv4 alone, and the log says so once",
        arguments: [
            "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1",
            "sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
        ]
    )
    func withoutIPv6(command: String) throws {
        let link = try RestoredLink(ipv6: Self.offer, preparing: command)
        for _ in 0..<3 {
            try link.renew()
            try link.settle()
        }
        #expect(try link.isWhole)
        #expect(link.lines == 1, "\(link.log)")
        #expect(link.log.contains("eth0: IPv4 only, because IPv6 is off"))
        try link.namespace.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0")
        try link.renew()
        let addresses = try link.namespace.run("ip", "-6", "-o", "address", "show", "dev", "eth0")
        #expect(addresses.contains(Self.address))
    }

    @Test func `IPv6 that is switched off later is not restored again and again`() throws {
        try link.namespace.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
        for _ in 0..<5 { try link.settle() }
        #expect(try link.isWhole)
        #expect(link.lines <= 2, "\(link.log)")
        #expect(link.log.contains("eth0: IPv4 only, because IPv6 is off"))
    }

    @Test func `a program's own interface takes no addresses from router advertisements`() throws {
        let namespace = try NetworkNamespace()
        let settings = try namespace.enter {
            let device = try GuestInterface.make(named: "tap0", mac: nil, mtu: nil)
            let names = ["accept_ra", "autoconf", "disable_ipv6"]
            let values = try names.map { try Self.parameter($0, of: "tap0") }
            let other = try GuestInterface.make(
                named: "tap1",
                mac: nil,
                mtu: nil,
                leavesIPv6: true
            )
            let kernels = try names.map { try Self.parameter($0, of: "tap1") }
            _ = (device.descriptor.number, other.descriptor.number)
            return (values, kernels)
        }
        #expect(settings.0 == ["0", "0", "0"])
        #expect(settings.1 == ["1", "1", "0"])
    }

    private static func parameter(_ name: String, of interface: String) throws -> String {
        let path = "/proc/sys/net/ipv6/conf/\(interface)/\(name)"
        let octets = try #require(try TextFile.read(path))
        return String(decoding: octets, as: UTF8.self).filter { $0 != "\n" }
    }
}
