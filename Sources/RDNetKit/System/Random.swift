internal import CLinux
internal import Glibc

/// The kernel's random numbers, read 256 bytes at a time.
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
            // Sound: the pointer and the size belong to one array. The kernel never returns part of
            // a request of up to 256 bytes, and once the system is up, only a signal can make the
            // call fail.
            while getrandom(octets.baseAddress, size, 0) != size {
                precondition(errno == EINTR, "getrandom: errno \(errno)")
            }
        }
        used = 0
    }
}
