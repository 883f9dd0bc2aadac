/// An Ethernet address: six octets in the low 48 bits, the first octet highest.
struct MACAddress: Hashable, Sendable {
    /// The address as a number below 2^48.
    let rawValue: UInt64

    static let broadcast = MACAddress(rawValue: 0xffff_ffff_ffff)
    /// The gateway's address, and the guest's, in every peer product.
    static let standardGateway = MACAddress(rawValue: 0x5a94_efe4_0cdd)
    static let standardGuest = MACAddress(rawValue: 0x5a94_efe4_0cee)

    @inline(__always)
    init(rawValue: UInt64) {
        self.rawValue = rawValue & 0xffff_ffff_ffff
    }

    /// A locally administered unicast address (IEEE 802, 8.4: the second lowest bit).
    static func local(using random: inout some RandomNumberGenerator) -> MACAddress {
        MACAddress(rawValue: random.next() & 0xfcff_ffff_ffff | 0x0200_0000_0000)
    }

    /// Reads six octets; traps beyond the end.
    @inline(__always)
    init(reading octets: RawSpan, at offset: Int) {
        let high = UInt64(octets.bigEndian(at: offset, as: UInt16.self))
        let low = UInt64(octets.bigEndian(at: offset + 2, as: UInt32.self))
        rawValue = high << 32 | low
    }

    /// Parses `5a:94:ef:e4:0c:ee`; also with `-`, any case.
    init?(_ text: some StringProtocol) {
        let parts = text.split(omittingEmptySubsequences: false) { $0 == ":" || $0 == "-" }
        guard parts.count == 6 else { return nil }
        var value: UInt64 = 0
        for part in parts {
            guard part.utf8.count == 2, !part.hasPrefix("+"), let octet = UInt8(part, radix: 16)
            else {
                return nil
            }
            value = value << 8 | UInt64(octet)
        }
        rawValue = value
    }

    /// Writes six octets; traps beyond the end.
    @inline(__always)
    func write(to octets: inout MutableRawSpan, at offset: Int) {
        octets.storeBigEndian(UInt16(truncatingIfNeeded: rawValue >> 32), at: offset)
        octets.storeBigEndian(UInt32(truncatingIfNeeded: rawValue), at: offset + 2)
    }

    /// Whether it is a group address (IEEE 802.3, the first byte's lowest bit), which is never a
    /// source.
    @inline(__always)
    var isGroup: Bool { rawValue & 0x0100_0000_0000 != 0 }

    /// The six octets in wire order.
    var octets: [UInt8] {
        (0..<6).map { UInt8(truncatingIfNeeded: rawValue >> (40 - 8 * UInt64($0))) }
    }
}

extension MACAddress: CustomStringConvertible {
    /// Lower-case, colons: `5a:94:ef:e4:0c:ee`.
    var description: String {
        octets.map { $0.hexadecimal }.joined(separator: ":")
    }
}

extension UInt8 {
    /// Two lower-case hexadecimal digits.
    var hexadecimal: String {
        (self < 16 ? "0" : "") + String(self, radix: 16)
    }
}
