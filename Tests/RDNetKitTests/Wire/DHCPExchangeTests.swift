import Testing

@testable import RDNetKit

/// A lease of dnsmasq to busybox's udhcpc.
@Suite("DHCP exchange of other programs")
struct DHCPExchangeTests {
    /// The fields before the options, with room for names of the client's and the server's.
    private static func fixed(op: String, flags: String, your: String, server: String) -> WireFields
    {
        [
            ("op", op),
            ("htype: Ethernet", "01"),
            ("hlen", "06"),
            ("hops", "00"),
            ("xid", "f862 c64e"),
            ("secs", "0000"),
            ("flags", flags),
            ("ciaddr", "0000 0000"),
            ("yiaddr", your),
            ("siaddr", server),
            ("giaddr", "0000 0000"),
            ("chaddr", "0200 5e10 000a"),
            ("chaddr, rest", String(repeating: "00", count: 10)),
            ("sname", String(repeating: "00", count: 64)),
            ("file", String(repeating: "00", count: 128)),
            ("magic cookie", "6382 5363"),
        ]
    }

    private static let discover = fixed(
        op: "01",
        flags: "8000",
        your: "0000 0000",
        server: "0000 0000"
    ).followed(by: [
        ("53, message type: DISCOVER", "3501 01"),
        ("57, maximum message size", "3902 0240"),
        ("55, parameter request list", "370a 0103 060c 0f1a 1c2a 7779"),
        ("12, host name: guest", "0c05 6775 6573 74"),
        ("60, vendor class: rdtest", "3c06 7264 7465 7374"),
        ("61, client identifier: Ethernet", "3d07 01 0200 5e10 000a"),
        ("255, end", "ff"),
    ])

    private static let acknowledgment = fixed(
        op: "02",
        flags: "0000",
        your: "c000 0283",
        server: "c000 0201"
    ).followed(by: [
        ("53, message type: ACK", "3501 05"),
        ("54, server identifier", "3604 c000 0201"),
        ("51, lease time: 3600", "3304 0000 0e10"),
        ("58, renewal time: 1800", "3a04 0000 0708"),
        ("59, rebinding time: 3150", "3b04 0000 0c4e"),
        ("1, subnet mask", "0104 ffff ff00"),
        ("28, broadcast address", "1c04 c000 02ff"),
        ("3, router", "0304 c000 0201"),
        ("6, name server", "0604 c000 0201"),
        ("15, domain name: lab.example", "0f0b 6c61 622e 6578 616d 706c 65"),
        ("12, host name: guest", "0c05 6775 6573 74"),
        ("121, route to 203.0.113.0/24", "7908 18cb 0071 c000 02fe"),
        ("119, domain search", "7713 0365 6e67 0765 7861 6d70 6c65 0003 6c61 62c0 04"),
        ("42, NTP server", "2a04 c000 0209"),
        ("26, interface MTU: 1400", "1a02 0578"),
        ("255, end", "ff"),
    ])

    private static func read(_ fields: WireFields) throws -> DHCPMessage {
        try DHCPMessage(reading: fields.octets.span.bytes)
    }

    @Test func `udhcpc's DISCOVER is read field by field`() throws {
        let message = try Self.read(Self.discover)
        #expect(message.operation == .request && message.type == .discover)
        #expect(message.transactionID == 0xf862_c64e)
        #expect(message.hops == 0 && message.seconds == 0 && message.wantsBroadcast)
        #expect(message.hardwareAddress == MACAddress(rawValue: 0x0200_5e10_000a))
        #expect(message.options.integer16(.maximumMessageSize) == 576)
        let wanted: [UInt8] = [1, 3, 6, 12, 15, 26, 28, 42, 119, 121]
        #expect(message.options[.parameterRequestList] == wanted)
        #expect(message.options[.hostName] == Array("guest".utf8))
        #expect(message.options[.clientIdentifier] == [1, 2, 0, 0x5e, 0x10, 0, 0x0a])
        #expect(message.options.codes.map(\.rawValue) == [12, 53, 55, 57, 60, 61])
    }

