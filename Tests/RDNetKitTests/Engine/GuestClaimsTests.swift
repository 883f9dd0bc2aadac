import Testing

@testable import RDNetKit

/// Three guests on one switch: a victim, an attacker and a bystander.
@Suite("a guest that claims another's addresses")
final class GuestClaimsTests {
    private let scene: ScriptedGuest
    private let attacker = RecordingLink()
    private let bystander = RecordingLink()
    private let victim = ScriptedGuest.address
    private let victimMAC = ScriptedGuest.mac
    private let attackerMAC = MACAddress(rawValue: 0x0200_0000_000a)
    private let bystanderMAC = MACAddress(rawValue: 0x0200_0000_000b)
    private let attackerAddress = IPAddress(ipv4: 0xc0a8_7f0a)

    init() throws {
        scene = try ScriptedGuest()
        for link in [attacker, bystander] {
            link.receiver = scene.engine
            _ = scene.engine.ethernet.attach(link, now: scene.loop.now)
        }
        arp(bystanderMAC, IPAddress(ipv4: 0xc0a8_7f0b), on: bystander)
        arp(attackerMAC, attackerAddress, on: attacker)
        forgetFrames()
    }

    private func forgetFrames() {
        scene.forgetPackets()
        attacker.sent = []
        bystander.sent = []
    }

    private func send(_ frame: [UInt8], on link: RecordingLink) {
        frame.withUnsafeBytes {
            scene.engine.receive(Frame($0), from: link, now: scene.clock.now)
        }
        scene.engine.batchEnded(on: link, now: scene.clock.now)
    }

    /// Sends an ARP request or reply.
    private func arp(
        _ mac: MACAddress,
        _ address: IPAddress,
        _ operation: GuestWire.ARP.Operation = .request,
        from source: MACAddress? = nil,
        to destination: MACAddress = .broadcast,
        on link: RecordingLink
    ) {
        let packet = GuestWire.ARP(
            operation: operation,
            senderMAC: mac,
            senderAddress: address,
            targetMAC: MACAddress(rawValue: 0),
            targetAddress: address
        )
        let frame = destination.octets + (source ?? mac).octets + [8, 6] + packet.octets
        send(frame + [UInt8](repeating: 0, count: 18), on: link)
    }

    /// Sends an IPv4 packet of an unknown protocol.
    private func packet(
        _ mac: MACAddress,
        _ address: IPAddress,
        to destination: MACAddress,
        _ target: IPAddress = ScriptedGuest.gateway,
        on link: RecordingLink
    ) {
        var header = scene.header(253, to: target)
        header.source = address
        var frame = scene.frame(header, [1, 2, 3, 4])
        frame.replaceSubrange(0..<12, with: destination.octets + mac.octets)
        send(frame, on: link)
    }

    private func expectDropped(_ reason: DropReason, _ count: UInt64 = 1) {
        #expect(scene.dropped(reason) == count)
        #expect(scene.link.sent.isEmpty && bystander.sent.isEmpty && attacker.sent.isEmpty)
    }

    /// Collects the conflicts that a body causes.
    private func conflicts(_ body: () -> Void) -> [AddressConflict] {
        var conflicts: [AddressConflict] = []
        scene.engine.ethernet.conflict = { conflicts.append($0) }
        body()
        scene.engine.ethernet.conflict = { _ in }
        return conflicts
    }

