/// The offload work left to do on a frame: `struct virtio_net_hdr` (linux/virtio_net.h), 10 bytes.
///
/// A TAP puts it before every frame in host byte order; on an extended stream it is little-endian.
/// The two agree because rdnet runs only on little-endian machines.
struct VirtioNetHeader: Equatable, Sendable {
    static let length = 10

    /// How a frame larger than one packet is segmented.
    enum Segmentation: Equatable, Sendable {
        /// One packet.
        case none
        case tcpIPv4
        case tcpIPv6
        /// UDP datagrams of equal size (USO).
        case udp
        case other(UInt8)
    }

    /// The transport checksum field holds only the folded pseudo-header sum.
    var needsChecksum = false
    /// The kernel has verified the checksum.
    var checksumIsValid = false
    var segmentation = Segmentation.none
    /// Length of all headers including Ethernet's, in bytes; a hint.
    var headerLength: UInt16 = 0
    /// Payload bytes per segment.
    var segmentSize: UInt16 = 0
    /// Offset of the transport header in the frame.
    var checksumStart: UInt16 = 0
    /// Offset of the checksum field in the transport header.
    var checksumOffset: UInt16 = 0

    /// A complete frame that needs no offload.
    static let finished = VirtioNetHeader()

    var isFinished: Bool { !needsChecksum && segmentation == .none }

    init() {}

    @inline(__always)
    init(reading octets: RawSpan) throws(PacketError) {
        guard octets.byteCount >= Self.length else {
            throw .truncated(needed: Self.length, available: octets.byteCount)
        }
        let flags = octets.octet(at: 0)
        needsChecksum = flags & 1 != 0
        checksumIsValid = flags & 2 != 0
        // The highest bit marks ECN, which does not affect segmentation.
        switch octets.octet(at: 1) & 0x7f {
        case 0: segmentation = .none
        case 1: segmentation = .tcpIPv4
        case 4: segmentation = .tcpIPv6
        case 5: segmentation = .udp
        case let number: segmentation = .other(number)
        }
        headerLength = octets.bigEndian(at: 2, as: UInt16.self).byteSwapped
        segmentSize = octets.bigEndian(at: 4, as: UInt16.self).byteSwapped
        checksumStart = octets.bigEndian(at: 6, as: UInt16.self).byteSwapped
        checksumOffset = octets.bigEndian(at: 8, as: UInt16.self).byteSwapped
    }

    @inline(__always)
    func write(to octets: inout MutableRawSpan) {
        octets.storeOctet((needsChecksum ? 1 : 0) | (checksumIsValid ? 2 : 0), at: 0)
        octets.storeOctet(segmentationNumber, at: 1)
        octets.storeBigEndian(headerLength.byteSwapped, at: 2)
        octets.storeBigEndian(segmentSize.byteSwapped, at: 4)
        octets.storeBigEndian(checksumStart.byteSwapped, at: 6)
        octets.storeBigEndian(checksumOffset.byteSwapped, at: 8)
    }

    @inline(__always)
    private var segmentationNumber: UInt8 {
        switch segmentation {
        case .none: 0
        case .tcpIPv4: 1
        case .tcpIPv6: 4
        case .udp: 5
        case .other(let number): number
        }
    }
}
