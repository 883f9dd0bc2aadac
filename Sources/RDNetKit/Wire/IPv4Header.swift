/// IP protocol numbers (IANA) that the gateway knows.
enum IPProtocol {
    static let icmp: UInt8 = 1
    static let tcp: UInt8 = 6
    static let udp: UInt8 = 17
}

/// An IPv4 header (RFC 791, 3.1): 20 bytes plus options, which are skipped.
struct IPv4Header: Equatable {
    /// The length without options; headers are always written without them.
    static let length = 20

    /// Length of this header including options, in bytes.
    var headerLength = Self.length
    /// Octets of payload.
    var payloadLength: Int
    /// DSCP and ECN (RFC 2474; RFC 3168).
    var typeOfService: UInt8 = 0
    var identification: UInt16 = 0
    var dontFragment = false
    var moreFragments = false
    /// Offset of this fragment's payload in bytes; a multiple of eight.
    var fragmentOffset = 0
    var timeToLive: UInt8 = 64
    var transport: UInt8
    var source: IPAddress
    var destination: IPAddress

    var isFragment: Bool { moreFragments || fragmentOffset != 0 }

    @inline(__always)
    init(
        transport: UInt8,
        source: IPAddress,
        destination: IPAddress,
        payloadLength: Int,
        identification: UInt16 = 0
    ) {
        self.transport = transport
        self.source = source
        self.destination = destination
        self.payloadLength = payloadLength
        self.identification = identification
    }

    /// Reads and checks a header: version, lengths, checksum (RFC 1122, 3.2.1).
    @inline(__always)
    init(reading packet: RawSpan) throws(PacketError) {
        guard packet.byteCount >= Self.length else {
            throw .truncated(needed: Self.length, available: packet.byteCount)
        }
        let first = packet.octet(at: 0)
        guard first >> 4 == 4 else { throw .notThisFormat }
        headerLength = Int(first & 15) * 4
        typeOfService = packet.octet(at: 1)
        let totalLength = Int(packet.bigEndian(at: 2, as: UInt16.self))
        guard headerLength >= Self.length, totalLength >= headerLength,
            totalLength <= packet.byteCount
        else { throw .badLength(field: totalLength, available: packet.byteCount) }
        payloadLength = totalLength - headerLength
        guard Self.sum(of: packet, count: headerLength) == 0xffff else { throw .badChecksum }
        identification = packet.bigEndian(at: 4)
        let fragment: UInt16 = packet.bigEndian(at: 6)
        dontFragment = fragment & 0x4000 != 0
        moreFragments = fragment & 0x2000 != 0
        fragmentOffset = Int(fragment & 0x1fff) * 8
        timeToLive = packet.octet(at: 8)
        transport = packet.octet(at: 9)
        source = IPAddress(ipv4: packet.bigEndian(at: 12))
        destination = IPAddress(ipv4: packet.bigEndian(at: 16))
    }

    /// Writes a header without options, including its checksum.
    @inline(__always)
    func write(to packet: inout MutableRawSpan) {
        packet.storeBigEndian(0x4500 | UInt16(typeOfService), at: 0)
        packet.storeBigEndian(UInt16(truncatingIfNeeded: Self.length + payloadLength), at: 2)
        packet.storeBigEndian(identification, at: 4)
        var fragment = UInt16(truncatingIfNeeded: fragmentOffset / 8)
        if dontFragment { fragment |= 0x4000 }
        if moreFragments { fragment |= 0x2000 }
        packet.storeBigEndian(fragment, at: 6)
        packet.storeOctet(timeToLive, at: 8)
        packet.storeOctet(transport, at: 9)
        packet.storeBigEndian(0 as UInt16, at: 10)
        packet.storeBigEndian(UInt32(truncatingIfNeeded: source.low), at: 12)
        packet.storeBigEndian(UInt32(truncatingIfNeeded: destination.low), at: 16)
        packet.storeBigEndian(~Self.sum(of: packet.bytes, count: Self.length), at: 10)
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
