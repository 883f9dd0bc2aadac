/// The framing of a byte stream.
enum StreamFormat: Equatable, Sendable {
    /// 16-bit little-endian length: gvisor-tap-vsock's and Rancher Desktop's streams.
    case littleEndian16
    /// 32-bit big-endian length: QEMU's `-netdev stream` and `socket`.
    case bigEndian32
    /// 32-bit little-endian length, `virtio_net_hdr`, frame: used after a negotiation. The length
    /// counts the frame only.
    case extended

    /// The length of the prefix of each frame, in bytes.
    @inline(__always)
    var prefixLength: Int {
        switch self {
        case .littleEndian16: 2
        case .bigEndian32: 4
        case .extended: 4 + VirtioNetHeader.length
        }
    }

    /// Reads a prefix's length field; returns nil if the prefix is incomplete.
    @inline(__always)
    func frameLength(_ octets: RawSpan, at offset: Int) -> Int? {
        guard octets.byteCount - offset >= prefixLength else { return nil }
        switch self {
        case .littleEndian16: return Int(octets.bigEndian(at: offset, as: UInt16.self).byteSwapped)
        case .bigEndian32: return Int(octets.bigEndian(at: offset, as: UInt32.self))
        case .extended: return Int(octets.bigEndian(at: offset, as: UInt32.self).byteSwapped)
        }
    }

    /// Writes a prefix to the start of a buffer.
    @inline(__always)
    func writePrefix(
        frameLength: Int,
        _ header: VirtioNetHeader,
        to room: UnsafeMutableRawBufferPointer
    ) {
        var octets = room.mutableBytes
        switch self {
        case .littleEndian16:
            octets.storeBigEndian(UInt16(truncatingIfNeeded: frameLength).byteSwapped, at: 0)
        case .bigEndian32:
            octets.storeBigEndian(UInt32(truncatingIfNeeded: frameLength), at: 0)
        case .extended:
            octets.storeBigEndian(UInt32(truncatingIfNeeded: frameLength).byteSwapped, at: 0)
            let rest = UnsafeMutableRawBufferPointer(rebasing: room[4...])
            var headerOctets = rest.mutableBytes
            header.write(to: &headerOctets)
        }
    }
}

extension StreamFormat: CustomStringConvertible {
    /// The name in gvproxy's documentation, `hyperkit` or `qemu`; or `extended`.
    var description: String {
        switch self {
        case .littleEndian16: "hyperkit"
        case .bigEndian32: "qemu"
        case .extended: "extended"
        }
    }
}
