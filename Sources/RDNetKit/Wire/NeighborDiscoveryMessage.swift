/// A neighbor discovery message (RFC 4861, 4): an ICMPv6 message between nodes of one link.
///
/// Redirects are not read: the gateway is the only router of its link. The gateway verifies and
/// writes the ICMPv6 checksum, which covers a pseudo-header.
enum NeighborDiscoveryMessage: Equatable, Sendable {
    case routerSolicitation(RouterSolicitation)
    case routerAdvertisement(RouterAdvertisement)
    case neighborSolicitation(NeighborSolicitation)
    case neighborAdvertisement(NeighborAdvertisement)

    /// The ICMPv6 types.
    enum Kind: UInt8, Sendable {
        case routerSolicitation = 133
        case routerAdvertisement = 134
        case neighborSolicitation = 135
        case neighborAdvertisement = 136
    }

    /// The fields of the IPv6 header that decide whether a message is valid.
    struct Envelope: Equatable, Sendable {
        /// The only valid hop limit: no router forwarded the message (RFC 4861, 3.1).
        static let hopLimit: UInt8 = 255

        var source: IPAddress
        var destination: IPAddress
        var hopLimit = Envelope.hopLimit
    }

    /// Reads an ICMPv6 message and checks every rule of RFC 4861, 6.1 and 7.1, but the checksum.
    ///
    /// - Parameters:
    ///   - message: The ICMPv6 message, from its type on.
    ///   - envelope: The header that it arrived with.
    /// - Throws: `PacketError`; `notThisFormat` for other types, and for a message that breaks a
    ///   rule and must therefore be discarded silently.
    init(reading message: RawSpan, in envelope: Envelope) throws(PacketError) {
        guard message.byteCount >= ICMPMessage.headerLength else {
            throw .truncated(needed: ICMPMessage.headerLength, available: message.byteCount)
        }
        guard let kind = Kind(rawValue: message.octet(at: 0)), message.octet(at: 1) == 0,
            envelope.hopLimit == Envelope.hopLimit
        else { throw .notThisFormat }
        switch kind {
        case .routerSolicitation:
            self = .routerSolicitation(try RouterSolicitation(reading: message, in: envelope))
        case .routerAdvertisement:
            self = .routerAdvertisement(try RouterAdvertisement(reading: message, in: envelope))
        case .neighborSolicitation:
            self = .neighborSolicitation(try NeighborSolicitation(reading: message, in: envelope))
        case .neighborAdvertisement:
            self = .neighborAdvertisement(
                try NeighborAdvertisement(reading: message, in: envelope)
            )
        }
    }

    /// The ICMPv6 message with a zero checksum.
    var octets: [UInt8] {
        switch self {
        case .routerSolicitation(let message): message.octets
        case .routerAdvertisement(let message): message.octets
        case .neighborSolicitation(let message): message.octets
        case .neighborAdvertisement(let message): message.octets
        }
    }
}

/// A host's question for routers (RFC 4861, 4.1): four reserved bytes, options.
struct RouterSolicitation: Equatable, Sendable {
    var options = NeighborDiscoveryOptions()

    init() {}

    fileprivate init(
        reading message: RawSpan,
        in envelope: NeighborDiscoveryMessage.Envelope
    ) throws(PacketError) {
        options = try NeighborDiscoveryOptions(reading: message, from: ICMPMessage.headerLength)
        // RFC 4861, 6.1.1.
        if envelope.source.isUnspecified, options.sourceLinkAddress != nil { throw .notThisFormat }
    }

    var octets: [UInt8] {
        NeighborDiscoveryMessage.head(.routerSolicitation, 0) + options.octets
    }
}

/// A router's parameters of the link (RFC 4861, 4.2).
///
///     hop limit 1, flags 1, router lifetime 2, reachable time 4, retransmission time 4, options
struct RouterAdvertisement: Equatable, Sendable {
    private static let length = 16

    /// The hop limit for packets of hosts; 0 leaves it open.
    var hopLimit: UInt8 = 0
    /// Whether DHCPv6 has addresses (the M flag).
    var isManaged = false
    /// Whether DHCPv6 has other parameters (the O flag).
    var hasOtherConfiguration = false
    /// Seconds for which the sender is a default router; 0 if it is none.
    var routerLifetime: UInt16 = 0
    /// Milliseconds; 0 leaves it open.
    var reachableTime: UInt32 = 0
    /// Milliseconds; 0 leaves it open.
    var retransmissionTime: UInt32 = 0
    var options = NeighborDiscoveryOptions()

    init() {}

