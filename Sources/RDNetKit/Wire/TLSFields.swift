/// The fields of a TLS message in their order: integers, and vectors after their length (RFC 8446,
/// section 3).
struct TLSFields {
    private var octets: ArraySlice<UInt8>

    init(_ octets: ArraySlice<UInt8>) {
        self.octets = octets
    }

    var isEmpty: Bool { octets.isEmpty }
    var count: Int { octets.count }
    /// All bytes that are left.
    var rest: ArraySlice<UInt8> { octets }

    /// Reads an integer of 1 to 3 bytes.
    mutating func integer(bytes count: Int) throws(TLSHelloError) -> Int {
        try take(count).reduce(0) { $0 << 8 | Int($1) }
    }

    /// Reads a fixed number of bytes.
    @discardableResult
    mutating func take(_ count: Int) throws(TLSHelloError) -> ArraySlice<UInt8> {
        guard octets.count >= count else { throw .badLength }
        defer { octets = octets.dropFirst(count) }
        return octets.prefix(count)
    }

    /// Reads a vector after its length field, whose size and permitted values its definition gives.
    mutating func vector(
        lengthBytes: Int,
        _ range: ClosedRange<Int>
    ) throws(TLSHelloError) -> TLSFields {
        let length = try integer(bytes: lengthBytes)
        guard range.contains(length) else { throw .badLength }
        return TLSFields(try take(length))
    }
}