    @Test func `who tries is reported, with the link that has the address`() {
        let seen = conflicts {
            packet(victimMAC, attackerAddress, to: .standardGateway, on: attacker)
            packet(attackerMAC, victim, to: .standardGateway, on: attacker)
            arp(victimMAC, attackerAddress, from: attackerMAC, on: attacker)
        }
        #expect(
            seen == [
                AddressConflict(address: .mac(victimMAC), link: 1, owner: 0),
                AddressConflict(address: .ip(victim), link: 1, owner: 0),
                AddressConflict(address: .mac(victimMAC), link: 1, owner: 0),
            ]
        )
    }

    @Test func `an address outside the subnet is reported for a guest that has no other`() {
        let foreign = IPAddress(ipv4: 0x0a01_0203)
        #expect(conflicts { arp(attackerMAC, foreign, on: attacker) }.isEmpty)
        let stranger = RecordingLink()
        stranger.receiver = scene.engine
        _ = scene.engine.ethernet.attach(stranger, now: scene.loop.now)
        let mac = MACAddress(rawValue: 0x0200_0000_000c)
        let seen = conflicts {
            arp(mac, .anyIPv4, on: stranger)
            arp(mac, foreign, on: stranger)
        }
        #expect(seen == [AddressConflict(address: .foreign(foreign), link: 3, owner: nil)])
    }

    private var route: GuestRoute? { scene.engine.ethernet.route(to: victim) }

    @Test func `cannot take its MAC address while its link is open`() {
        packet(victimMAC, attackerAddress, to: .standardGateway, on: attacker)
        packet(victimMAC, attackerAddress, to: bystanderMAC, on: attacker)
        expectDropped(.takenMAC, 2)
        #expect(route?.link === scene.link)
    }

    @Test func `cannot send to the gateway or to guests from its IP address`() {
        packet(attackerMAC, victim, to: .standardGateway, on: attacker)
        packet(attackerMAC, victim, to: bystanderMAC, on: attacker)
        packet(attackerMAC, victim, to: .broadcast, on: attacker)
        expectDropped(.takenAddress, 3)
        #expect(route?.mac == victimMAC)
    }

    @Test("cannot claim its IP address by ARP", arguments: [true, false])
    func falseARP(isRequest: Bool) {
        let operation: GuestWire.ARP.Operation = isRequest ? .request : .reply
        let destination = isRequest ? MACAddress.broadcast : bystanderMAC
        arp(attackerMAC, victim, operation, to: destination, on: attacker)
        // From a MAC address that nobody has.
        let unknown = MACAddress(rawValue: 0x0200_0000_00ff)
        arp(unknown, victim, operation, from: attackerMAC, to: destination, on: attacker)
        expectDropped(.takenAddress, 2)
        arp(victimMAC, attackerAddress, operation, from: attackerMAC, to: destination, on: attacker)
        expectDropped(.takenMAC)
        #expect(route?.mac == victimMAC)
        #expect(scene.engine.ethernet.route(to: attackerAddress)?.mac == attackerMAC)
    }

    @Test(
        "nobody can claim the gateway's addresses, not even to other guests",
        arguments: [ScriptedGuest.gateway, ScriptedGuest.hostAlias]
    )
    func gatewayAddresses(address: IPAddress) {
        arp(attackerMAC, address, to: .broadcast, on: attacker)
        arp(attackerMAC, address, .reply, to: bystanderMAC, on: attacker)
        packet(attackerMAC, address, to: bystanderMAC, on: attacker)
        packet(attackerMAC, address, to: .standardGateway, on: attacker)
        let other = IPAddress(ipv4: 0xc0a8_7f0c)
        arp(.standardGateway, other, .reply, from: attackerMAC, to: bystanderMAC, on: attacker)
        packet(.standardGateway, other, to: bystanderMAC, on: attacker)
        expectDropped(.badSource, 6)
    }

    @Test("an ARP packet that receivers may read differently goes nowhere", arguments: [1, 6])
    func otherFormat(hardware: UInt8) {
        var frame = bystanderMAC.octets + attackerMAC.octets + [8, 6]
        frame += [0, hardware, 8, 0, 6, 4, 0, 2] + attackerMAC.octets + victim.octets
        send(frame + [UInt8](repeating: 0, count: hardware == 1 ? 4 : 28), on: attacker)
        expectDropped(.malformed)
    }

    @Test func `what guests send to each other with their own addresses arrives`() {
        packet(attackerMAC, attackerAddress, to: bystanderMAC, on: attacker)
        arp(attackerMAC, attackerAddress, .reply, to: bystanderMAC, on: attacker)
        // A router in a guest, and a client without an address.
        packet(attackerMAC, IPAddress(ipv4: 0xac11_0002), to: bystanderMAC, on: attacker)
        packet(attackerMAC, .anyIPv4, to: bystanderMAC, on: attacker)
        #expect(bystander.sent.count == 4)
        #expect(scene.engine.drops.total == 0)
    }

    @Test func `gets nothing for the victim when the victim's link closes, until it claims it`() {
        scene.engine.closed(scene.link, reason: "test", now: scene.clock.now)
        #expect(route == nil)
        arp(victimMAC, victim, on: attacker)
        #expect(route?.link === attacker)
    }

    @Test func `the victim's return to its address by another link costs one frame at most`() {
        let replacement = RecordingLink()
        _ = scene.engine.ethernet.attach(replacement, now: scene.loop.now)
        arp(victimMAC, victim, on: replacement)
        #expect(scene.dropped(.takenMAC) == 1)
        scene.engine.closed(scene.link, reason: "test", now: scene.clock.now)
        arp(victimMAC, victim, on: replacement)
        #expect(route?.link === replacement)
        #expect(scene.dropped(.takenMAC) == 1)
    }

    @Test func `a link whose end was not noticed yet is verified at once, at most once a second`() {
        let stale = RecordingLink()
        stale.receiver = scene.engine
        _ = scene.engine.ethernet.attach(stale, now: scene.loop.now)
        let mac = MACAddress(rawValue: 0x0200_0000_0011)
        arp(mac, IPAddress(ipv4: 0xc0a8_7f11), on: stale)
        for _ in 0..<10 { arp(mac, IPAddress(ipv4: 0xc0a8_7f11), on: attacker) }
        #expect(stale.verifications == 1)
        scene.clock.advance(.seconds(1))
        stale.isGone = true
        arp(mac, IPAddress(ipv4: 0xc0a8_7f11), on: attacker)
        #expect(stale.verifications == 2)
        #expect(scene.engine.ethernet.route(to: IPAddress(ipv4: 0xc0a8_7f11))?.link === attacker)
        #expect(scene.dropped(.takenMAC) == 10)
    }

    @Test func `several MAC and IP addresses on one link may change places`() {
        let second = MACAddress(rawValue: 0x0200_0000_0012)
        arp(second, IPAddress(ipv4: 0xc0a8_7f12), on: attacker)
        arp(second, attackerAddress, on: attacker)
        #expect(scene.engine.ethernet.route(to: attackerAddress)?.mac == second)
        arp(attackerMAC, attackerAddress, .reply, to: bystanderMAC, on: attacker)
        #expect(scene.engine.ethernet.route(to: attackerAddress)?.mac == attackerMAC)
        // A bridge with a proxy may answer for a machine behind it.
        arp(second, attackerAddress, .reply, from: attackerMAC, to: bystanderMAC, on: attacker)
        #expect(scene.engine.drops.total == 0)
    }

    @Test func `that invents addresses does not displace those of others`() {
        for number in 0..<UInt32(3 * EthernetSwitch.addressesPerPort) {
            let mac = MACAddress(rawValue: 0x0600_0000_0000 + UInt64(number))
            arp(mac, IPAddress(ipv4: 0x0a00_0000 + number), on: attacker)
            let invented = IPAddress(ipv4: 0xc0a8_7f00 + 20 + number % 200)
            packet(mac, invented, to: .standardGateway, on: attacker)
        }
        #expect(route?.mac == victimMAC)
        #expect(scene.engine.ethernet.route(to: IPAddress(ipv4: 0xc0a8_7f0b))?.link === bystander)
        let limit = EthernetSwitch.addressesPerPort
        #expect(scene.engine.ethernet.addresses.count == limit + 2)
        #expect(scene.engine.limits.count(of: .linkAddresses) == UInt64(2 * limit + 1))
    }

    @Test func `cannot slow down another guest's connection by ICMP`() throws {
        let (tcp, host) = try scene.connectToService()
        try host.write("in flight".utf8)
        try tcp.expect(.ack, text: "in flight")
        let flow = try #require(scene.engine.tcp.all.first)
        let size = flow.sender.segmentSize
        let message = tcp.unreachable(.fragmentationNeeded, mtu: 576, sequence: 1)
        var header = scene.header(GuestWire.Transport.icmp, to: ScriptedGuest.gateway)
        header.source = attackerAddress
        var frame = scene.frame(header, message)
        frame.replaceSubrange(6..<12, with: attackerMAC.octets)
        send(frame, on: attacker)
        #expect(flow.sender.segmentSize == size)
        #expect(scene.dropped(.noRoute) == 1)
        // The guest itself may report this.
        scene.send(scene.header(GuestWire.Transport.icmp, to: ScriptedGuest.gateway), message)
        #expect(flow.sender.segmentSize < size)
    }

    // MARK: Leases

    @Test func `a leased address belongs to its holder's link, even if another used it first`() {
        let address = IPAddress(ipv4: 0xc0a8_7f40)
        let ethernet = scene.engine.ethernet
        arp(attackerMAC, address, on: attacker)
        #expect(ethernet.route(to: address)?.link === attacker)
        ethernet.leaseHolder = { [bystanderMAC] in $0 == address ? bystanderMAC : nil }
        ethernet.leased(address, to: bystanderMAC)
        #expect(ethernet.route(to: address) == nil)
        forgetFrames()
        packet(attackerMAC, address, to: .standardGateway, on: attacker)
        arp(attackerMAC, address, on: attacker)
        expectDropped(.takenAddress, 2)
        packet(bystanderMAC, address, to: .standardGateway, on: bystander)
        #expect(ethernet.route(to: address)?.link === bystander)
    }

    @Test func `a holder that never asked again takes its address back`() {
        let address = IPAddress(ipv4: 0xc0a8_7f40)
        let ethernet = scene.engine.ethernet
        arp(attackerMAC, address, on: attacker)
        ethernet.leaseHolder = { [bystanderMAC] in $0 == address ? bystanderMAC : nil }
        arp(bystanderMAC, address, on: bystander)
        #expect(ethernet.route(to: address)?.link === bystander)
        arp(attackerMAC, address, on: attacker)
        #expect(ethernet.route(to: address)?.link === bystander)
        #expect(scene.dropped(.takenAddress) == 1)
    }

    @Test func `an address whose holder is on no link may be used`() {
        let address = IPAddress(ipv4: 0xc0a8_7f40)
        scene.engine.ethernet.leaseHolder = { _ in MACAddress(rawValue: 0x0200_0000_0077) }
        arp(attackerMAC, address, on: attacker)
        #expect(scene.engine.ethernet.route(to: address)?.link === attacker)
    }
}
