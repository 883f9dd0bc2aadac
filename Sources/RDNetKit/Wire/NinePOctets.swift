/// The fields of a 9P message, in their order: little-endian integers, and strings after their
/// 16-bit length (intro(5) of Plan 9).
struct NinePFields {
    private var octets: ArraySlice<UInt8>

    init(_ octets: ArraySlice<UInt8>) {
        self.octets = octets
    }

    /// The number of octets that are left.
    var count: Int { octets.count }

    /// Reads an integer.
    ///
    /// - Throws: `PacketError.truncated`.
    mutating func integer<Value: FixedWidthInteger & UnsignedInteger>(
        _ type: Value.Type = Value.self
    ) throws(PacketError) -> Value {
        let bytes = try take(Value.bitWidth / 8)
        return bytes.reversed().reduce(0) { $0 << 8 | Value($1) }
    }

    /// Reads a string; octets that are not UTF-8 become replacement characters.
    ///
    /// - Throws: `PacketError.truncated`.
    mutating func text() throws(PacketError) -> String {
        let length = try integer(UInt16.self)
        return String(decoding: try take(Int(length)), as: UTF8.self)
    }

    /// Reads octets.
    ///
    /// - Throws: `PacketError.truncated`.
    mutating func take(_ count: Int) throws(PacketError) -> ArraySlice<UInt8> {
        guard octets.count >= count else {
            throw .truncated(needed: count, available: octets.count)
        }
        defer { octets = octets.dropFirst(count) }
        return octets.prefix(count)
    }
}

extension [UInt8] {
    /// Appends a little-endian integer.
    mutating func append9P(_ value: some FixedWidthInteger & UnsignedInteger) {
        self += value.littleEndianOctets
    }

    /// Appends a string after its length; the rest of one with more than 65,535 octets is cut off.
    mutating func append9P(_ text: String) {
        let octets = text.utf8.prefix(Int(UInt16.max))
        append9P(UInt16(truncatingIfNeeded: octets.count))
        append(contentsOf: octets)
    }
}
