/// Scratch memory that one read fills and its caller empties before the next.
final class ReceiveBuffer {
    /// Large enough for the longest datagram.
    static let size = 65_536

    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)

    deinit {
        memory.deallocate()
    }

    /// A copy of the first bytes.
    func prefix(_ count: Int) -> [UInt8] {
        // Sound: the kernel wrote these bytes, and the array copies them.
        [UInt8](memory[..<count])
    }
}
