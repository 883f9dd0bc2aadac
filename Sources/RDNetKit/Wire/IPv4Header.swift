/// The IPv4 header (RFC 791, 3.1): 20 bytes plus options, which are skipped.
extension IPHeader {
    /// Reads and checks a header: version, lengths, checksum (RFC 1122, 3.2.1).
    @inline(__always)
    init(readingIPv4 packet: RawSpan) throws(PacketError) {
        guard packet.byteCount >= Self.lengthIPv4 else {
            throw .truncated(needed: Self.lengthIPv4, available: packet.byteCount)
        }
        let first = packet.octet(at: 0)
        guard first >> 4 == 4 else { throw .notThisFormat }
        let headerLength = Int(first & 15) * 4
        let totalLength = Int(packet.bigEndian(at: 2, as: UInt16.self))
        guard headerLength >= Self.lengthIPv4, totalLength >= headerLength,
            totalLength <= packet.byteCount
        else { throw .badLength(field: totalLength, available: packet.byteCount) }
        guard Self.sum(of: packet, count: headerLength) == 0xffff else { throw .badChecksum }
        self.init(
            transport: packet.octet(at: 9),
            source: IPAddress(ipv4: packet.bigEndian(at: 12)),
            destination: IPAddress(ipv4: packet.bigEndian(at: 16)),
            payloadLength: totalLength - headerLength,
            identification: UInt32(packet.bigEndian(at: 4, as: UInt16.self))
        )
        self.headerLength = headerLength
        trafficClass = packet.octet(at: 1)
        let fragment: UInt16 = packet.bigEndian(at: 6)
        dontFragment = fragment & 0x4000 != 0
        moreFragments = fragment & 0x2000 != 0
        fragmentOffset = Int(fragment & 0x1fff) * 8
        hopLimit = packet.octet(at: 8)
    }

    /// Writes a header without options, including its checksum.
    @inline(__always)
    func writeIPv4(to packet: inout MutableRawSpan) {
        packet.storeBigEndian(0x4500 | UInt16(trafficClass), at: 0)
        packet.storeBigEndian(UInt16(truncatingIfNeeded: Self.lengthIPv4 + payloadLength), at: 2)
        packet.storeBigEndian(UInt16(truncatingIfNeeded: identification), at: 4)
        var fragment = UInt16(truncatingIfNeeded: fragmentOffset / 8)
        if dontFragment { fragment |= 0x4000 }
        if moreFragments { fragment |= 0x2000 }
        packet.storeBigEndian(fragment, at: 6)
        packet.storeOctet(hopLimit, at: 8)
        packet.storeOctet(transport, at: 9)
        packet.storeBigEndian(0 as UInt16, at: 10)
        packet.storeBigEndian(UInt32(truncatingIfNeeded: source.low), at: 12)
        packet.storeBigEndian(UInt32(truncatingIfNeeded: destination.low), at: 16)
        packet.storeBigEndian(~Self.sum(of: packet.bytes, count: Self.lengthIPv4), at: 10)
    }

    /// The folded one's complement sum of the header's 16-bit words.
    @inline(__always)
    private static func sum(of packet: RawSpan, count: Int) -> UInt16 {
        var total: UInt32 = 0
        var offset = 0
        while offset < count {
            total &+= UInt32(packet.bigEndian(at: offset, as: UInt16.self))
            offset += 2
        }
        total = (total & 0xffff) &+ (total >> 16)
        return UInt16(truncatingIfNeeded: (total & 0xffff) &+ (total >> 16))
    }
}
