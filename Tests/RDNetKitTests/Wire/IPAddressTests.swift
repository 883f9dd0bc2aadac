import Testing

@testable import RDNetKit

@Suite("IP address")
struct IPAddressTests {
    @Test func `IPv4 is mapped into IPv6 (RFC 4291, 2.5.5.2)`() {
        let address = IPAddress(ipv4: 0xc000_020a)
        #expect(address.high == 0 && address.low == 0x0000_ffff_c000_020a)
        #expect(address.isIPv4)
        #expect(address.ipv4 == 0xc000_020a)
        expectBytes(address.octets, equals: [192, 0, 2, 10])
        #expect(IPAddress("::ffff:192.0.2.10") == address)
    }

    @Test func `IPv6 is sixteen octets in wire order`() throws {
        let address = try #require(IPAddress("2001:db8:1:2:3:4:5:fffe"))
        expectBytes(address.octets, equals: bytes("20010db8 00010002 00030004 0005fffe"))
        #expect(!address.isIPv4 && address.ipv4 == nil)
    }

    @Test(
        "text is canonical (RFC 5952, 4)",
        arguments: [
            ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
            ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("fe80::0a0b", "fe80::a0b"),
            ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"), ("192.0.2.1", "192.0.2.1"),
        ]
    )
    func canonical(text: String, expected: String) {
        #expect(IPAddress(text)?.description == expected)
    }

    @Test(
        "what is no address is nil",
        arguments: [
            "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.+4", "1..2.3",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", ":1", "1:", "::g", "1:2:3:4:5:6:7::8",
            "fe80::1%eth0", "::1.2.3", "+1::",
        ]
    )
    func noAddress(text: String) {
        #expect(IPAddress(text) == nil)
    }

    /// The first and the last address of each range, and their neighbors outside.
    @Test(
        "each kind has its range",
        arguments: [
            ("127.0.0.0", "L"), ("127.255.255.255", "L"), ("126.255.255.255", ""),
            ("128.0.0.0", ""),
            ("224.0.0.0", "M"), ("239.255.255.255", "M"), ("223.255.255.255", ""),
            ("240.0.0.0", ""),
            ("169.254.0.0", "K"), ("169.254.255.255", "K"), ("169.253.255.255", ""),
            ("169.255.0.0", ""), ("0.0.0.0", "U"), ("0.0.0.1", ""),
            ("::1", "L"), ("::2", ""), ("::", "U"), ("ff00::", "M"), ("ffff::1", "M"),
            ("feff::", ""),
            ("fe80::", "K"), ("febf:ffff::", "K"), ("fe7f:ffff::", ""), ("fec0::", ""),
        ]
    )
    func kinds(text: String, kind: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.isLoopback == (kind == "L"))
        #expect(address.isMulticast == (kind == "M"))
        #expect(address.isLinkLocal == (kind == "K"))
        #expect(address.isUnspecified == (kind == "U"))
    }
}

@Suite("IPv4 subnet")
struct SubnetTests {
    @Test func `has a mask, a network, a broadcast and hosts (RFC 4632, 3.1)`() throws {
        let subnet = try #require(Subnet("192.0.2.77/26"))
        #expect(subnet.mask == IPAddress("255.255.255.192"))
        #expect(subnet.network == IPAddress("192.0.2.64"))
        #expect(subnet.broadcast == IPAddress("192.0.2.127"))
        #expect(subnet.size == 64)
        #expect(subnet.host(1) == IPAddress("192.0.2.65"))
        #expect(subnet.host(-2) == IPAddress("192.0.2.126"))
        #expect(subnet.address(0) == subnet.network)
        #expect(subnet.description == "192.0.2.77/26")
    }

    @Test(
        "contains its own addresses alone",
        arguments: [
            ("192.0.2.64", true), ("192.0.2.127", true), ("192.0.2.63", false),
            ("192.0.2.128", false), ("::ffff:192.0.2.65", true), ("2001:db8::1", false),
        ]
    )
    func contains(text: String, isInside: Bool) throws {
        let subnet = try #require(Subnet("192.0.2.77/26"))
        #expect(subnet.contains(try #require(IPAddress(text))) == isInside)
    }

    @Test(
        "two networks overlap when one contains the other",
        arguments: [
            ("10.0.0.0/8", "10.1.2.0/24", true), ("10.1.2.0/24", "10.0.0.0/8", true),
            ("10.1.2.0/24", "10.1.3.0/24", false), ("10.1.2.0/23", "10.1.3.0/24", true),
        ]
    )
    func overlap(one: String, other: String, expected: Bool) throws {
        let (one, other) = (try #require(Subnet(one)), try #require(Subnet(other)))
        #expect(one.overlaps(other) == expected)
    }

    @Test(
        "a prefix of 8 to 30 and an IPv4 address make a network",
        arguments: [
            ("10.0.0.0/8", true), ("10.0.0.0/30", true), ("10.0.0.0/7", false),
            ("10.0.0.0/31", false), ("::/24", false), ("10.0.0.0", false), ("10.0.0.0/+24", false),
        ]
    )
    func prefix(text: String, isNetwork: Bool) {
        #expect((Subnet(text) != nil) == isNetwork)
    }
}
