internal import CLinux
internal import Glibc

/// The kernel's randomness, fetched 256 octets at a time.
///
/// See getrandom(2).
struct SystemRandom: RandomNumberGenerator {
    private static let batch = 32

    private var words = [UInt64](repeating: 0, count: batch)
    private var used = batch

    mutating func next() -> UInt64 {
        if used == Self.batch { refill() }
        used += 1
        return words[used - 1]
    }

    private mutating func refill() {
        let size = Self.batch * MemoryLayout<UInt64>.size
        words.withUnsafeMutableBytes { octets in
            // Sound: the pointer and the size are one array's. Up to 256 octets come whole or not
            // at all, and once the system is up the call cannot fail but by a signal.
            while getrandom(octets.baseAddress, size, 0) != size {
                precondition(errno == EINTR, "getrandom: errno \(errno)")
            }
        }
        used = 0
    }
}
