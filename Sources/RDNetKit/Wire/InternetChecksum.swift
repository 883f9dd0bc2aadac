/// The Internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit
/// words.
///
/// Sums are kept in memory order, without swapping octets: RFC 1071, section 2 (B) shows that
/// swapping the result once is enough.
enum InternetChecksum {
    /// Adds octets to a running sum of native-order 16-bit words.
    ///
    /// - Parameters:
    ///   - octets: Any number; an odd last octet is padded with zero.
    ///   - initial: A sum from before, of an even number of octets.
    /// - Returns: An unfolded sum.
    static func sum(_ octets: UnsafeRawBufferPointer, adding initial: UInt64 = 0) -> UInt64 {
        var total = initial
        var offset = 0
        let count = octets.count
        if count >= 64 {
            // Two accumulators of eight lanes each; a lane adds two 32-bit halves, so it cannot
            // overflow before 2^31 rounds, which is 128 GiB.
            var first = SIMD8<UInt64>.zero
            var second = SIMD8<UInt64>.zero
            let mask = SIMD8<UInt64>(repeating: 0xffff_ffff)
            while count - offset >= 64 {
                // Sound: the loop keeps 64 octets ahead, and integer lanes have no invalid
                // patterns.
                let block = octets.loadUnaligned(fromByteOffset: offset, as: SIMD8<UInt64>.self)
                first &+= block & mask
                second &+= block &>> 32
                offset += 64
            }
            total &+= fold32(first.wrappedSum()) &+ fold32(second.wrappedSum())
        }
        while count - offset >= 4 {
            total &+= UInt64(octets.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            offset += 4
        }
        if count - offset >= 2 {
            total &+= UInt64(octets.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
            offset += 2
        }
        if offset < count {
            total &+= UInt64(UInt16(octets[offset]).littleEndian)
        }
        return total
    }

    /// Folds a sum into 16 bits and swaps it into host order.
    @inline(__always)
    static func fold(_ sum: UInt64) -> UInt16 {
        var folded = (sum & 0xffff_ffff) &+ (sum >> 32)
        folded = (folded & 0xffff) &+ (folded >> 16)
        folded = (folded & 0xffff) &+ (folded >> 16)
        folded = (folded & 0xffff) &+ (folded >> 16)
        return UInt16(truncatingIfNeeded: folded).bigEndian
    }

    /// The checksum field, host order, over octets whose checksum field holds zero.
    static func checksum(_ octets: UnsafeRawBufferPointer, adding initial: UInt64 = 0) -> UInt16 {
        ~fold(sum(octets, adding: initial))
    }

    /// The sum of a pseudo-header (RFC 9293, 3.1; RFC 768), unfolded, in the order `sum` uses.
    ///
    /// - Parameters:
    ///   - source: Of the same family as `destination`.
    ///   - destination: The final destination.
    ///   - transport: The IP protocol number.
    ///   - length: Octets of transport header and payload.
    /// - Returns: An unfolded sum, to go on with.
    @inline(__always)
    static func pseudoHeaderSum(
        source: IPAddress,
        destination: IPAddress,
        transport: UInt8,
        length: Int
    ) -> UInt64 {
        var total: UInt64 = 0
        if source.isIPv4 {
            total &+= UInt64(UInt32(truncatingIfNeeded: source.low).bigEndian)
            total &+= UInt64(UInt32(truncatingIfNeeded: destination.low).bigEndian)
        } else {
            for half in [source.high, source.low, destination.high, destination.low] {
                total &+= fold32(half.bigEndian)
            }
        }
        total &+= UInt64(UInt16(transport).bigEndian)
        total &+= UInt64(UInt32(truncatingIfNeeded: length).bigEndian)
        return total
    }

    @inline(__always)
    private static func fold32(_ sum: UInt64) -> UInt64 {
        (sum & 0xffff_ffff) &+ (sum >> 32)
    }
}
