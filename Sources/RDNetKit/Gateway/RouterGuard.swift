/// Recognizes messages that only a network's router may send to its hosts.
///
/// A guest that sent them could give other guests a route through itself: router advertisements and
/// redirects (RFC 4861), and messages of DHCP servers (RFC 2131, RFC 8415). This is RA-Guard (RFC
/// 6105) and DHCPv6-Shield (RFC 7610). Extension headers are followed; a chain of headers whose end
/// is not in the first fragment is refused too, because it could hide such a message (RFC 7113).
enum RouterGuard {
    /// Limit on extension headers; real packets have one or two.
    private static let maximumExtensions = 8

    /// What an IPv6 packet tells other guests.
    enum Meaning: Equatable {
        /// Something that only a router or a DHCPv6 server may say, or that could hide it.
        case refused
        /// That this address is its sender's (a neighbor advertisement).
        case claim(IPAddress)
        /// Nothing about the network.
        case other
    }

    /// Types of ICMPv6 messages (RFC 4861, 4).
    private enum Message {
        static let routerAdvertisement: UInt8 = 134
        static let neighborAdvertisement: UInt8 = 136
        static let redirect: UInt8 = 137
    }

    /// The length of an IPv6 header.
    static let headerLength = 40

    /// Numbers of the header that follows (IANA's protocol numbers).
    private enum Next {
        static let hopByHop: UInt8 = 0
        static let udp: UInt8 = 17
        static let routing: UInt8 = 43
        static let fragment: UInt8 = 44
        static let authentication: UInt8 = 51
        static let icmp: UInt8 = 58
        static let destination: UInt8 = 60
    }

    /// Whether an IPv4 packet, which may be cut short, is a DHCP server's message to a client.
    static func refusesIPv4(_ packet: RawSpan) -> Bool {
        guard packet.byteCount >= 20, packet.bigEndian(at: 9, as: UInt8.self) == Next.udp,
            packet.bigEndian(at: 6, as: UInt16.self) & 0x1fff == 0
        else { return false }
        let start = Int(packet.bigEndian(at: 0, as: UInt8.self) & 15) * 4
        return hasPorts(67, 68, packet, at: start)
    }

    /// Reads what an IPv6 packet tells other guests; it may be cut short after its header.
    static func meaning(ofIPv6 packet: RawSpan) -> Meaning {
        var next = packet.bigEndian(at: 6, as: UInt8.self)
        var offset = headerLength
        for _ in 0...maximumExtensions {
            switch next {
            case Next.icmp:
                return meaning(ofICMPv6: packet, at: offset)
            case Next.udp:
                guard packet.byteCount >= offset + 4 else { return .refused }
                return hasPorts(547, 546, packet, at: offset) ? .refused : .other
            case Next.hopByHop, Next.routing, Next.destination, Next.fragment,
                Next.authentication:
                guard packet.byteCount >= offset + 8 else { return .refused }
                let length = Int(packet.bigEndian(at: offset + 1, as: UInt8.self))
                let current = next
                next = packet.bigEndian(at: offset, as: UInt8.self)
                switch current {
                case Next.fragment:
                    // The first fragment has the headers.
                    if packet.bigEndian(at: offset + 2, as: UInt16.self) >> 3 != 0 { return .other }
                    offset += 8
                case Next.authentication: offset += 4 * (length + 2)
                default: offset += 8 * (length + 1)
                }
            default: return .other
            }
        }
        return .refused
    }

    private static func meaning(ofICMPv6 packet: RawSpan, at offset: Int) -> Meaning {
        guard packet.byteCount > offset else { return .refused }
        switch packet.bigEndian(at: offset, as: UInt8.self) {
        case Message.routerAdvertisement, Message.redirect: return .refused
        case Message.neighborAdvertisement:
            guard packet.byteCount >= offset + 24 else { return .refused }
            return .claim(address(in: packet, at: offset + 8))
        default: return .other
        }
    }

    /// Reads the source address of an IPv6 packet with a whole header.
    static func source(ofIPv6 packet: RawSpan) -> IPAddress { address(in: packet, at: 8) }

    private static func address(in packet: RawSpan, at offset: Int) -> IPAddress {
        IPAddress(
            high: packet.bigEndian(at: offset, as: UInt64.self),
            low: packet.bigEndian(at: offset + 8, as: UInt64.self)
        )
    }

    private static func hasPorts(
        _ source: UInt16,
        _ destination: UInt16,
        _ packet: RawSpan,
        at offset: Int
    ) -> Bool {
        guard packet.byteCount >= offset + 4 else { return false }
        return packet.bigEndian(at: offset, as: UInt16.self) == source
            && packet.bigEndian(at: offset + 2, as: UInt16.self) == destination
    }
}
