/// The offloads that the two ends of a stream may leave undone in their frames.
struct OffloadCapabilities: OptionSet, Equatable, Sendable {
    let rawValue: UInt16

    static let checksum = OffloadCapabilities(rawValue: 1)
    static let tcpIPv4 = OffloadCapabilities(rawValue: 2)
    static let tcpIPv6 = OffloadCapabilities(rawValue: 4)
    static let udp = OffloadCapabilities(rawValue: 8)

    /// Whether a frame may leave its pending offloads to a receiver with these capabilities.
    @inline(__always)
    func carries(_ header: VirtioNetHeader) -> Bool {
        guard contains(.checksum) else { return false }
        switch header.segmentation {
        case .none: return true
        case .tcpIPv4: return contains(.tcpIPv4)
        case .tcpIPv6: return contains(.tcpIPv6)
        case .udp: return contains(.udp)
        case .other: return false
        }
    }

    static let all: OffloadCapabilities = [.checksum, .tcpIPv4, .tcpIPv6, .udp]
}

/// One offload negotiation message: an Ethernet frame that other programs ignore.
///
/// ```
///  0  destination 01:80:c2:00:00:0e (IEEE 802.1Q, never forwarded)
///  6  source
/// 12  type 0x88b5 (local experimental)
/// 14  "RDNT"
/// 18  version 1
/// 19  kind
/// 20  capabilities
/// 22  largest frame, 32 bits
/// 26  subnet, 32 bits
/// 30  prefix length, 8 bits
/// 31  zero up to 60
/// ```
struct OffloadMessage: Equatable {
    static let length = 60
    private static let destination = MACAddress(rawValue: 0x0180_c200_000e)
    private static let magic: UInt32 = 0x5244_4e54
    private static let version: UInt8 = 1

    enum Kind: UInt8 {
        /// The guest end offers its capabilities; plain frames continue.
        case offer = 1
        /// The host end replies with the common capabilities; its next frame is extended.
        case accept = 2
        /// The guest end confirms; its next frame is extended.
        case start = 3
    }

    var kind: Kind
    var capabilities: OffloadCapabilities
    /// The largest frame that the sender accepts, in bytes.
    var maximumFrame: Int
    /// The sender's subnet; two ends with different subnets cannot work together.
    var subnet: Subnet

    init(kind: Kind, capabilities: OffloadCapabilities, maximumFrame: Int, subnet: Subnet) {
        self.kind = kind
        self.capabilities = capabilities
        self.maximumFrame = maximumFrame
        self.subnet = subnet
    }

    /// Reads a frame.
    ///
    /// - Throws: `PacketError.notThisFormat` for every frame that is not a negotiation message.
    init(reading frame: RawSpan) throws(PacketError) {
        guard frame.byteCount >= Self.length,
            MACAddress(reading: frame, at: 0) == Self.destination,
            frame.bigEndian(at: 12, as: UInt16.self) == EthernetHeader.Kind.experimental,
            frame.bigEndian(at: 14, as: UInt32.self) == Self.magic,
            frame.octet(at: 18) == Self.version, let kind = Kind(rawValue: frame.octet(at: 19)),
            let subnet = Subnet(
                address: IPAddress(ipv4: frame.bigEndian(at: 26)),
                prefixLength: Int(frame.octet(at: 30))
            )
        else { throw .notThisFormat }
        self.kind = kind
        self.subnet = subnet
        capabilities = OffloadCapabilities(rawValue: frame.bigEndian(at: 20)).intersection(.all)
        maximumFrame = Int(frame.bigEndian(at: 22, as: UInt32.self))
    }

    /// Writes the frame, 60 bytes.
    func write(to frame: inout MutableRawSpan, source: MACAddress) {
        for offset in 0..<Self.length { frame.storeOctet(0, at: offset) }
        EthernetHeader(
            destination: Self.destination,
            source: source,
            kind: EthernetHeader.Kind.experimental
        ).write(to: &frame)
        frame.storeBigEndian(Self.magic, at: 14)
        frame.storeOctet(Self.version, at: 18)
        frame.storeOctet(kind.rawValue, at: 19)
        frame.storeBigEndian(capabilities.rawValue, at: 20)
        frame.storeBigEndian(UInt32(truncatingIfNeeded: maximumFrame), at: 22)
        frame.storeBigEndian(UInt32(truncatingIfNeeded: subnet.address.low), at: 26)
        frame.storeOctet(UInt8(truncatingIfNeeded: subnet.prefixLength), at: 30)
    }
}
