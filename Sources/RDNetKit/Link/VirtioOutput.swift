/// The ring with buffers for frames to a guest.
///
/// How it works: `gather` takes as many chains as a frame needs, checks them, and keeps their
/// buffers in a list of its own. `write` fills them in sequence. Chains that a shorter frame did
/// not need stay in the list for the next one.
final class VirtioOutput {
    /// Whether a frame finds room.
    enum Room {
        case ready
        /// Not before the guest provides more buffers.
        case later
        /// Never: the guest's buffers are smaller than the frame, and it does not merge them.
        case never
    }

    /// A chain that was taken, and where its buffers end in the list.
    private struct Chain {
        var head: UInt16
        var length: Int
        var endOfParts: Int
    }

    private var ring: VirtioRing
    private let merges: Bool
    private let parts: UnsafeMutableBufferPointer<UnsafeMutableRawBufferPointer>
    private let chains: UnsafeMutableBufferPointer<Chain>
    private var partCount = 0
    private var chainCount = 0
    /// The chains and parts at the front that were used already.
    private var usedParts = 0
    private var usedChains = 0
    /// The length of the chains that wait, in bytes.
    private var length = 0
    private var mostBuffers = 0

    /// Takes up a ring.
    ///
    /// - Parameters:
    ///   - ring: The ring.
    ///   - merges: Whether a frame may fill several chains.
    init(_ ring: consuming VirtioRing, merges: Bool) {
        self.merges = merges
        chains = .allocate(capacity: ring.size)
        // Room for a chain of any length after all those that one frame needs.
        parts = .allocate(capacity: 2 * ring.size + Self.maximumRegions)
        self.ring = ring
    }

    deinit {
        chains.deallocate()
        parts.deallocate()
    }

    private static let maximumRegions = VhostMemoryRegion.maximumCount

    /// How many chains remain for frames of a higher priority.
    ///
    /// A guest that does not merge buffers may have few chains of many descriptors each.
    var spare: Int { merges ? ring.size / 16 : 1 }

    /// The available entry to take next, if what was only gathered is given back.
    var next: UInt16 { ring.next &- UInt16(truncatingIfNeeded: chainCount - usedChains) }

    /// Whether a number of frames of a packet each find buffers.
    ///
    /// Half of the most buffers that the guest ever provided must do, because it may never provide
    /// more than that.
    func hasBuffers(for packets: Int, keeping spare: Int) throws(VirtioFault) -> Bool {
        let count = try ring.countAvailable() + chainCount - usedChains
        mostBuffers = max(mostBuffers, count)
        return count > min(spare + packets, mostBuffers / 2)
    }

    /// Takes chains until one frame fits.
    ///
    /// - Parameters:
    ///   - count: The length of the frame with its header, in bytes.
    ///   - spare: How many chains must remain for frames of a higher priority.
    ///   - memory: The guest's.
    /// - Returns: Whether the frame fits.
    /// - Throws: `VirtioFault`.
    @inline(__always)
    func gather(
        _ count: Int,
        keeping spare: Int,
        from memory: GuestMemory
    ) throws(VirtioFault) -> Room {
        if !merges, usedChains < chainCount {
            return chains[usedChains].length >= count ? .ready : .never
        }
        while length < count {
            let available = try ring.countAvailable()
            mostBuffers = max(mostBuffers, available + chainCount - usedChains)
            // As in `hasBuffers`: the guest may never provide more than it did.
            guard available > min(spare, mostBuffers / 2) else { return .later }
            try take(from: memory)
            if !merges { return length >= count ? .ready : .never }
        }
        return .ready
    }

    @inline(__always)
    private func take(from memory: GuestMemory) throws(VirtioFault) {
        if usedChains == chainCount {
            (usedChains, chainCount, usedParts, partCount) = (0, 0, 0, 0)
        }
        if chainCount == chains.count { compact() }
        // More than the ring has: the guest provided buffers twice.
        guard chainCount < chains.count else { throw .tinyBuffers }
        var chain = try ring.takeChain()
        var total = 0
        while let descriptor = try chain.next(in: memory) {
            guard descriptor.isWritable else { throw .wrongDirection }
            try append(descriptor, from: memory)
            total += descriptor.count
        }
        chains[chainCount] = Chain(head: chain.head, length: total, endOfParts: partCount)
        chainCount += 1
        length += total
    }

    @inline(__always)
    private func append(
        _ descriptor: VirtioDescriptor,
        from memory: GuestMemory
    ) throws(VirtioFault) {
        var (address, rest) = (descriptor.address, descriptor.count)
        while rest > 0 {
            guard let part = memory.part(at: address, rest) else {
                throw .outsideMemory(address: address, length: rest)
            }
            if partCount == parts.count { compact() }
            guard partCount < parts.count else { throw .tinyBuffers }
            parts[partCount] = part
            partCount += 1
            rest -= part.count
            // Checked: a region's end does not overflow.
            address += UInt64(part.count)
        }
    }

    /// Moves what waits to the front of the lists.
    private func compact() {
        for index in usedParts..<partCount { parts[index - usedParts] = parts[index] }
        for index in usedChains..<chainCount {
            chains[index - usedChains] = chains[index]
            chains[index - usedChains].endOfParts -= usedParts
        }
        (partCount, chainCount) = (partCount - usedParts, chainCount - usedChains)
        (usedParts, usedChains) = (0, 0)
    }

    /// Returns how many chains a frame fills; 0 if it does not fit into those that wait.
    @inline(__always)
    func countChains(for count: Int) -> Int {
        var (index, room) = (usedChains, 0)
        while index < chainCount {
            room += chains[index].length
            index += 1
            if room >= count { return index - usedChains }
            if !merges { return 0 }
        }
        return 0
    }

    /// Writes a frame into the chains that wait, and publishes them.
    ///
    /// - Parameters:
    ///   - octets: The frame with its header.
    ///   - count: The number of chains, from `countChains`.
    @inline(__always)
    func write(_ octets: UnsafeRawBufferPointer, fillingChains count: Int) {
        var offset = 0
        for index in 0..<count {
            let chain = chains[usedChains]
            let start = offset
            while usedParts < chain.endOfParts {
                let part = parts[usedParts]
                let length = min(part.count, octets.count - offset)
                if length > 0 {
                    part.copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: octets[offset..<(offset + length)])
                    )
                }
                offset += length
                usedParts += 1
            }
            length -= chain.length
            usedChains += 1
            ring.putUsed(chain.head, written: offset - start, after: index)
        }
        ring.publish(count)
    }

    /// Whether the guest has to be notified of frames.
    func needsNotification() -> Bool { ring.needsNotification() }

    /// Lets the guest notify this end of the next buffer that it provides.
    ///
    /// - Returns: How many buffers it has provided.
    func awaitKick() throws(VirtioFault) -> Int {
        try ring.awaitKick() + chainCount - usedChains
    }

    func refuseKicks() { ring.refuseKicks() }
}
