/// A UDP header (RFC 768): 8 octets, four big-endian 16-bit fields.
struct UDPHeader: Equatable {
    static let length = 8
    /// The offset of the checksum field.
    static let checksumOffset = 6

    var sourcePort: UInt16
    var destinationPort: UInt16
    /// Octets of payload; the wire field counts the header too.
    var payloadLength: Int
    /// The checksum field; 0 means that the sender computed none, which IPv4 allows.
    var checksum: UInt16 = 0

    init(sourcePort: UInt16, destinationPort: UInt16, payloadLength: Int) {
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.payloadLength = payloadLength
    }

    init(reading datagram: RawSpan) throws(PacketError) {
        guard datagram.byteCount >= Self.length else {
            throw .truncated(needed: Self.length, available: datagram.byteCount)
        }
        let length = Int(datagram.bigEndian(at: 4, as: UInt16.self))
        guard length >= Self.length, length <= datagram.byteCount else {
            throw .badLength(field: length, available: datagram.byteCount)
        }
        sourcePort = datagram.bigEndian(at: 0)
        destinationPort = datagram.bigEndian(at: 2)
        payloadLength = length - Self.length
        checksum = datagram.bigEndian(at: 6)
    }

    /// Writes the header with the checksum field unchanged.
    func write(to datagram: inout MutableRawSpan) {
        datagram.storeBigEndian(sourcePort, at: 0)
        datagram.storeBigEndian(destinationPort, at: 2)
        datagram.storeBigEndian(UInt16(truncatingIfNeeded: Self.length + payloadLength), at: 4)
        datagram.storeBigEndian(checksum, at: 6)
    }
}
