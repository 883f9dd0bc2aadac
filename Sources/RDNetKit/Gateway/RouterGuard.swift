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

    /// The ICMPv6 type of a redirect (RFC 4861, 4.5).
    private static let redirect: UInt8 = 137

    /// Numbers of extension headers (IANA's protocol numbers).
    private enum Next {
        static let hopByHop: UInt8 = 0
        static let routing: UInt8 = 43
        static let fragment: UInt8 = 44
        static let authentication: UInt8 = 51
        static let destination: UInt8 = 60
    }

    /// Whether an IPv4 packet, which may be cut short, is a DHCP server's message to a client.
    static func refusesIPv4(_ packet: RawSpan) -> Bool {
        guard packet.byteCount >= IPHeader.lengthIPv4,
            packet.bigEndian(at: 9, as: UInt8.self) == IPProtocol.udp,
            packet.bigEndian(at: 6, as: UInt16.self) & 0x1fff == 0
        else { return false }
        let start = Int(packet.bigEndian(at: 0, as: UInt8.self) & 15) * 4
        return hasPorts(DHCPMessage.serverPort, DHCPMessage.clientPort, packet, at: start)
    }

    /// Reads what an IPv6 packet tells other guests; it may be cut short after its header.
    static func meaning(ofIPv6 packet: RawSpan) -> Meaning {
        var next = packet.bigEndian(at: 6, as: UInt8.self)
        var offset = IPHeader.lengthIPv6
        for _ in 0...maximumExtensions {
            switch next {
            case IPProtocol.icmpIPv6:
                return meaning(ofICMPv6: packet, at: offset)
            case IPProtocol.udp:
                guard packet.byteCount >= offset + 4 else { return .refused }
                return hasPorts(
                    DHCPv6Message.serverPort,
                    DHCPv6Message.clientPort,
                    packet,
                    at: offset
                ) ? .refused : .other
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
        let type = packet.octet(at: offset)
        if type == redirect { return .refused }
        switch NeighborDiscoveryMessage.Kind(rawValue: type) {
        case .routerAdvertisement: return .refused
        case .neighborAdvertisement:
            guard packet.byteCount >= offset + 24 else { return .refused }
            return .claim(IPAddress(reading: packet, at: offset + 8))
        default: return .other
        }
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
