/// IP protocol numbers (IANA) that the gateway knows.
enum IPProtocol {
    static let icmp: UInt8 = 1
    static let tcp: UInt8 = 6
    static let udp: UInt8 = 17
    static let icmpIPv6: UInt8 = 58
    /// No payload at all (RFC 8200, 4.7).
    static let noNextHeader: UInt8 = 59

    /// The protocol that carries ICMP in the family of an address.
    @inline(__always)
    static func icmp(for address: IPAddress) -> UInt8 { address.isIPv4 ? icmp : icmpIPv6 }

    /// `tcp`, `udp` or `icmp`, for people.
    static func name(of transport: UInt8) -> String {
        switch transport {
        case tcp: "tcp"
        case udp: "udp"
        default: "icmp"
        }
    }
}

/// What the headers of an IP packet say, in the same words for both families (RFC 791, 3.1; RFC
/// 8200, 3).
///
/// `IPv4Header.swift` and `IPv6Header.swift` read and write the two formats.
struct IPHeader: Equatable {
    /// The length of an IPv4 header without options; it is always written without them.
    static let lengthIPv4 = 20
    /// The length of an IPv6 header without extension headers.
    static let lengthIPv6 = 40
    /// The MTU that IPv6 requires of every link (RFC 8200, 5).
    static let minimumMTUIPv6 = 1280

    /// Bytes in front of the payload as read, with options or extension headers.
    var headerLength: Int
    /// Bytes of payload, which is the transport header and what follows it.
    var payloadLength: Int
    /// DSCP and ECN (RFC 2474; RFC 3168).
    var trafficClass: UInt8 = 0
    /// What the fragments of a packet have in common: 16 bits in IPv4, 32 in IPv6.
    var identification: UInt32 = 0
    /// Whether routers may not fragment the packet; always so in IPv6.
    var dontFragment: Bool
    var moreFragments = false
    /// Offset of this fragment's payload in bytes; a multiple of eight.
    var fragmentOffset = 0
    /// Time to live in IPv4.
    var hopLimit: UInt8 = 64
    /// The transport protocol, behind all extension headers.
    var transport: UInt8
    var source: IPAddress
    var destination: IPAddress
    /// What is wrong with the extension headers, or the place to complain about an unknown
    /// transport.
    var complaint = HeaderComplaint.transport(pointer: 6)

    /// Whether the packet is a part of another; an IPv6 packet whose only fragment is whole is not
    /// (RFC 6946).
    @inline(__always)
    var isFragment: Bool { moreFragments || fragmentOffset != 0 }

    @inline(__always)
    var isIPv4: Bool { destination.isIPv4 }

    /// A header for a new packet.
    @inline(__always)
    init(
        transport: UInt8,
        source: IPAddress,
        destination: IPAddress,
        payloadLength: Int,
        identification: UInt32 = 0
    ) {
        self.transport = transport
        self.source = source
        self.destination = destination
        self.payloadLength = payloadLength
        self.identification = identification
        headerLength = Self.length(for: destination)
        dontFragment = !destination.isIPv4
    }

    /// The length of a header without options or extension headers in the family of an address.
    @inline(__always)
    static func length(for address: IPAddress) -> Int {
        address.isIPv4 ? lengthIPv4 : lengthIPv6
    }

    /// Bytes that `write` produces: a fragment of an IPv6 packet has an extension header.
    var writtenLength: Int {
        isIPv4 || !isFragment ? Self.length(for: destination) : Self.lengthIPv6 + 8
    }

    /// Reads the headers of a packet of either family.
    ///
    /// - Throws: `PacketError` when they are cut short or contradict each other.
    @inline(__always)
    init(reading packet: RawSpan) throws(PacketError) {
        if packet.byteCount > 0, packet.octet(at: 0) >> 4 == 6 {
            try self.init(readingIPv6: packet)
        } else {
            try self.init(readingIPv4: packet)
        }
    }

    /// The checksum over a pseudo-header of these addresses and a transport segment: zero if the
    /// segment's own is right, and what belongs into its field if that is zero.
    @inline(__always)
    func checksum(of segment: UnsafeRawBufferPointer) -> UInt16 {
        let pseudo = InternetChecksum.pseudoHeaderSum(
            source: source,
            destination: destination,
            transport: transport,
            length: segment.count
        )
        return InternetChecksum.checksum(segment, adding: pseudo)
    }

    /// The same for the field of a UDP datagram, where zero means "no checksum" (RFC 768).
    func datagramChecksum(of datagram: UnsafeRawBufferPointer) -> UInt16 {
        let sum = checksum(of: datagram)
        return sum == 0 ? 0xffff : sum
    }

    /// Writes the header, without options and with its checksum.
    @inline(__always)
    func write(to packet: inout MutableRawSpan) {
        if isIPv4 { writeIPv4(to: &packet) } else { writeIPv6(to: &packet) }
    }
}

/// The ICMPv6 error that an IPv6 packet's headers deserve (RFC 4443, 3.4).
enum HeaderComplaint: Equatable {
    /// Nothing, unless the transport is unknown: then where its number is.
    case transport(pointer: UInt16)
    /// None: the packet is dropped silently (RFC 8200, 4.2).
    case silence
    /// A parameter problem with this code, at this offset of the packet.
    case problem(code: UInt8, pointer: UInt16)
    /// The same, although the packet was sent to a group.
    case problemEvenToGroups(code: UInt8, pointer: UInt16)
}