    fileprivate init(
        reading message: RawSpan,
        in envelope: NeighborDiscoveryMessage.Envelope
    ) throws(PacketError) {
        guard message.byteCount >= Self.length else {
            throw .truncated(needed: Self.length, available: message.byteCount)
        }
        // RFC 4861, 6.1.2.
        guard envelope.source.isLinkLocal, !envelope.source.isIPv4 else { throw .notThisFormat }
        hopLimit = message.octet(at: 4)
        isManaged = message.octet(at: 5) & 0x80 != 0
        hasOtherConfiguration = message.octet(at: 5) & 0x40 != 0
        routerLifetime = message.bigEndian(at: 6)
        reachableTime = message.bigEndian(at: 8)
        retransmissionTime = message.bigEndian(at: 12)
        options = try NeighborDiscoveryOptions(reading: message, from: Self.length)
    }

    var octets: [UInt8] {
        let flags: UInt32 = (isManaged ? 0x80 : 0) | (hasOtherConfiguration ? 0x40 : 0)
        let rest = UInt32(hopLimit) << 24 | flags << 16 | UInt32(routerLifetime)
        return NeighborDiscoveryMessage.head(.routerAdvertisement, rest)
            + reachableTime.bigEndianOctets + retransmissionTime.bigEndianOctets + options.octets
    }
}

/// A node's question for the Ethernet address of a target (RFC 4861, 4.3): four reserved bytes,
/// target, options.
struct NeighborSolicitation: Equatable, Sendable {
    var target: IPAddress
    var options = NeighborDiscoveryOptions()

    init(target: IPAddress) {
        self.target = target
    }

    fileprivate init(
        reading message: RawSpan,
        in envelope: NeighborDiscoveryMessage.Envelope
    ) throws(PacketError) {
        target = try NeighborDiscoveryMessage.target(message)
        options = try NeighborDiscoveryOptions(
            reading: message,
            from: NeighborDiscoveryMessage.lengthWithTarget
        )
        // RFC 4861, 7.1.1: duplicate address detection.
        guard envelope.source.isUnspecified else { return }
        guard envelope.destination.isSolicitedNodeGroup, options.sourceLinkAddress == nil else {
            throw .notThisFormat
        }
    }

    var octets: [UInt8] {
        NeighborDiscoveryMessage.head(.neighborSolicitation, 0) + target.ipv6Octets
            + options.octets
    }
}

/// A target's Ethernet address (RFC 4861, 4.4): flags, target, options.
struct NeighborAdvertisement: Equatable, Sendable {
    /// Whether the sender is a router.
    var isRouter = false
    /// Whether it answers a solicitation.
    var isSolicited = false
    /// Whether it replaces an address that the receiver knows.
    var overrides = false
    var target: IPAddress
    var options = NeighborDiscoveryOptions()

    init(target: IPAddress) {
        self.target = target
    }

    fileprivate init(
        reading message: RawSpan,
        in envelope: NeighborDiscoveryMessage.Envelope
    ) throws(PacketError) {
        target = try NeighborDiscoveryMessage.target(message)
        let flags = message.octet(at: 4)
        isRouter = flags & 0x80 != 0
        isSolicited = flags & 0x40 != 0
        overrides = flags & 0x20 != 0
        // RFC 4861, 7.1.2.
        if envelope.destination.isMulticast, isSolicited { throw .notThisFormat }
        options = try NeighborDiscoveryOptions(
            reading: message,
            from: NeighborDiscoveryMessage.lengthWithTarget
        )
    }

    var octets: [UInt8] {
        let flags: UInt32 =
            (isRouter ? 0x80 : 0) | (isSolicited ? 0x40 : 0) | (overrides ? 0x20 : 0)
        return NeighborDiscoveryMessage.head(.neighborAdvertisement, flags << 24)
            + target.ipv6Octets + options.octets
    }
}

extension NeighborDiscoveryMessage {
    /// Bytes of a message about a target without options.
    fileprivate static let lengthWithTarget = ICMPMessage.headerLength + 16

    /// The ICMPv6 header: type, code 0, a zero checksum, and four bytes that depend on the type.
    fileprivate static func head(_ kind: Kind, _ rest: UInt32) -> [UInt8] {
        [kind.rawValue, 0, 0, 0] + rest.bigEndianOctets
    }

    /// The target of a neighbor solicitation or advertisement.
    fileprivate static func target(_ message: RawSpan) throws(PacketError) -> IPAddress {
        guard message.byteCount >= lengthWithTarget else {
            throw .truncated(needed: lengthWithTarget, available: message.byteCount)
        }
        let target = IPAddress(reading: message, at: ICMPMessage.headerLength)
        guard !target.isMulticast else { throw .notThisFormat }
        return target
    }
}
