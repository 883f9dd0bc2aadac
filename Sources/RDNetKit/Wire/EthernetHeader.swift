/// An Ethernet II header (IEEE 802.3, 3.1.1): destination, source, type.
///
/// 14 octets; no VLAN tag.
struct EthernetHeader: Equatable {
    static let length = 14

    /// What a frame carries (IEEE 802 numbers).
    enum Kind {
        static let ipv4: UInt16 = 0x0800
        static let arp: UInt16 = 0x0806
        static let ipv6: UInt16 = 0x86dd
        /// A VLAN tag (IEEE 802.1Q).
        static let taggedFrame: UInt16 = 0x8100
        /// "Local experimental 1": offload negotiation.
        static let experimental: UInt16 = 0x88b5
    }

    var destination: MACAddress
    var source: MACAddress
    var kind: UInt16

    @inline(__always)
    init(destination: MACAddress, source: MACAddress, kind: UInt16) {
        self.destination = destination
        self.source = source
        self.kind = kind
    }

    @inline(__always)
    init(reading frame: RawSpan) throws(PacketError) {
        guard frame.byteCount >= Self.length else {
            throw .truncated(needed: Self.length, available: frame.byteCount)
        }
        destination = MACAddress(reading: frame, at: 0)
        source = MACAddress(reading: frame, at: 6)
        kind = frame.bigEndian(at: 12)
    }

    @inline(__always)
    func write(to frame: inout MutableRawSpan) {
        destination.write(to: &frame, at: 0)
        source.write(to: &frame, at: 6)
        frame.storeBigEndian(kind, at: 12)
    }
}
