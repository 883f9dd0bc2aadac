/// The options of a neighbor discovery message (RFC 4861, 4.6; RFC 8106, 5).
///
///     type 1, length 1 (in units of 8 bytes), value
///
/// Unknown options are skipped. So are those whose value cannot be used: an address of another
/// length than Ethernet's, a group's address, a name that resolv.conf cannot hold.
struct NeighborDiscoveryOptions: Equatable, Sendable {
    private enum Kind {
        static let sourceLinkAddress: UInt8 = 1
        static let targetLinkAddress: UInt8 = 2
        static let prefix: UInt8 = 3
        static let mtu: UInt8 = 5
        /// RFC 8106, 5.1.
        static let resolvers: UInt8 = 25
        /// RFC 8106, 5.2.
        static let searchDomains: UInt8 = 31
    }

    /// A prefix of the link (RFC 4861, 4.6.2).
    struct Prefix: Equatable, Sendable {
        var network: IPAddress
        /// 0 to 128.
        var length: Int
        /// Whether the prefix's addresses are on the link.
        var isOnLink = false
        /// Whether hosts form addresses with the prefix.
        var isAutonomous = false
        /// Seconds; `infinity` for ever.
        var validLifetime: UInt32
        var preferredLifetime: UInt32
    }

    /// Values with the time for which they are valid.
    struct Timed<Value: Equatable & Sendable>: Equatable, Sendable {
        /// Seconds; `infinity` for ever; 0 ends the use of the values.
        var lifetime: UInt32
        var values: [Value]
    }

    static let infinity = UInt32.max
    /// The unit of an option's length.
    private static let unit = 8
    /// Bytes of an option's type and length.
    private static let headLength = 2

    /// The Ethernet address of the sender.
    var sourceLinkAddress: MACAddress?
    /// The Ethernet address of the target of an advertisement.
    var targetLinkAddress: MACAddress?
    var prefixes: [Prefix] = []
    var mtu: UInt32?
    /// Addresses of name servers, in order of preference.
    var resolvers: [Timed<IPAddress>] = []
    /// DNS search domains.
    var searchDomains: [Timed<String>] = []

    init() {}

    /// Reads the options at the end of a message.
    ///
    /// - Throws: `PacketError.badLength` for an option of length 0 or beyond the end (RFC 4861,
    ///   6.1.1); the whole message is invalid then.
    init(reading message: RawSpan, from start: Int) throws(PacketError) {
        var offset = start
        while offset < message.byteCount {
            let available = message.byteCount - offset
            guard available >= Self.headLength else {
                throw .badLength(field: Self.headLength, available: available)
            }
            let length = Int(message.octet(at: offset + 1)) * Self.unit
            guard length > 0, length <= available else {
                throw .badLength(field: length, available: available)
            }
            read(message.octet(at: offset), message.extracting(offset..<(offset + length)))
            offset += length
        }
    }

    private mutating func read(_ kind: UInt8, _ option: RawSpan) {
        switch (kind, option.byteCount) {
        case (Kind.sourceLinkAddress, 8): sourceLinkAddress = Self.linkAddress(option)
        case (Kind.targetLinkAddress, 8): targetLinkAddress = Self.linkAddress(option)
        case (Kind.prefix, 32): readPrefix(option)
        case (Kind.mtu, 8): mtu = option.bigEndian(at: 4)
        case (Kind.resolvers, 24...) where option.byteCount % 16 == 8: readResolvers(option)
        case (Kind.searchDomains, 16...): readSearchDomains(option)
        default: break
        }
    }

    private static func linkAddress(_ option: RawSpan) -> MACAddress? {
        let address = MACAddress(reading: option, at: 2)
        return address.isGroup ? nil : address
    }

    private mutating func readPrefix(_ option: RawSpan) {
        let length = Int(option.octet(at: 2))
        guard length <= 128 else { return }
        let flags = option.octet(at: 3)
        prefixes.append(
            Prefix(
                network: IPAddress(reading: option, at: 16),
                length: length,
                isOnLink: flags & 0x80 != 0,
                isAutonomous: flags & 0x40 != 0,
                validLifetime: option.bigEndian(at: 4),
                preferredLifetime: option.bigEndian(at: 8)
            )
        )
    }

    private mutating func readResolvers(_ option: RawSpan) {
        let addresses = stride(from: 8, to: option.byteCount, by: 16).map {
            IPAddress(reading: option, at: $0)
        }
        resolvers.append(Timed(lifetime: option.bigEndian(at: 4), values: addresses))
    }

    private mutating func readSearchDomains(_ option: RawSpan) {
        let names = option.array(8..<option.byteCount)
        let domains = DHCPDomainSearch.domains(reading: names)
        guard !domains.isEmpty else { return }
        searchDomains.append(Timed(lifetime: option.bigEndian(at: 4), values: domains))
    }

    /// The options in ascending order of type.
    var octets: [UInt8] {
        var octets: [UInt8] = []
        for (kind, address) in [
            (Kind.sourceLinkAddress, sourceLinkAddress),
            (Kind.targetLinkAddress, targetLinkAddress),
        ] {
            if let address { octets += Self.option(kind, address.octets) }
        }
        for prefix in prefixes { octets += Self.option(Kind.prefix, prefix.octets) }
        if let mtu { octets += Self.option(Kind.mtu, [0, 0] + mtu.bigEndianOctets) }
        for list in resolvers {
            octets += Self.list(Kind.resolvers, list.lifetime, list.values.map(\.ipv6Octets))
        }
        for list in searchDomains {
            let names = list.values.map { DHCPDomainSearch.octets([$0]) }
            octets += Self.list(Kind.searchDomains, list.lifetime, names)
        }
        return octets
    }

    /// An option with a lifetime and as many values as it holds; empty without any.
    private static func list(_ kind: UInt8, _ lifetime: UInt32, _ values: [[UInt8]]) -> [UInt8] {
        let head = [0, 0] + lifetime.bigEndianOctets
        let room = Int(UInt8.max) * unit - headLength - head.count
        var octets: [UInt8] = []
        for value in values {
            guard octets.count + value.count <= room else { break }
            octets += value
        }
        return octets.isEmpty ? [] : option(kind, head + octets)
    }

    /// An option with a value, padded with zeros to a multiple of eight bytes.
    private static func option(_ kind: UInt8, _ value: [UInt8]) -> [UInt8] {
        let units = (headLength + value.count + unit - 1) / unit
        let padding = units * unit - headLength - value.count
        return [kind, UInt8(truncatingIfNeeded: units)] + value
            + [UInt8](repeating: 0, count: padding)
    }
}

extension NeighborDiscoveryOptions.Prefix {
    /// The option's value: length, flags, lifetimes, four reserved bytes, prefix.
    fileprivate var octets: [UInt8] {
        let flags: UInt8 = (isOnLink ? 0x80 : 0) | (isAutonomous ? 0x40 : 0)
        return [UInt8(length), flags] + validLifetime.bigEndianOctets
            + preferredLifetime.bigEndianOctets + [0, 0, 0, 0] + network.ipv6Octets
    }
}
