/// Why octets from a wire were not accepted.
///
/// A packet that throws one of these is dropped and counted.
enum PacketError: Error, Equatable {
    /// Fewer octets than the format's fixed part.
    case truncated(needed: Int, available: Int)
    /// A length field that contradicts the octets that are there.
    case badLength(field: Int, available: Int)
    /// A version, type or magic number of another format.
    case notThisFormat
    /// The Internet checksum does not add up.
    case badChecksum
}

extension RawSpan {
    /// Reads one big-endian integer; traps beyond the end, so check the length once before.
    @inline(__always)
    func bigEndian<Value: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int,
        as type: Value.Type = Value.self
    ) -> Value {
        // Sound: integers have no invalid bit patterns, and the load is bounds-checked.
        Value(bigEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: Value.self))
    }

    /// Reads one octet.
    @inline(__always)
    func octet(at offset: Int) -> UInt8 {
        // Sound: as above.
        unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }

    /// The octets of a range, copied out.
    func array(_ range: Range<Int>) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
            for index in 0..<range.count {
                buffer[index] = octet(at: range.lowerBound + index)
            }
            count = range.count
        }
    }
}

extension MutableRawSpan {
    /// Writes one big-endian integer; traps beyond the end.
    @inline(__always)
    mutating func storeBigEndian<Value: FixedWidthInteger & BitwiseCopyable>(
        _ value: Value,
        at offset: Int
    ) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: Value.self)
    }

    /// Writes one octet.
    @inline(__always)
    mutating func storeOctet(_ value: UInt8, at offset: Int) {
        storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
    }

    /// Copies an array of octets in.
    mutating func store(_ octets: [UInt8], at offset: Int) {
        for (index, octet) in octets.enumerated() {
            storeOctet(octet, at: offset + index)
        }
    }
}
