import Testing

@testable import RDNetKit

@Suite("IPv6 prefix")
struct IPv6PrefixTests {
    private static func address(_ text: String) throws -> IPAddress {
        try #require(IPAddress(text), "\(text)")
    }

    @Test func `the standard prefix has the digits of 192.168.127.0`() throws {
        #expect("\(IPv6Prefix.standard)" == "fdc0:a87f::/64")
        #expect(try IPv6Prefix("fdc0:a87f::/64") == .standard)
        #expect(try IPv6Prefix("FDC0:A87F:0:0::/64") == .standard)
    }

    @Test(
        "a subnet leads to the prefix with its digits",
        arguments: [
            ("192.168.127.0/24", "fdc0:a87f::/64"), ("192.168.143.1/24", "fdc0:a88f::/64"),
            ("10.0.2.0/24", "fd0a:2::/64"), ("172.16.200.9/29", "fdac:10c8:800::/64"),
        ]
    )
    func derived(subnet: String, prefix: String) throws {
        let derived = IPv6Prefix(derivedFrom: try #require(Subnet(subnet)))
        #expect("\(derived)" == prefix)
        #expect(try IPv6Prefix(prefix) == derived)
    }

    @Test(
        "an unusable prefix says what was expected",
        arguments: [
            ("fdc0:a87f::", .notAPrefix), ("fdc0:a87f::/", .notAPrefix),
            ("fdc0:a87f::/+64", .notAPrefix), ("fdc0:a87f::/129", .notAPrefix),
            ("fdc0:a87f::/64/64", .notAPrefix), ("fdc0:a87f::%1/64", .notAPrefix),
            ("", .notAPrefix), ("off", .notAPrefix), ("fd00::/9223372036854775808", .notAPrefix),
            ("192.168.127.0/24", .isIPv4), ("::ffff:0:0/96", .isIPv4),
            ("fdc0:a87f::/48", .tooLarge(48)), ("fdc0:a87f::/0", .tooLarge(0)),
            ("fdc0:a87f::/105", .tooSmall(105)), ("fdc0:a87f::1/128", .tooSmall(128)),
            ("fdc0:a87f::1/64", .hostBits(.standard)),
            ("ff02::/64", .notForGuests), ("fe80::/64", .notForGuests), ("::/64", .notForGuests),
        ] as [(String, IPv6PrefixError)]
    )
    func refusal(text: String, reason: IPv6PrefixError) {
        #expect(throws: reason) { try IPv6Prefix(text) }
        #expect(!"\(reason)".isEmpty)
    }

    @Test func `a guest has the same number in both families, in hexadecimal`() throws {
        let subnet = try #require(Subnet("192.168.127.0/24"))
        let pairs = [
            ("192.168.127.1", "fdc0:a87f::1"), ("192.168.127.16", "fdc0:a87f::10"),
            ("192.168.127.254", "fdc0:a87f::fe"),
        ]
        for (four, six) in pairs {
            let (four, six) = (try Self.address(four), try Self.address(six))
            #expect(IPv6Prefix.standard.address(matching: four, in: subnet) == six)
            #expect(IPv6Prefix.standard.ipv4(matching: six, in: subnet) == four)
        }
        let other = try Self.address("192.168.128.1")
        #expect(IPv6Prefix.standard.address(matching: other, in: subnet) == nil)
        for foreign in ["fdc0:a87f::100", "fdc0:a87f::5894:efff:fee4:cee", "fdc0:a880::1"] {
            let foreign = try Self.address(foreign)
            #expect(IPv6Prefix.standard.ipv4(matching: foreign, in: subnet) == nil, "\(foreign)")
        }
    }

    @Test func `the smallest prefix has room for the numbers of the largest subnet`() throws {
        let prefix = try IPv6Prefix("fd00:1:2:3:4:5:6600::/104")
        let subnet = try #require(Subnet("10.0.0.0/8"))
        let last = try Self.address("10.255.255.254")
        let matching = try #require(prefix.address(matching: last, in: subnet))
        #expect("\(matching)" == "fd00:1:2:3:4:5:66ff:fffe")
        #expect(prefix.contains(matching))
        #expect(prefix.ipv4(matching: matching, in: subnet) == last)
        #expect(!prefix.allowsAutoconfiguration)
    }

    @Test func `contains looks at the prefix only`() throws {
        let long = try IPv6Prefix("fdc0:a87f::8000:0:0:0/65")
        #expect(long.contains(try Self.address("fdc0:a87f::ffff:0:0:1")))
        #expect(!long.contains(try Self.address("fdc0:a87f::1")))
        #expect(IPv6Prefix.standard.contains(try Self.address("fdc0:a87f::5894:efff:fee4:cee")))
        #expect(!IPv6Prefix.standard.contains(try Self.address("fdc0:a87f:0:1::1")))
        #expect(!IPv6Prefix.standard.contains(try Self.address("192.168.127.2")))
    }

    /// RFC 4291, 2.7.1 and RFC 2464, 7 have the examples.
    @Test func `an address leads to its group, and the group to its Ethernet address`() throws {
        let address = try Self.address("4037::01:800:200e:8c6c")
        let group = address.solicitedNodeGroup
        #expect("\(group)" == "ff02::1:ff0e:8c6c")
        #expect(group.isSolicitedNodeGroup)
        #expect("\(MACAddress(ipv6Group: group))" == "33:33:ff:0e:8c:6c")
        for other in [IPAddress.allNodes, .allDHCPv6Servers, address] {
            #expect(!other.isSolicitedNodeGroup, "\(other)")
        }
        let groups = [IPAddress.allNodes, .allDHCPv6Servers]
        #expect(groups.map(\.description) == ["ff02::1", "ff02::1:2"])
        #expect("\(IPAddress.gatewayLinkLocal)" == "fe80::1")
    }
}
