/// Why bytes from the wire were rejected.
///
/// A packet that throws one of these is dropped and counted.
enum PacketError: Error, Equatable {
    /// Fewer bytes than the format's fixed part.
    case truncated(needed: Int, available: Int)
    /// A length field that contradicts the available bytes.
    case badLength(field: Int, available: Int)
    /// A version, type or magic number of a different format.
    case notThisFormat
    /// A wrong Internet checksum.
    case badChecksum
}

extension RawSpan {
    /// Reads one big-endian integer; traps beyond the end, so callers check the length first.
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

    /// A copy of a range's bytes.
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

extension FixedWidthInteger {
    /// The bytes, the least significant one first.
    var littleEndianOctets: [UInt8] {
        (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: self >> ($0 * 8)) }
    }

    /// The bytes, the most significant one first.
    var bigEndianOctets: [UInt8] { littleEndianOctets.reversed() }
}
