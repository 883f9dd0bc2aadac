/// The feature bits of a virtio network device (virtio 1.2, sections 5.1.3 and 6).
struct VirtioFeatures: OptionSet, Equatable, Sendable {
    let rawValue: UInt64

    /// The guest may leave checksums to the device.
    static let checksum = bit(0)
    /// The guest accepts frames with unfinished checksums.
    static let guestChecksum = bit(1)
    static let guestTCPIPv4 = bit(7)
    static let guestTCPIPv6 = bit(8)
    static let hostTCPIPv4 = bit(11)
    static let hostTCPIPv6 = bit(12)
    /// Large segments from the guest may have ECN bits.
    static let hostECN = bit(13)
    /// A frame to the guest may fill several of its buffers.
    static let mergeableBuffers = bit(15)
    /// A descriptor may lead to a table of descriptors.
    static let indirectDescriptors = bit(28)
    /// Each side says from which index on it wants to be notified.
    static let eventIndex = bit(29)
    /// The front end knows `VhostProtocolFeatures`.
    static let protocolFeatures = bit(30)
    /// The layout of virtio 1.0 and later.
    static let version1 = bit(32)
    static let guestUSOIPv4 = bit(54)
    static let guestUSOIPv6 = bit(55)
    static let hostUSO = bit(56)

    /// What this end supports.
    ///
    /// Without F_LOG_ALL, a front end does not migrate its guest live. F_MTU is missing, because
    /// not all front ends have the configuration that belongs to it; guests learn the MTU by DHCP.
    static let offered: VirtioFeatures = [
        .checksum, .guestChecksum, .guestTCPIPv4, .guestTCPIPv6, .hostTCPIPv4, .hostTCPIPv6,
        .hostECN, .mergeableBuffers, .indirectDescriptors, .eventIndex, .protocolFeatures,
        .version1, .guestUSOIPv4, .guestUSOIPv6, .hostUSO,
    ]

    /// The offloads that frames to the guest may leave to it.
    var guestCapabilities: OffloadCapabilities {
        // Segments without a checksum make no sense (5.1.3.1), so the others depend on it.
        guard contains(.guestChecksum) else { return [] }
        var capabilities: OffloadCapabilities = .checksum
        if contains(.guestTCPIPv4) { capabilities.insert(.tcpIPv4) }
        if contains(.guestTCPIPv6) { capabilities.insert(.tcpIPv6) }
        if isSuperset(of: [.guestUSOIPv4, .guestUSOIPv6]) { capabilities.insert(.udp) }
        return capabilities
    }

    /// The length of the header before each frame: with `num_buffers`, or as old guests have it.
    var headerLength: Int {
        let hasCount = contains(.version1) || contains(.mergeableBuffers)
        return hasCount ? VirtioNetHeader.length + 2 : VirtioNetHeader.length
    }

    private static func bit(_ number: UInt64) -> VirtioFeatures {
        VirtioFeatures(rawValue: 1 << number)
    }
}

/// The extensions of the vhost-user protocol itself.
struct VhostProtocolFeatures: OptionSet, Equatable, Sendable {
    let rawValue: UInt64

    /// The front end may request an answer to every message.
    static let replyAcknowledgment = VhostProtocolFeatures(rawValue: 1 << 3)

    static let offered: VhostProtocolFeatures = .replyAcknowledgment
}
