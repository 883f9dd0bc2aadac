/// The ring with frames from a guest.
final class VirtioInput {
    private var ring: VirtioRing

    init(_ ring: consuming VirtioRing) {
        self.ring = ring
    }

    /// The available entry to take next.
    var next: UInt16 { ring.next }

    /// Copies the next chain and gives it back to the guest.
    ///
    /// - Parameters:
    ///   - room: For the bytes; what does not fit is not copied.
    ///   - memory: The guest's.
    /// - Returns: The chain's length in bytes, also beyond the room; nil if none is available.
    /// - Throws: `VirtioFault`.
    @inline(__always)
    func take(
        into room: UnsafeMutableRawBufferPointer,
        from memory: GuestMemory
    ) throws(VirtioFault) -> Int? {
        guard try ring.hasAvailable() else { return nil }
        var chain = try ring.takeChain()
        var length = 0
        while let descriptor = try chain.next(in: memory) {
            guard !descriptor.isWritable else { throw .wrongDirection }
            try Self.copy(descriptor, from: memory, to: room, at: length)
            length += descriptor.count
        }
        ring.putUsed(chain.head, written: 0)
        ring.publish(1)
        return length
    }

    /// Copies a buffer, which may be in several regions.
    @inline(__always)
    private static func copy(
        _ descriptor: VirtioDescriptor,
        from memory: GuestMemory,
        to room: UnsafeMutableRawBufferPointer,
        at offset: Int
    ) throws(VirtioFault) {
        var (address, rest, offset) = (descriptor.address, descriptor.count, offset)
        while rest > 0 {
            guard let part = memory.part(at: address, rest) else {
                throw .outsideMemory(address: address, length: rest)
            }
            let count = min(part.count, max(room.count - offset, 0))
            if count > 0 {
                UnsafeMutableRawBufferPointer(rebasing: room[offset..<(offset + count)])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: part[..<count]))
            }
            offset += part.count
            rest -= part.count
            // Checked: a region's end does not overflow.
            address += UInt64(part.count)
        }
    }

    /// Whether the guest has to be notified that its frames were taken.
    func needsNotification() -> Bool { ring.needsNotification() }

    /// Lets the guest notify this end of the next frame.
    ///
    /// - Returns: Whether it does; false if frames are already available.
    func awaitKick() throws(VirtioFault) -> Bool { try ring.awaitKick() == 0 }

    func refuseKicks() { ring.refuseKicks() }
}