    @Test func `dnsmasq's ACK is read field by field`() throws {
        let message = try Self.read(Self.acknowledgment)
        #expect(message.operation == .reply && message.type == .ack)
        #expect(!message.wantsBroadcast)
        #expect(message.yourAddress == IPAddress(ipv4: 0xc000_0283))
        #expect(message.nextServer == IPAddress(ipv4: 0xc000_0201))
        let options = message.options
        #expect(options.address(.serverIdentifier) == IPAddress(ipv4: 0xc000_0201))
        #expect(options.integer32(.leaseTime) == 3600)
        #expect(options.integer32(.renewalTime) == 1800)
        #expect(options.integer32(.rebindingTime) == 3150)
        #expect(options.address(.subnetMask) == IPAddress(ipv4: 0xffff_ff00))
        #expect(options.address(.broadcastAddress) == IPAddress(ipv4: 0xc000_02ff))
        #expect(options.addresses(.router) == [IPAddress(ipv4: 0xc000_0201)])
        #expect(options.addresses(.domainNameServer) == [IPAddress(ipv4: 0xc000_0201)])
        #expect(options[.domainName] == Array("lab.example".utf8))
        #expect(options[.classlessStaticRoutes] == bytes("18 cb0071 c00002fe"))
        #expect(options.address(.ntpServers) == IPAddress(ipv4: 0xc000_0209))
        #expect(options.integer16(.interfaceMTU) == 1400)
        // dnsmasq points to `example` of the first name.
        let search = DHCPDomainSearch.domains(reading: try #require(options[.domainSearch]))
        #expect(search == ["eng.example", "lab.example"])
    }

    @Test func `what is read is written again: the fixed fields, and the options by number`() throws
    {
        let message = try Self.read(Self.acknowledgment)
        let expected = Self.fixed(
            op: "02",
            flags: "0000",
            your: "c000 0283",
            server: "c000 0201"
        ).followed(by: [
            ("1, subnet mask", "0104 ffff ff00"),
            ("3, router", "0304 c000 0201"),
            ("6, name server", "0604 c000 0201"),
            ("12, host name: guest", "0c05 6775 6573 74"),
            ("15, domain name: lab.example", "0f0b 6c61 622e 6578 616d 706c 65"),
            ("26, interface MTU: 1400", "1a02 0578"),
            ("28, broadcast address", "1c04 c000 02ff"),
            ("42, NTP server", "2a04 c000 0209"),
            ("51, lease time: 3600", "3304 0000 0e10"),
            ("53, message type: ACK", "3501 05"),
            ("54, server identifier", "3604 c000 0201"),
            ("58, renewal time: 1800", "3a04 0000 0708"),
            ("59, rebinding time: 3150", "3b04 0000 0c4e"),
            ("119, domain search", "7713 0365 6e67 0765 7861 6d70 6c65 0003 6c61 62c0 04"),
            ("121, route to 203.0.113.0/24", "7908 18cb 0071 c000 02fe"),
            ("255, end", "ff"),
        ])
        expectBytes(message.octets, equals: expected)
    }

    @Test func `every address field and the counters have their places`() throws {
        let relayed = Self.acknowledgment.setting("hops", to: "03").setting("secs", to: "0102")
            .setting("flags", to: "8001").setting("ciaddr", to: "c000 0211")
            .setting("giaddr", to: "c633 6401")
        let message = try Self.read(relayed)
        #expect(message.hops == 3)
        #expect(message.seconds == 0x0102)
        #expect(message.flags == 0x8001 && message.wantsBroadcast)
        #expect(message.clientAddress == IPAddress(ipv4: 0xc000_0211))
        #expect(message.relayAgent == IPAddress(ipv4: 0xc633_6401))
        expectBytes(message.octets.prefix(240), equals: relayed.octets.prefix(240), fields: relayed)
    }

    @Test func `the server's name and the boot file have their places`() throws {
        let names = Self.acknowledgment
            .setting("sname", to: "6e31" + String(repeating: "00", count: 62))
            .setting("file", to: "6b65726e" + String(repeating: "00", count: 124))
        let message = try Self.read(names)
        #expect(message.serverName == Array("n1".utf8))
        #expect(message.bootFile == Array("kern".utf8))
        expectBytes(message.octets.prefix(240), equals: names.octets.prefix(240), fields: names)
    }

    @Test(
        "each message type has its number and direction (RFC 2132, 9.6)",
        arguments: [
            (.discover, 1, 1), (.offer, 2, 2), (.request, 3, 1), (.decline, 4, 1), (.ack, 5, 2),
            (.nak, 6, 2), (.release, 7, 1), (.inform, 8, 1),
        ] as [(DHCPMessageType, UInt8, UInt8)]
    )
    func types(type: DHCPMessageType, number: UInt8, operation: UInt8) throws {
        let mac = MACAddress(rawValue: 0x0200_5e10_000a)
        let octets = DHCPMessage(type, transactionID: 0xf862_c64e, hardwareAddress: mac).octets
        #expect(octets[0] == operation)
        expectBytes(octets[240..<244], equals: [53, 1, number, 255])
        #expect(try DHCPMessage(reading: octets.span.bytes).type == type)
    }

    @Test func `options have IANA's numbers`() {
        let codes: [DHCPOptionCode] = [
            .pad, .subnetMask, .router, .domainNameServer, .hostName, .domainName, .interfaceMTU,
            .broadcastAddress, .ntpServers, .requestedAddress, .leaseTime, .overload,
            .messageType, .serverIdentifier, .parameterRequestList, .message,
            .maximumMessageSize, .renewalTime, .rebindingTime, .clientIdentifier,
            .relayAgentInformation, .domainSearch, .classlessStaticRoutes, .end,
        ]
        #expect(
            codes.map(\.rawValue) == [
                0, 1, 3, 6, 12, 15, 26, 28, 42, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 61, 82,
                119, 121, 255,
            ]
        )
        #expect(DHCPMessage.clientPort == 68 && DHCPMessage.serverPort == 67)
    }
}
