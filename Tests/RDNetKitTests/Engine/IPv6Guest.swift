import Testing

@testable import RDNetKit

/// A guest of fdc0:a87f::/64 whose every IPv6 packet a test writes, octet by octet from RFC 8200
/// and RFC 4443.
final class IPv6Guest {
    static let address = text("fdc0:a87f::2")
    static let linkLocal = text("fe80::2")
    static let gateway = text("fdc0:a87f::1")
    static let alias = text("fdc0:a87f::fe")
    static let router = text("fe80::1")
    static let allNodes = text("ff02::1")

    /// Numbers of the header that follows.
    enum Next {
        static let hopByHop: UInt8 = 0
        static let tcp: UInt8 = 6
        static let udp: UInt8 = 17
        static let routing: UInt8 = 43
        static let fragment: UInt8 = 44
        static let icmp: UInt8 = 58
        static let none: UInt8 = 59
        static let destination: UInt8 = 60
    }

    /// A packet from the engine.
    struct Packet {
        var mac: [UInt8]
        var next: UInt8
        var hopLimit: UInt8
        var source: IPAddress
        var destination: IPAddress
        var payload: [UInt8]

        /// The first octet of an ICMPv6 message.
        var type: UInt8? { next == Next.icmp ? payload.first : nil }
    }

    let guest: ScriptedGuest

    init(prefix: IPv6Prefix = .standard, mtu: Int = 1500) throws {
        guest = try ScriptedGuest(mtu: mtu, prefix: prefix)
    }

    /// An address that is written correctly.
    static func text(_ text: String) -> IPAddress {
        guard let address = IPAddress(text) else { fatalError("\(text) is no address") }
        return address
    }

    static func octets(_ address: IPAddress) -> [UInt8] {
        address.octets.count == 16 ? address.octets : []
    }

    // MARK: Sending

    /// The sum of a pseudo-header and a message, as its checksum field carries it.
    static func checksum(
        _ message: [UInt8],
        _ next: UInt8,
        from source: IPAddress,
        to destination: IPAddress
    ) -> UInt16 {
        let pseudo =
            octets(source) + octets(destination) + GuestWire.octets(message.count, 4)
            + [0, 0, 0, next]
        return PlainChecksum.of(pseudo + message)
    }

    /// Sends a packet in a frame to the gateway, or to the group of its destination.
    func send(
        _ next: UInt8,
        _ payload: [UInt8],
        from source: IPAddress = address,
        to destination: IPAddress,
        hopLimit: UInt8 = 64,
        mac: MACAddress = ScriptedGuest.mac
    ) {
        let header =
            [0x60, 0, 0, 0] + GuestWire.octets(payload.count, 2) + [next, hopLimit]
            + Self.octets(source) + Self.octets(destination)
        let last = Self.octets(destination)[12...]
        let group = [0x33, 0x33] + last
        let receiver =
            destination.isMulticast
            ? MACAddress(rawValue: UInt64(GuestWire.number(group, 0, 6))) : .standardGateway
        guest.send(frame: GuestWire.frame(to: receiver, from: mac, 0x86dd, header + payload))
    }

    /// Sends an ICMPv6 message with its checksum.
    func sendICMP(
        _ type: UInt8,
        code: UInt8 = 0,
        _ rest: [UInt8],
        from source: IPAddress = address,
        to destination: IPAddress,
        hopLimit: UInt8 = 255
    ) {
        var message = [type, code, 0, 0] + rest
        let sum = Self.checksum(message, Next.icmp, from: source, to: destination)
        PlainChecksum.store(sum, in: &message, at: 2)
        send(Next.icmp, message, from: source, to: destination, hopLimit: hopLimit)
    }

    /// A UDP datagram with its checksum.
    static func datagram(
        _ payload: [UInt8],
        from source: Endpoint,
        to destination: Endpoint
    ) -> [UInt8] {
        var datagram =
            GuestWire.octets(Int(source.port), 2) + GuestWire.octets(Int(destination.port), 2)
            + GuestWire.octets(8 + payload.count, 2) + [0, 0] + payload
        let sum = checksum(
            datagram,
            Next.udp,
            from: source.address,
            to: destination.address
        )
        PlainChecksum.store(sum, in: &datagram, at: 6)
        return datagram
    }

    // MARK: Receiving

    /// Takes the IPv6 packets that the engine sent; their checksums are verified.
    func take() throws -> [Packet] {
        try guest.settle()
        return try guest.take { frame in
            guard GuestWire.number(frame, 12, 2) == 0x86dd else { return nil }
            let length = GuestWire.number(frame, 18, 2)
            let packet = Packet(
                mac: Array(frame[0..<6]),
                next: frame[20],
                hopLimit: frame[21],
                source: Self.address(frame, 22),
                destination: Self.address(frame, 38),
                payload: Array(frame[54..<(54 + length)])
            )
            #expect(frame[14] >> 4 == 6)
            if [Next.icmp, Next.tcp, Next.udp].contains(packet.next) {
                let sum = Self.checksum(
                    packet.payload,
                    packet.next,
                    from: packet.source,
                    to: packet.destination
                )
                #expect(sum == 0 || sum == 0xffff, "checksum of \(packet)")
            }
            return packet
        }
    }

    private static func address(_ octets: [UInt8], _ offset: Int) -> IPAddress {
        let halves = [offset, offset + 8].map { start in
            octets[start..<(start + 8)].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        }
        return IPAddress(high: halves[0], low: halves[1])
    }

    func dropped(_ reason: DropReason) -> UInt64 { guest.dropped(reason) }
}
