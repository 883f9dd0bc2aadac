/// The classic capture file format, version 2.4, microseconds, little-endian
/// (draft-ietf-opsawg-pcap).
enum CaptureFile {
    static let headerLength = 24
    static let recordHeaderLength = 16
    /// LINKTYPE_ETHERNET.
    private static let linkType: UInt32 = 1

    /// The file's header: 24 octets.
    static func header() -> [UInt8] {
        var octets: [UInt8] = []
        append(0xa1b2_c3d4, to: &octets)
        octets += [2, 0, 4, 0]
        append(0, to: &octets)
        append(0, to: &octets)
        append(UInt32(1 << 18), to: &octets)
        append(linkType, to: &octets)
        return octets
    }

    /// A record's header: 16 octets.
    ///
    /// - Parameters:
    ///   - microseconds: Since 1970.
    ///   - length: Octets of the frame, all of which follow.
    /// - Returns: The octets.
    static func recordHeader(microseconds: Int64, length: Int) -> [UInt8] {
        var octets: [UInt8] = []
        append(UInt32(truncatingIfNeeded: microseconds / 1_000_000), to: &octets)
        append(UInt32(truncatingIfNeeded: microseconds % 1_000_000), to: &octets)
        append(UInt32(truncatingIfNeeded: length), to: &octets)
        append(UInt32(truncatingIfNeeded: length), to: &octets)
        return octets
    }

    private static func append(_ value: UInt32, to octets: inout [UInt8]) {
        for shift in stride(from: 0, to: 32, by: 8) {
            octets.append(UInt8(truncatingIfNeeded: value >> UInt32(shift)))
        }
    }
}
