import Testing

@testable import RDNetKit

@Suite("DHCP lease")
struct DHCPLeaseTests {
    static func acknowledgment() throws -> DHCPMessage {
        var message = DHCPMessage(
            .ack,
            transactionID: 7,
            hardwareAddress: MACAddress(rawValue: 0x5a94_efe4_0cee)
        )
        message.yourAddress = try #require(IPAddress("192.168.127.2"))
        let gateway = try #require(IPAddress("192.168.127.1"))
        message.options.set(.serverIdentifier, to: [gateway])
        message.options.set(.subnetMask, to: [try #require(IPAddress("255.255.255.0"))])
        message.options.set(.router, to: [gateway])
        message.options.set(.domainNameServer, to: [gateway, try #require(IPAddress("9.9.9.9"))])
        message.options.set(.interfaceMTU, to: 1500 as UInt16)
        message.options.set(.leaseTime, to: 3600 as UInt32)
        message.options[.domainSearch] = DHCPDomainSearch.octets(["lan", "corp.example"])
        return message
    }

    @Test func `carries what an interface needs`() throws {
        let lease = try #require(DHCPLease(acknowledgedBy: try Self.acknowledgment()))
        #expect("\(lease.address)/\(lease.prefixLength)" == "192.168.127.2/24")
        #expect("\(lease.broadcast)" == "192.168.127.255")
        #expect(lease.mtu == 1500)
        #expect(lease.duration == .seconds(3600))
        #expect(lease.renewal == .seconds(1800))
        #expect(lease.rebinding == .seconds(3150))
        #expect(
            lease.resolverText
                == "search lan corp.example\nnameserver 192.168.127.1\nnameserver 9.9.9.9\n"
        )
    }

    @Test func `carries the IPv6 address with the same number`() throws {
        var message = try Self.acknowledgment()
        message.yourAddress = try #require(IPAddress("192.168.127.33"))
        for (hasRoute, router) in [(true, "fe80::1"), (false, nil)] as [(Bool, String?)] {
            let offer = IPv6Offer(prefix: .standard, hasDefaultRoute: hasRoute)
            message.options[.ipv6Offer] = offer.octets
            let lease = try #require(DHCPLease(acknowledgedBy: message))
            let ipv6 = try #require(lease.ipv6)
            #expect("\(ipv6.address)" == "fdc0:a87f::21/64")
            #expect("\(ipv6.gateway)" == "fdc0:a87f::1")
            #expect(ipv6.router.map { "\($0)" } == router)
            let servers = ["192.168.127.1", "9.9.9.9", "fdc0:a87f::1"]
            let lines = servers.map { "nameserver \($0)\n" }.joined()
            #expect(lease.resolverText == "search lan corp.example\n" + lines)
        }
    }

    @Test(
        "another use of the option is no IPv6",
        arguments: [
            [], [0, 1], Array("RDNT".utf8), Array("RDNX".utf8) + [UInt8](repeating: 1, count: 19),
            Array("RDNT".utf8) + [2, 0, 64, 0xfd] + [UInt8](repeating: 0, count: 15),
            Array("RDNT".utf8) + [1, 0, 63, 0xfd] + [UInt8](repeating: 0, count: 15),
            Array("RDNT".utf8) + [1, 0, 64, 0xff] + [UInt8](repeating: 0, count: 15),
            Array("RDNT".utf8) + [1, 0, 64, 0xfd] + [UInt8](repeating: 0, count: 14),
        ] as [[UInt8]]
    )
    func otherUse(value: [UInt8]) throws {
        var message = try Self.acknowledgment()
        message.options[.ipv6Offer] = value
        #expect(try #require(DHCPLease(acknowledgedBy: message)).ipv6 == nil)
    }

    @Test func `the domain name stands in for a missing search list`() throws {
        var message = try Self.acknowledgment()
        message.options[.domainSearch] = nil
        message.options[.domainName] = Array("corp.example\0".utf8)
        let lease = try #require(DHCPLease(acknowledgedBy: message))
        #expect(lease.searchDomains == ["corp.example"])
        message.options[.domainName] = Array("x\nnameserver".utf8)
        #expect(DHCPLease(acknowledgedBy: message)?.searchDomains == [])
    }

    @Test(
        "without a usable mask the address's class decides",
        arguments: [("10.0.0.9", 8), ("172.16.0.9", 16), ("192.168.0.9", 24)]
    )
    func classDecides(address: String, prefixLength: Int) throws {
        var message = try Self.acknowledgment()
        message.yourAddress = try #require(IPAddress(address))
        for mask in [nil, [0, 255, 255, 255], [1]] as [[UInt8]?] {
            message.options[.subnetMask] = mask
            #expect(DHCPLease(acknowledgedBy: message)?.prefixLength == prefixLength)
        }
    }

    @Test(
        "renewal times out of order are replaced by half and 7/8",
        arguments: [(0, 100), (100, 100), (3000, 2000), (100, 3600), (1800, 9999)]
            as [(UInt32, UInt32)]
    )
    func wrongTimesAreReplaced(renewal: UInt32, rebinding: UInt32) throws {
        var message = try Self.acknowledgment()
        message.options.set(.renewalTime, to: renewal)
        message.options.set(.rebindingTime, to: rebinding)
        let lease = try #require(DHCPLease(acknowledgedBy: message))
        #expect(lease.renewal == .seconds(1800))
        #expect(lease.rebinding == .seconds(3150))
    }

    @Test func `a lease of no time is ten seconds, one without a time is an hour`() throws {
        var message = try Self.acknowledgment()
        message.options.set(.leaseTime, to: 0 as UInt32)
        #expect(DHCPLease(acknowledgedBy: message)?.duration == .seconds(10))
        message.options[.leaseTime] = nil
        #expect(DHCPLease(acknowledgedBy: message)?.duration == .seconds(3600))
    }

    @Test func `an acknowledgment without a server is no lease`() throws {
        var message = try Self.acknowledgment()
        message.options[.serverIdentifier] = nil
        #expect(DHCPLease(acknowledgedBy: message) == nil)
    }
}
