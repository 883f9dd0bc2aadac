import Testing

@testable import RDNetKit

/// An expected event did not happen in time.
struct ScriptError: Error, CustomStringConvertible {
    let description: String
}

/// A guest whose every frame a test writes.
///
/// It consists of an engine on 192.168.127.0/24, a recording link and a manual clock. The host's
/// sockets are real, on loopback. Turns of the loop wait for the kernel while the simulated clock
/// stands still.
final class ScriptedGuest {
    static let address = IPAddress(ipv4: 0xc0a8_7f02)
    static let gateway = IPAddress(ipv4: 0xc0a8_7f01)
    static let hostAlias = IPAddress(ipv4: 0xc0a8_7ffe)
    static let mac = MACAddress.standardGuest

    let clock = HandMovedClock()
    let loop: EventLoop
    let engine: PacketEngine
    let link = RecordingLink()
    /// The far ends of connections to gateway ports, in the order of their opening.
    private(set) var served: [HostPeer] = []
    /// Packets that the engine sent and no script has taken.
    private(set) var inbox: [[UInt8]] = []
    private var nextPort: UInt16 = 40_000
    /// Whether frames wait for the rest of their batch.
    var isBatching = false

    init(
        support: PeekOffsetSupport = .probe(),
        mtu: Int = 1500,
        allowsLinkLocal: Bool = false,
        isolatesGuests: Bool = false,
        subnet: Subnet = .standard,
        prefix: IPv6Prefix? = nil,
        mirror: MirroredNetwork? = nil,
        limits: GuestLimits = GuestLimits()
    ) throws {
        let clock = clock
        loop = try EventLoop(clock: { clock.now })
        var plan = GatewayPlan(
            subnet: subnet,
            gatewayMAC: .standardGateway,
            mtu: mtu,
            allowsLinkLocal: allowsLinkLocal
        )
        plan.isolatesGuests = isolatesGuests
        plan.mirror = mirror
        plan.limits = limits
        plan.ipv6 = prefix.flatMap { IPv6Plan($0, beside: plan) }
        engine = PacketEngine(plan, loop: loop, log: .discarding(), support: support, seed: 7)
        link.receiver = engine
        _ = engine.ethernet.attach(link, now: loop.now)
        announce()
    }

    deinit {
        engine.stop()
    }

    /// Sends the guest's ARP announcement, from which the engine learns its address.
    func announce(from mac: MACAddress = ScriptedGuest.mac) {
        let packet = GuestWire.ARP(
            operation: .request,
            senderMAC: mac,
            senderAddress: Self.address,
            targetMAC: MACAddress(rawValue: 0),
            targetAddress: Self.address
        )
        send(packet, from: mac)
    }

    /// Makes a gateway port accept connections; their far ends appear in `served`.
    func serve(_ port: UInt16) {
        engine.tcp.services[port] = { [unowned self] descriptor, _ in
            served.append(HostPeer(descriptor))
        }
    }

    /// Returns a port that no connection of this guest has used.
    func freshPort() -> UInt16 {
        defer { nextPort += 1 }
        return nextPort
    }

    // MARK: Time

    /// Runs a few turns, enough to deliver everything that loopback sockets hold.
    func settle() throws {
        for _ in 0..<4 { try loop.turn(waitingAtMost: .zero) }
        try collect()
    }

    /// Advances the clock and runs whatever is due.
    func advance(_ duration: Duration) throws {
        clock.advance(duration)
        try settle()
    }

    /// Runs turns until a condition holds; throws after `hangGuard`.
    func turn(
        until condition: () throws -> Bool,
        _ what: @autoclosure () -> String = "what was waited for"
    ) throws {
        let deadline = ContinuousClock.now + hangGuard
        while try !condition() {
            guard ContinuousClock.now < deadline else {
                throw ScriptError(description: "\(what()) did not happen")
            }
            try loop.turn(waitingAtMost: .milliseconds(5))
            try collect()
        }
    }

    // MARK: Packets out of the engine

    private func collect() throws {
        for packet in try link.takePackets() {
            expectGoodChecksums(packet)
            inbox.append(packet)
        }
    }

    /// Takes the packets that `read` recognizes.
    func take<Content>(_ read: ([UInt8]) throws -> Content?) throws -> [Content] {
        try collect()
        var taken: [Content] = []
        var rest: [[UInt8]] = []
        for packet in inbox {
            if let content = try read(packet) { taken.append(content) } else { rest.append(packet) }
        }
        inbox = rest
        return taken
    }

    /// Discards every packet that no script has taken.
    func forgetPackets() {
        link.sent = []
        inbox = []
    }

    /// Takes the IPv4 packets of one protocol.
    func takeIPv4(_ transport: UInt8) throws -> [(header: GuestWire.IPv4, payload: [UInt8])] {
        try take { packet in
            guard let (header, payload) = try Self.readIPv4(packet), header.transport == transport
            else { return nil }
            return (header, payload)
        }
    }

    /// Takes the ICMP messages.
    func takeICMP() throws -> [(
        header: GuestWire.IPv4, message: GuestWire.ICMP, octets: [UInt8]
    )] {
        try settle()
        return try takeIPv4(GuestWire.Transport.icmp).map { header, octets in
            (header, try GuestWire.ICMP(reading: octets), octets)
        }
    }

    /// Takes the UDP datagrams.
    func takeUDP() throws -> [(ip: GuestWire.IPv4, udp: GuestWire.UDP, payload: [UInt8])] {
        try takeIPv4(GuestWire.Transport.udp).map { header, octets in
            (header, try GuestWire.UDP(reading: octets), Array(octets[8...]))
        }
    }

    /// Takes the ARP packets.
    func takeARP() throws -> [(destination: MACAddress, packet: GuestWire.ARP)] {
        try take { frame in
            guard try GuestWire.type(of: frame) == GuestWire.EtherType.arp else { return nil }
            let packet = Array(frame[GuestWire.ethernetLength...])
            return (GuestWire.mac(frame, 0), try GuestWire.ARP(reading: packet))
        }
    }

    static func readIPv4(_ frame: [UInt8]) throws -> (header: GuestWire.IPv4, payload: [UInt8])? {
        guard try GuestWire.type(of: frame) == GuestWire.EtherType.ipv4 else { return nil }
        let packet = frame[GuestWire.ethernetLength...]
        let header = try GuestWire.IPv4(reading: packet)
        return (header, Array(packet.dropFirst(header.headerLength).prefix(header.payloadLength)))
    }

    /// The number of packets dropped for a reason.
    func dropped(_ reason: DropReason) -> UInt64 {
        engine.drops.all.first { $0.reason == reason }?.count ?? 0
    }
}
