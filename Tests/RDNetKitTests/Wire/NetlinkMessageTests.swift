import Testing

@testable import RDNetKit

/// The bytes are those of a little-endian machine, such as x86-64 and arm64.
@Suite("netlink message")
struct NetlinkMessageTests {
    @Test func `writes a request for a link by name`() {
        var request = NetlinkRequest(link: NetlinkType.getLink, [])
        request.append(NetlinkAttribute.Link.name, "tap0")
        let octets: [UInt8] =
            [0x2c, 0, 0, 0]  // length 44
            + [0x12, 0] + [0x01, 0]  // RTM_GETLINK; NLM_F_REQUEST
            + [0x07, 0, 0, 0]  // sequence
            + [0, 0, 0, 0]  // port: kernel
            + [0, 0, 0, 0]  // ifi_family, pad, ifi_type
            + [0, 0, 0, 0]  // ifi_index
            + [0, 0, 0, 0]  // ifi_flags
            + [0, 0, 0, 0]  // ifi_change
            + [0x09, 0, 0x03, 0]  // 9 bytes, IFLA_IFNAME
            + Array("tap0".utf8) + [0]  // with its NUL
            + [0, 0, 0]  // padding
        expectBytes(request.octets(sequence: 7), equals: octets)
    }

    @Test func `writes a new address`() throws {
        var request = NetlinkRequest(
            address: NetlinkType.newAddress,
            [.acknowledge, .create],
            family: .ipv4,
            prefixLength: 24,
            link: 3
        )
        request.append(NetlinkAttribute.Address.local, try #require(IPAddress("192.168.127.2")))
        let octets: [UInt8] =
            [0x20, 0, 0, 0]  // length 32
            + [0x14, 0] + [0x05, 0x04]  // RTM_NEWADDR; REQUEST, ACK, CREATE
            + [0x01, 0, 0, 0] + [0, 0, 0, 0]  // sequence, port
            + [0x02, 24, 0, 0]  // AF_INET, prefix length, flags, scope universe
            + [0x03, 0, 0, 0]  // ifa_index
            + [0x08, 0, 0x02, 0] + [192, 168, 127, 2]  // IFA_LOCAL
        expectBytes(request.octets(sequence: 1), equals: octets)
    }

    @Test func `writes a default route`() throws {
        var request = NetlinkRequest(
            defaultRoute: NetlinkType.newRoute,
            [.acknowledge, .create, .replace],
            family: .ipv4,
            onLink: true
        )
        request.append(NetlinkAttribute.Route.gateway, try #require(IPAddress("10.0.0.1")))
        request.append(NetlinkAttribute.Route.outputInterface, 3)
        let octets: [UInt8] =
            [0x2c, 0, 0, 0]  // length 44
            + [0x18, 0] + [0x05, 0x05]  // RTM_NEWROUTE; REQUEST, ACK, REPLACE, CREATE
            + [0x02, 0, 0, 0] + [0, 0, 0, 0]  // sequence, port
            + [0x02, 0, 0, 0]  // AF_INET, destination /0, source /0, TOS
            + [254, 3, 0, 1]  // main table, RTPROT_BOOT, scope universe, RTN_UNICAST
            + [0x04, 0, 0, 0]  // RTNH_F_ONLINK
            + [0x08, 0, 0x05, 0] + [10, 0, 0, 1]  // RTA_GATEWAY
            + [0x08, 0, 0x04, 0] + [3, 0, 0, 0]  // RTA_OIF
        expectBytes(request.octets(sequence: 2), equals: octets)
    }

    /// As strace(1) shows `ip address add fdc0:a87f::2/64 dev eth0 nodad`.
    @Test func `writes a new IPv6 address that is usable at once`() throws {
        var request = NetlinkRequest(
            address: NetlinkType.newAddress,
            [.acknowledge, .create],
            family: .ipv6,
            prefixLength: 64,
            link: 3
        )
        request.append(NetlinkAttribute.Address.local, try #require(IPAddress("fdc0:a87f::2")))
        let octets: [UInt8] =
            [0x2c, 0, 0, 0]  // length 44
            + [0x14, 0] + [0x05, 0x04]  // RTM_NEWADDR; REQUEST, ACK, CREATE
            + [0x01, 0, 0, 0] + [0, 0, 0, 0]  // sequence, port
            + [0x0a, 64, 2, 0]  // AF_INET6, prefix length, IFA_F_NODAD, scope universe
            + [0x03, 0, 0, 0]  // ifa_index
            + [0x14, 0, 0x02, 0]  // IFA_LOCAL
            + [0xfd, 0xc0, 0xa8, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]
        #expect(request.octets(sequence: 1) == octets)
    }

    @Test func `writes lists of attributes within lists`() {
        var request = NetlinkRequest(link: NetlinkType.newLink, [.create, .exclusive])
        request.append(NetlinkAttribute.Link.description) { link in
            link.append(NetlinkAttribute.LinkDescription.kind, "veth")
            link.append(NetlinkAttribute.LinkDescription.kindDetails) { veth in
                veth.append(NetlinkAttribute.LinkDescription.vethPeer) { other in
                    other.appendLinkWithin()
                    other.append(NetlinkAttribute.Link.name, "b")
                }
            }
        }
        let octets: [UInt8] =
            [0x50, 0, 0, 0]  // length 80
            + [0x10, 0] + [0x01, 0x06]  // RTM_NEWLINK; REQUEST, EXCL, CREATE
            + [0x01, 0, 0, 0] + [0, 0, 0, 0]  // sequence, port
            + [UInt8](repeating: 0, count: 16)  // ifinfomsg
            + [0x30, 0, 0x12, 0]  // 48 bytes, IFLA_LINKINFO
            + [0x09, 0, 0x01, 0] + Array("veth".utf8) + [0, 0, 0, 0]  // IFLA_INFO_KIND
            + [0x20, 0, 0x02, 0]  // 32 bytes, IFLA_INFO_DATA
            + [0x1c, 0, 0x01, 0]  // 28 bytes, VETH_INFO_PEER
            + [UInt8](repeating: 0, count: 16)  // the peer's ifinfomsg
            + [0x06, 0, 0x03, 0] + Array("b".utf8) + [0, 0, 0]  // IFLA_IFNAME
        expectBytes(request.octets(sequence: 1), equals: octets)
    }

    /// An acknowledgment and an error, as one receive may return them.
    private static let answers: [UInt8] =
        [0x14, 0, 0, 0] + [0x02, 0] + [0, 0] + [0x01, 0, 0, 0] + [0, 0, 0, 0]  // NLMSG_ERROR
        + [0, 0, 0, 0]  // 0: done
        + [0x14, 0, 0, 0] + [0x02, 0] + [0, 0] + [0x02, 0, 0, 0] + [0, 0, 0, 0]  // NLMSG_ERROR
        + [0xed, 0xff, 0xff, 0xff]  // -ENODEV

    @Test func `reads acknowledgments and errors`() {
        let messages = NetlinkMessage.messages(reading: Self.answers.span.bytes)
        #expect(messages.map(\.errorNumber) == [0, 19])
        #expect(messages.map(\.sequence) == [1, 2])
    }

    @Test func `reads a link's attributes`() {
        let body: [UInt8] =
            [0, 0, 1, 0] + [5, 0, 0, 0]  // ifinfomsg: Ethernet, index 5
            + [0x43, 0x10, 0, 0] + [0, 0, 0, 0]  // flags: up among others; change
            + [0x08, 0, 0x04, 0] + [0xdc, 0x05, 0, 0]  // IFLA_MTU 1500
            + [0x0a, 0, 0x01, 0] + [0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee] + [0, 0]  // IFLA_ADDRESS
        let message = NetlinkMessage(type: NetlinkType.newLink, sequence: 1, body: body)
        #expect(message.link == 5)
        #expect(message.interfaceFlags == 0x1043)
        #expect(message.attribute(4, after: 16) == [0xdc, 0x05, 0, 0])
        #expect(message.attribute(1, after: 16)?.count == 6)
        #expect(message.attribute(99, after: 16) == nil)
    }

    @Test("a truncated answer gives the whole messages before it", arguments: 0..<answers.count)
    func truncatedAnswerIsSafe(length: Int) {
        let octets = Array(Self.answers[..<length])
        #expect(NetlinkMessage.messages(reading: octets.span.bytes).count == length / 20)
    }

    @Test("lying lengths are safe", arguments: [0, 1, 3, 15, 21, 200, 255] as [UInt8])
    func lyingLengthIsSafe(length: UInt8) {
        var octets = Self.answers
        octets[0] = length
        #expect(NetlinkMessage.messages(reading: octets.span.bytes).count <= 1)
        let attributes = [UInt8](repeating: 0, count: 16) + [length, 0, 4, 0, 1, 2]
        let message = NetlinkMessage(type: NetlinkType.newLink, sequence: 1, body: attributes)
        #expect(message.attribute(4, after: 16) == nil)
    }

    // MARK: Notifications

    private static let address = [2, 24, 0x80, 0] + [5, 0, 0, 0] as [UInt8]  // ifaddrmsg: index 5

    @Test func `reads the address that is removed`() throws {
        let peer: [UInt8] = [0x08, 0, 0x01, 0] + [10, 0, 0, 9]  // IFA_ADDRESS
        let local: [UInt8] = [0x08, 0, 0x02, 0] + [10, 0, 0, 1]  // IFA_LOCAL
        func read(_ body: [UInt8]) -> IPAddress? {
            NetlinkMessage(type: NetlinkType.deleteAddress, sequence: 0, body: body)
                .interfaceAddress
        }
        #expect(read(Self.address + peer + local) == IPAddress("10.0.0.1"))
        #expect(read(Self.address + peer) == IPAddress("10.0.0.9"))
        let ipv6 = [0x14, 0, 0x01, 0] + [0xfd] + [UInt8](repeating: 0, count: 14) + [7]
        #expect(read([10, 64, 0, 0, 5, 0, 0, 0] + ipv6) == IPAddress("fd00::7"))
        #expect(read(Self.address) == nil)
        #expect(read(Self.address + [0x09, 0, 0x02, 0] + [1, 2, 3, 4, 5, 0, 0, 0]) == nil)
    }

    @Test func `a route's table is the attribute's, or else the field's`() {
        let body: [UInt8] = [2, 0, 0, 0] + [254, 3, 0, 1] + [0, 0, 0, 0]  // rtmsg
        func table(_ body: [UInt8]) -> UInt32? {
            NetlinkMessage(type: NetlinkType.newRoute, sequence: 0, body: body).routingTable
        }
        #expect(table(body) == 254)
        #expect(table(body + [0x08, 0, 0x0f, 0] + [0, 4, 0, 0]) == 1024)
        #expect(table(body + [0x07, 0, 0x0f, 0] + [0, 4, 0]) == 254)
        #expect(table(Array(body.prefix(11))) == nil)
    }

    @Test func `only the interface's own changes and default routes concern it`() {
        func concerns(_ type: UInt16, _ body: [UInt8]) -> Bool {
            NetlinkMessage(type: type, sequence: 0, body: body).mayConcern(link: 5)
        }
        let link: [UInt8] = [0, 0, 1, 0] + [5, 0, 0, 0]
        #expect(concerns(NetlinkType.newLink, link) && concerns(NetlinkType.deleteLink, link))
        #expect(!concerns(NetlinkType.newLink, [0, 0, 1, 0] + [6, 0, 0, 0]))
        #expect(concerns(NetlinkType.deleteAddress, Self.address))
        #expect(concerns(NetlinkType.deleteRoute, [2, 0, 0, 0] + [254, 3, 0, 1]))
        let route: [UInt8] = [2, 24, 0, 0] + [254, 3, 0, 1] + [0, 0, 0, 0]
        #expect(!concerns(NetlinkType.deleteRoute, route))
        #expect(!concerns(NetlinkType.deleteRoute, route + [8, 0, 4, 0] + [6, 0, 0, 0]))
        #expect(concerns(NetlinkType.deleteRoute, route + [8, 0, 4, 0] + [5, 0, 0, 0]))
        #expect(!concerns(NetlinkType.error, link))
    }

    @Test func `random notifications are safe`() {
        var random = SeededRandom(seed: 20)
        for _ in 0..<20_000 {
            var octets = (0..<Int.random(in: 0...96, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            // Half of them have a plausible header.
            if octets.count >= 16, Bool.random(using: &random) {
                octets[0] = UInt8(octets.count)
                (octets[1], octets[2], octets[3]) = (0, 0, 0)
                octets[4] = UInt8.random(in: 16...25, using: &random)
                octets[5] = 0
            }
            for message in NetlinkMessage.messages(reading: octets.span.bytes) {
                _ = message.mayConcern(link: 5)
                _ = (message.interfaceAddress, message.routingTable, message.linkKind)
            }
        }
    }
}
