/// The head of a vhost-user message: 12 bytes in the host's byte order, little-endian here.
///
/// ```
///  0  request
///  4  flags: 0...1 version 1, 2 reply, 3 the sender wants a reply
///  8  payload's length in bytes
/// ```
struct VhostHeader: Equatable {
    static let length = 12
    /// The longest payload that is read: eight memory regions.
    static let maximumPayload = 8 + VhostMemoryRegion.maximumCount * VhostMemoryRegion.length

    var request: UInt32
    var wantsReply: Bool
    var payloadLength: Int

    init(reading octets: RawSpan) throws(PacketError) {
        guard octets.byteCount >= Self.length else {
            throw .truncated(needed: Self.length, available: octets.byteCount)
        }
        request = octets.littleEndian(at: 0)
        let flags = octets.littleEndian(at: 4, as: UInt32.self)
        guard flags & 3 == 1, flags & 4 == 0 else { throw .notThisFormat }
        wantsReply = flags & 8 != 0
        payloadLength = Int(octets.littleEndian(at: 8, as: UInt32.self))
        guard payloadLength <= Self.maximumPayload else {
            throw .badLength(field: payloadLength, available: Self.maximumPayload)
        }
    }
}

/// A range of the guest's memory, a part of a file.
struct VhostMemoryRegion: Equatable {
    static let length = 32
    static let maximumCount = 8

    var guestAddress: UInt64
    var size: UInt64
    /// Where the front end has mapped it; ring addresses are relative to this.
    var frontEndAddress: UInt64
    var fileOffset: UInt64

    init(reading octets: RawSpan, at offset: Int) {
        guestAddress = octets.littleEndian(at: offset)
        size = octets.littleEndian(at: offset + 8)
        frontEndAddress = octets.littleEndian(at: offset + 16)
        fileOffset = octets.littleEndian(at: offset + 24)
    }
}

/// Where a ring lies, in addresses of the front end.
struct VhostRingAddresses: Equatable {
    var descriptors: UInt64
    var used: UInt64
    var available: UInt64
}

/// A message from the front end.
///
/// See QEMU's docs/interop/vhost-user.rst. A descriptor may come with some of them.
enum VhostRequest: Equatable {
    case getFeatures
    case setFeatures(VirtioFeatures)
    /// SET_OWNER, and RESET_OWNER, which changes nothing.
    case setOwner
    case setMemory([VhostMemoryRegion])
    case setRingSize(ring: Int, size: Int)
    case setRingAddresses(ring: Int, VhostRingAddresses)
    case setRingBase(ring: Int, index: UInt16)
    case getRingBase(ring: Int)
    case setKick(ring: Int, hasDescriptor: Bool)
    case setCall(ring: Int, hasDescriptor: Bool)
    case setError(ring: Int)
    case getProtocolFeatures
    case setProtocolFeatures(VhostProtocolFeatures)
    case setRingEnabled(ring: Int, Bool)
    /// A request for the device's configuration, which front ends should not send unasked; crosvm
    /// does, and waits for the answer.
    case getConfiguration
    /// A request that this end did not offer to answer.
    case other(UInt32)

