import Foundation
import Testing

@testable import RDNetKit

@Suite("netlink", .enabled(if: canMakeNamespaces, "needs root to make network namespaces"))
struct NetlinkTests {
    private let namespace: NetworkNamespace

    init() throws {
        namespace = try NetworkNamespace()
        try namespace.run("ip", "link", "add", "one", "type", "veth", "peer", "name", "two")
    }

    @Test func `finds a link, or says that there is none`() throws {
        try namespace.enter {
            var netlink = try Netlink()
            let link = try netlink.link(named: "one")
            #expect(link.mtu == 1500)
            #expect(!link.isUp)
            do {
                _ = try netlink.link(named: "three")
                Issue.record("there is no link three")
            } catch {
                #expect("\(error)" == "three: get link: No such device")
            }
        }
    }

    @Test func `sets what ip link shows`() throws {
        let mac = MACAddress(rawValue: 0x5a94_efe4_0cee)
        try namespace.enter {
            var netlink = try Netlink()
            let link = try netlink.link(named: "one").index
            try netlink.setMAC(mac, ofLink: link)
            try netlink.setMTU(4000, ofLink: link)
            try netlink.setTransmitQueueLength(4096, ofLink: link)
            try netlink.setGSOMaxSize(65_000, ofLink: link)
            try netlink.setLink(link, up: true)
            let changed = try netlink.link(named: "one")
            #expect(
                changed
                    == NetworkLink(index: link, mac: mac, mtu: 4000, isUp: true, isTUN: false)
            )
        }
        let shown = try namespace.run("ip", "-d", "link", "show", "one")
        for expected in ["mtu 4000", "qlen 4096", "gso_max_size 65000", "\(mac)", ",UP"] {
            #expect(shown.contains(expected), "\(shown)")
        }
    }

    @Test func `adds, lists and removes addresses, and replaces the default route`() throws {
        let first = InterfaceAddress(address: try #require(IPAddress("10.1.2.3")), prefixLength: 24)
        let second = InterfaceAddress(
            address: try #require(IPAddress("10.1.2.4")),
            prefixLength: 24
        )
        let broadcast = try #require(IPAddress("10.1.2.255"))
        try namespace.enter {
            var netlink = try Netlink()
            let link = try netlink.link(named: "one").index
            try netlink.setLink(link, up: true)
            try netlink.addAddress(first, broadcast: broadcast, toLink: link)
            try netlink.addAddress(second, broadcast: broadcast, toLink: link)
            #expect(try netlink.addresses(ofLink: link) == [first, second])
            for gateway in ["10.1.2.1", "10.1.2.254"] {
                let gateway = try #require(IPAddress(gateway))
                try netlink.replaceDefaultRoute(via: gateway, link: link)
            }
        }
        #expect(try namespace.run("ip", "address", "show", "one").contains("brd 10.1.2.255"))
        let routes = try namespace.run("ip", "route", "show", "default")
        #expect(routes.hasPrefix("default via 10.1.2.254 dev one"))
        #expect(routes.split(separator: "\n").count == 1)
        try namespace.enter {
            var netlink = try Netlink()
            let link = try netlink.link(named: "one").index
            // The second address is secondary to the first: removing the first removes both.
            try netlink.removeAddresses(ofLink: link)
            #expect(try netlink.addresses(ofLink: link).isEmpty)
            let other = try netlink.link(named: "two").index
            #expect(try netlink.addresses(ofLink: other).isEmpty)
        }
    }

    @Test func `takes a gateway outside the link's networks when told that it is there`() throws {
        let gateway = try #require(IPAddress("172.16.0.1"))
        let failure = try namespace.enter { () -> SystemError? in
            var netlink = try Netlink()
            let link = try netlink.link(named: "one").index
            try netlink.setLink(link, up: true)
            let other = try netlink.link(named: "two").index
            try netlink.setLink(other, up: true)
            let address = InterfaceAddress(address: IPAddress(ipv4: 0x0a00_0001), prefixLength: 32)
            try netlink.addAddress(address, broadcast: address.address, toLink: link)
            var failure: SystemError?
            do throws(SystemError) {
                try netlink.replaceDefaultRoute(via: gateway, link: link)
            } catch {
                failure = error
            }
            try netlink.replaceDefaultRoute(via: gateway, link: link, onLink: true)
            return failure
        }
        #expect(failure.map { "\($0)".contains("Network is unreachable") } == true)
        #expect(try namespace.run("ip", "route", "show", "default").contains("onlink"))
    }

    @Test func `deletes a link, and its peer with it`() throws {
        try namespace.enter {
            var netlink = try Netlink()
            let link = try netlink.link(named: "one").index
            try netlink.deleteLink(link)
            for name in ["one", "two"] {
                #expect(throws: SystemError.self) { try NetlinkTests.find(name) }
            }
        }
    }

    @Test func `makes a veth pair across two namespaces, with its ends' addresses`() throws {
        let other = try NetworkNamespace()
        let pair = VethPair(
            outer: .init(name: "veth-a", address: try Self.address("192.168.143.2")),
            inner: .init(name: "veth-b", address: try Self.address("192.168.143.1"))
        )
        let there = try other.enter { try Namespace.currentNetwork() }
        try namespace.enter {
            #expect(try !pair.remove())
            try pair.make(to: there)
            #expect(throws: SystemError.self) { try pair.make(to: there) }
        }
        let inner = try other.run("ip", "-4", "address", "show", "veth-b")
        #expect(
            inner.contains("inet 192.168.143.1/24 brd 192.168.143.255") && inner.contains(",UP")
        )
        #expect(try !namespace.run("ip", "link").contains("veth-b"))
        #expect(try other.run("ip", "-6", "address").contains("inet6 fdc0:a88f::1/64 scope global"))
        for address in ["192.168.143.1", "fdc0:a88f::1"] {
            try namespace.run("ping", "-c", "1", "-W", "5", address)
        }
        let isRemoved = try namespace.enter { try pair.remove() }
        #expect(isRemoved)
        #expect(try !other.run("ip", "link").contains("veth-b"))
        #expect(try !namespace.run("ip", "link").contains("veth-a"))
    }

    private static func address(_ text: String) throws -> InterfaceAddress {
        InterfaceAddress(address: try #require(IPAddress(text)), prefixLength: 24)
    }

    private static func find(_ name: String) throws -> NetworkLink {
        var netlink = try Netlink()
        return try netlink.link(named: name)
    }
}
