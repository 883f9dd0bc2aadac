/// Scratch memory that one read fills and its caller empties before the next.
final class ReceiveBuffer {
    /// As long as the longest datagram.
    static let size = 65_536

    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)

    deinit {
        memory.deallocate()
    }

    /// The first octets, copied out.
    func prefix(_ count: Int) -> [UInt8] {
        // Sound: the kernel wrote these octets, and an array copies them.
        [UInt8](memory[..<count])
    }
}
