import Glibc

/// An endless pattern of bytes, started at any offset, that reveals misplaced data.
enum StreamPattern {
    /// A prime larger than most segments, so that a segment in the wrong place is detected.
    private static let period = 65_521
    /// Limit on the length of one slice.
    static let longest = 1 << 18

    private static let table: [UInt8] = {
        var state: UInt32 = 0x9e37_79b9
        let first = (0..<period).map { _ -> UInt8 in
            state ^= state << 13
            state ^= state >> 17
            state ^= state << 5
            return UInt8(truncatingIfNeeded: state >> 11)
        }
        return (0..<(period + longest)).map { first[$0 % period] }
    }()

    /// Passes the bytes at an offset of the pattern to `body`, at most `longest`.
    static func lend<Result>(
        at offset: Int,
        _ count: Int,
        _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        let start = offset % period
        return table.withUnsafeBytes {
            body(UnsafeRawBufferPointer(rebasing: $0[start..<(start + min(count, longest))]))
        }
    }

    /// Whether bytes, at most `longest`, equal those at an offset of the pattern.
    static func matches(_ octets: UnsafeRawBufferPointer, at offset: Int) -> Bool {
        guard let first = octets.baseAddress else { return true }
        return lend(at: offset, octets.count) { expected in
            guard let other = expected.baseAddress else { return false }
            return expected.count == octets.count && memcmp(first, other, octets.count) == 0
        }
    }
}
