import Testing

@testable import RDNetKit

@Suite("ARP")
struct ARPTests {
    private let guest: ScriptedGuest

    init() throws {
        guest = try ScriptedGuest()
    }

    private func ask(
        for target: IPAddress,
        from sender: IPAddress = ScriptedGuest.address,
        mac: MACAddress = ScriptedGuest.mac,
        operation: GuestWire.ARP.Operation = .request
    ) throws -> [GuestWire.ARP] {
        guest.send(
            GuestWire.ARP(
                operation: operation,
                senderMAC: mac,
                senderAddress: sender,
                targetMAC: MACAddress(rawValue: 0),
                targetAddress: target
            )
        )
        try guest.settle()
        return try guest.takeARP().map { $0.packet }
    }

    @Test(
        "gateway and host alias are answered for (RFC 826)",
        arguments: [ScriptedGuest.gateway, ScriptedGuest.hostAlias]
    )
    func ownAddresses(target: IPAddress) throws {
        let reply = try #require(try ask(for: target).first)
        #expect(
            reply
                == GuestWire.ARP(
                    operation: .reply,
                    senderMAC: .standardGateway,
                    senderAddress: target,
                    targetMAC: ScriptedGuest.mac,
                    targetAddress: ScriptedGuest.address
                )
        )
    }

    @Test func `a reply goes to the asker alone, padded to 60 octets (IEEE 802.3, 3.2.8)`() throws {
        _ = try ask(for: ScriptedGuest.gateway)
        _ = try ask(for: ScriptedGuest.gateway)
        guest.send(
            GuestWire.ARP(
                operation: .request,
                senderMAC: ScriptedGuest.mac,
                senderAddress: ScriptedGuest.address,
                targetMAC: MACAddress(rawValue: 0),
                targetAddress: ScriptedGuest.gateway
            )
        )
        let frame = try #require(guest.link.sent.last)
        #expect(frame.octets.count == 60)
        #expect(Array(frame.octets[..<6]) == ScriptedGuest.mac.octets)
        #expect(Array(frame.octets[6..<12]) == MACAddress.standardGateway.octets)
    }

    @Test(
        "nobody else is answered for, a guest's own address least of all (RFC 5227, 2.1.1)",
        arguments: [2, 3, 0, 255] as [UInt32]
    )
    func otherAddresses(last: UInt32) throws {
        let target = IPAddress(ipv4: 0xc0a8_7f00 | last)
        #expect(try ask(for: target).isEmpty)
        #expect(try ask(for: target, from: .anyIPv4).isEmpty, "a probe")
        #expect(try ask(for: IPAddress(ipv4: 0x0808_0808)).isEmpty, "an address elsewhere")
    }

    @Test func `a probe for the gateway's address is answered, for it is taken (RFC 5227, 2.1.1)`()
        throws
    {
        #expect(try ask(for: ScriptedGuest.gateway, from: .anyIPv4).count == 1)
    }

    @Test func `replies and unknown operations are not answered`() throws {
        #expect(try ask(for: ScriptedGuest.gateway, operation: .reply).isEmpty)
        #expect(try ask(for: ScriptedGuest.gateway, operation: .other(8)).isEmpty)
    }

    @Test func `a group address as sender is neither learned nor answered`() throws {
        let stranger = IPAddress(ipv4: 0xc0a8_7f05)
        #expect(try ask(for: ScriptedGuest.gateway, from: stranger, mac: .broadcast).isEmpty)
        #expect(guest.engine.ethernet.neighbors.mac(of: stranger) == nil)
    }

    @Test func `the gateway's own address as sender is not learned`() throws {
        _ = try ask(for: ScriptedGuest.hostAlias, from: ScriptedGuest.gateway)
        #expect(guest.engine.ethernet.neighbors.mac(of: ScriptedGuest.gateway) == nil)
    }

    @Test("a packet of another format is dropped and counted", arguments: [0, 2, 4, 5])
    func otherFormats(offset: Int) throws {
        var frame = [UInt8](repeating: 0, count: 60)
        frame[0] = 0xff
        frame.replaceSubrange(6..<12, with: ScriptedGuest.mac.octets)
        frame.replaceSubrange(12..<22, with: [8, 6, 0, 1, 8, 0, 6, 4, 0, 1])
        frame.replaceSubrange(38..<42, with: ScriptedGuest.gateway.octets)
        frame[14 + offset] ^= 0x40
        frame[0..<6] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]
        let before = guest.dropped(.malformed)
        guest.send(frame: frame)
        guest.send(frame: Array(frame.prefix(41)))
        try guest.settle()
        #expect(try guest.takeARP().isEmpty)
        #expect(guest.dropped(.malformed) == before + 2)
    }

    @Test func `a guest that changes its Ethernet address is found at the new one`() throws {
        let (tcp, host) = try guest.connectToService()
        try host.write("one".utf8)
        try tcp.expect(.ack, text: "one")
        tcp.send(.ack)
        let other = MACAddress(rawValue: 0x0200_0000_0001)
        guest.send(
            GuestWire.ARP(
                operation: .request,
                senderMAC: other,
                senderAddress: ScriptedGuest.address,
                targetMAC: MACAddress(rawValue: 0),
                targetAddress: ScriptedGuest.address
            ),
            from: other
        )
        guest.forgetPackets()
        try host.write("two".utf8)
        try guest.loop.turn(waitingAtMost: .zero)
        let frame = try #require(guest.link.sent.first { $0.octets.count > 56 })
        #expect(Array(frame.octets[..<6]) == other.octets)
    }
}