    /// Reads a message.
    ///
    /// - Parameters:
    ///   - header: The message's head.
    ///   - payload: Exactly the payload.
    /// - Throws: `PacketError` if the payload is not that of the request.
    init(_ header: VhostHeader, _ payload: RawSpan) throws(PacketError) {
        switch header.request {
        case 1: self = .getFeatures
        case 2: self = .setFeatures(VirtioFeatures(rawValue: try Self.word(payload)))
        case 3, 4: self = .setOwner
        case 5: self = .setMemory(try Self.regions(payload))
        case 8:
            let (ring, size) = try Self.state(payload)
            self = .setRingSize(ring: ring, size: size)
        case 9: self = try Self.addresses(payload)
        case 10:
            let (ring, index) = try Self.state(payload)
            // The upper half is for packed rings, which are not offered.
            self = .setRingBase(ring: ring, index: UInt16(truncatingIfNeeded: index))
        case 11: self = .getRingBase(ring: try Self.state(payload).ring)
        case 12:
            let (ring, hasDescriptor) = try Self.notifier(payload)
            self = .setKick(ring: ring, hasDescriptor: hasDescriptor)
        case 13:
            let (ring, hasDescriptor) = try Self.notifier(payload)
            self = .setCall(ring: ring, hasDescriptor: hasDescriptor)
        case 14: self = .setError(ring: try Self.notifier(payload).ring)
        case 15: self = .getProtocolFeatures
        case 16:
            let features = VhostProtocolFeatures(rawValue: try Self.word(payload))
            self = .setProtocolFeatures(features)
        case 18:
            let (ring, number) = try Self.state(payload)
            self = .setRingEnabled(ring: ring, number != 0)
        case 24: self = .getConfiguration
        default: self = .other(header.request)
        }
    }

    private static func check(_ payload: RawSpan, _ length: Int) throws(PacketError) {
        guard payload.byteCount >= length else {
            throw .truncated(needed: length, available: payload.byteCount)
        }
    }

    private static func word(_ payload: RawSpan) throws(PacketError) -> UInt64 {
        try check(payload, 8)
        return payload.littleEndian(at: 0)
    }

    /// A ring's number and another one.
    private static func state(_ payload: RawSpan) throws(PacketError) -> (ring: Int, number: Int) {
        try check(payload, 8)
        return (
            Int(payload.littleEndian(at: 0, as: UInt32.self)),
            Int(payload.littleEndian(at: 4, as: UInt32.self))
        )
    }

    /// A ring's number in the low 8 bits; bit 8 says that no descriptor comes along.
    private static func notifier(
        _ payload: RawSpan
    ) throws(PacketError) -> (ring: Int, hasDescriptor: Bool) {
        let word = try word(payload)
        return (Int(word & 0xff), word & 0x100 == 0)
    }

    private static func addresses(_ payload: RawSpan) throws(PacketError) -> VhostRequest {
        try check(payload, 40)
        return .setRingAddresses(
            ring: Int(payload.littleEndian(at: 0, as: UInt32.self)),
            VhostRingAddresses(
                descriptors: payload.littleEndian(at: 8),
                used: payload.littleEndian(at: 16),
                available: payload.littleEndian(at: 24)
            )
        )
    }

    private static func regions(_ payload: RawSpan) throws(PacketError) -> [VhostMemoryRegion] {
        try check(payload, 8)
        let count = Int(payload.littleEndian(at: 0, as: UInt32.self))
        guard count <= VhostMemoryRegion.maximumCount,
            8 + count * VhostMemoryRegion.length <= payload.byteCount
        else { throw .badLength(field: count, available: payload.byteCount) }
        return (0..<count).map {
            VhostMemoryRegion(reading: payload, at: 8 + $0 * VhostMemoryRegion.length)
        }
    }
}

/// An answer to the front end.
struct VhostReply: Equatable {
    var request: UInt32
    var payload: [UInt8]

    /// The answer to a request for one number, or whether a message was carried out: 0.
    init(to header: VhostHeader, _ number: UInt64) {
        request = header.request
        payload = number.littleEndianOctets
    }

    /// The answer that `getConfiguration` failed: an empty one.
    init(refusing header: VhostHeader) {
        request = header.request
        payload = []
    }

    /// The answer to `getRingBase`.
    init(to header: VhostHeader, ring: Int, index: UInt16) {
        request = header.request
        payload =
            UInt32(truncatingIfNeeded: ring).littleEndianOctets + UInt32(index).littleEndianOctets
    }

    var octets: [UInt8] {
        request.littleEndianOctets + (5 as UInt32).littleEndianOctets
            + UInt32(truncatingIfNeeded: payload.count).littleEndianOctets + payload
    }
}
