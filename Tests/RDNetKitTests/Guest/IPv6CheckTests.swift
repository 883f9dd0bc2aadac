import Testing

@testable import RDNetKit

@Suite(
    "the IPv6 line of up's report",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct IPv6CheckTests {
    private let guest: NetworkNamespace
    private let gateway: NetworkNamespace
    private let assignment: IPv6Assignment

    init() throws {
        guest = try NetworkNamespace()
        gateway = try NetworkNamespace()
        let peer = ["peer", "name", "eth0", "netns", gateway.name]
        _ = try RDNetKitTests.run(
            ["ip", "-n", guest.name, "link", "add", "eth0", "type", "veth"] + peer
        )
        for address in ["fe80::1/64", "fdc0:a87f::1/64"] {
            try gateway.run("ip", "address", "add", address, "dev", "eth0", "nodad")
        }
        try gateway.run("ip", "link", "set", "eth0", "up")
        var message = try DHCPLeaseTests.acknowledgment()
        let offer = IPv6Offer(prefix: .standard, hasDefaultRoute: true)
        message.options[.ipv6Offer] = offer.octets
        let lease = try #require(DHCPLease(acknowledgedBy: message))
        assignment = try #require(lease.ipv6)
        try guest.enter {
            let configuration = try LinkConfiguration(
                interface: "eth0",
                nameServers: nil,
                maximumMTU: nil,
                log: .discarding()
            )
            configuration.apply(.bound(lease)) {}
        }
    }

    private func problem(within limit: Duration = .seconds(10)) throws -> String? {
        try guest.enter { try IPv6Check(assignment: assignment, limit: limit).run() }
    }

    @Test func `is good if the gateway answers and the default route exists`() throws {
        #expect(try problem() == nil)
        try guest.run("ping", "-6", "-c", "1", "-W", "5", "fdc0:a87f::1")
    }

    @Test func `names a missing default route`() throws {
        try guest.run("ip", "-6", "route", "del", "default")
        #expect(try problem() == "no default route via fe80::1")
    }

    @Test func `fails if the gateway does not answer`() throws {
        try gateway.run("ip", "address", "del", "fdc0:a87f::1/64", "dev", "eth0")
        #expect(throws: SystemError.self) { try problem(within: .milliseconds(200)) }
    }
}
