/// The fields of a guest's packet that an ICMP error must quote and that the host's kernel does not
/// keep.
struct SentPacket {
    /// Where the host socket sent it; port 0 for an echo request.
    var host: Endpoint
    var identification: UInt16
    var trafficClass: UInt8
    var hopLimit: UInt8
    var dontFragment: Bool
    /// Bytes after the IP header.
    var payloadLength: UInt16
    /// The transport checksum; nil if the guest left it to its network card.
    var checksum: UInt16?
    /// Distinguishes packets to the same host: the start of a UDP payload, or the sequence number
    /// of an echo request.
    var mark: UInt64

    /// Remembers a packet.
    @inline(__always)
    init(_ header: IPHeader, to host: Endpoint, checksum: UInt16?, mark: UInt64) {
        self.host = host
        // All 16 bits of IPv4; IPv6 has an identification only in fragments.
        identification = UInt16(truncatingIfNeeded: header.identification)
        trafficClass = header.trafficClass
        hopLimit = header.hopLimit
        dontFragment = header.dontFragment
        payloadLength = UInt16(truncatingIfNeeded: header.payloadLength)
        self.checksum = checksum
        self.mark = mark
    }

    fileprivate static var none: SentPacket {
        let nowhere = Endpoint(address: .anyIPv6, port: 0)
        let header = IPHeader(
            transport: 0,
            source: .anyIPv4,
            destination: .anyIPv4,
            payloadLength: 0
        )
        return SentPacket(header, to: nowhere, checksum: nil, mark: 0)
    }

    /// The first eight bytes of a payload, big-endian and filled with zeros.
    @inline(__always)
    static func mark(of payload: UnsafeRawBufferPointer) -> UInt64 {
        // Sound: an integer has no invalid bit patterns, and the length was checked.
        if payload.count >= 8 { return UInt64(bigEndian: payload.loadUnaligned(as: UInt64.self)) }
        return payload.enumerated().reduce(0) { $0 | UInt64($1.element) << (56 - 8 * $1.offset) }
    }
}

/// The packets that a flow sent last, for quotations in ICMP errors.
///
/// A fixed ring: recording costs a few stores and never allocates.
struct SentPackets<let capacity: Int> {
    private var packets = InlineArray<capacity, SentPacket>(repeating: .none)
    private var next = 0

    /// Remembers a packet in place of the oldest one.
    @inline(__always)
    mutating func record(_ packet: SentPacket) {
        packets[next] = packet
        next = next + 1 == capacity ? 0 : next + 1
    }

    /// Finds the latest packet to a host whose mark begins with some bits.
    ///
    /// - Parameters:
    ///   - host: Where the packet was sent to.
    ///   - mark: As in `SentPacket`.
    ///   - bits: How many of its leading bits are known.
    /// - Returns: Nil when no such packet is remembered.
    func latest(to host: Endpoint, mark: UInt64, bits: Int = 64) -> SentPacket? {
        for age in 1...capacity {
            let packet = packets[(next + capacity - age) % capacity]
            // A shift by 64 yields zero, so that no known bits match every mark.
            if packet.host == host, (packet.mark ^ mark) >> (64 - bits) == 0 { return packet }
        }
        return nil
    }

    /// Whether one of the remembered packets went to a host.
    func contains(_ host: Endpoint) -> Bool { latest(to: host, mark: 0, bits: 0) != nil }
}
