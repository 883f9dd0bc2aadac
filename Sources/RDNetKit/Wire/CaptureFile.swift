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

    /// Finds the last record that is complete within a number of octets.
    ///
    /// - Parameters:
    ///   - octets: Whole records.
    ///   - count: How many of the octets count.
    /// - Returns: The octets and the number of the records that end within `count`, and the octets
    ///   up to the end of the record that is cut there.
    static func wholeRecords(
        in octets: ArraySlice<UInt8>,
        within count: Int
    ) -> (octets: Int, records: Int, nextEnd: Int) {
        var (end, records) = (0, 0)
        while octets.count - end >= recordHeaderLength {
            let field = octets.startIndex + end + 8
            let length = (0..<4).reduce(0) { $0 | Int(octets[field + $1]) << (8 * $1) }
            let next = min(end + recordHeaderLength + length, octets.count)
            guard next <= count else { return (end, records, next) }
            (end, records) = (next, records + 1)
        }
        return (end, records, end)
    }

    private static func append(_ value: UInt32, to octets: inout [UInt8]) {
        for shift in stride(from: 0, to: 32, by: 8) {
            octets.append(UInt8(truncatingIfNeeded: value >> UInt32(shift)))
        }
    }
}
