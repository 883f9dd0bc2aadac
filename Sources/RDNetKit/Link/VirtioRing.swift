/// One split virtqueue, from the device's side (virtio 1.2, section 2.7).
///
/// How it works: the guest puts the numbers of descriptor chains into the available ring and raises
/// its index; the device takes the chains in sequence and puts them into the used ring. Both rings
/// are in the guest's memory. The guest is hostile: every index, number, address and length is
/// loaded exactly once and checked before it is used, a chain has no more descriptors than its
/// table, and a violation throws a `VirtioFault`, which ends the link. What this end remembers
/// (`next`, `usedIndex`) is its own and never read back.
struct VirtioRing: ~Copyable {
    /// Where the guest keeps a ring, with the size that was checked.
    struct Place {
        var size: Int
        var descriptors: UnsafeRawPointer
        var available: UnsafeRawPointer
        var used: UnsafeMutableRawPointer
    }

    let size: Int
    private let place: Place
    private let usesEventIndex: Bool
    private let hasIndirection: Bool
    /// The available entry to take next.
    private(set) var next: UInt16
    /// The available index as last loaded.
    private var available: UInt16
    /// The used index as last published.
    private var usedIndex: UInt16
    /// The used index when the guest was last notified, or did not want to be.
    private var notifiedIndex: UInt16

    /// Takes up a ring.
    ///
    /// - Parameters:
    ///   - place: Where it lies.
    ///   - base: The available entry to take first.
    ///   - features: What the guest agreed to.
    init(_ place: Place, base: UInt16, _ features: VirtioFeatures) {
        self.place = place
        size = place.size
        usesEventIndex = features.contains(.eventIndex)
        hasIndirection = features.contains(.indirectDescriptors)
        next = base
        available = base
        // The guest has counted what an earlier back end used.
        usedIndex = SharedWords.load16(place.used + VirtioRingLayout.index)
        notifiedIndex = usedIndex
    }

    // MARK: The available ring

    /// Returns how many chains are available.
    @inline(__always)
    mutating func countAvailable() throws(VirtioFault) -> Int {
        available = SharedWords.loadFirst16(place.available + VirtioRingLayout.index)
        let count = Int(available &- next)
        guard count <= size else { throw .indexJumped(from: next, to: available) }
        return count
    }

    /// Whether a chain is available; loads the index only after the last known chain.
    @inline(__always)
    mutating func hasAvailable() throws(VirtioFault) -> Bool {
        if available != next { return true }
        return try countAvailable() > 0
    }

    /// Takes the next available chain; call only if one is available.
    @inline(__always)
    mutating func takeChain() throws(VirtioFault) -> Chain {
        let entry = VirtioRingLayout.entries + 2 * (Int(next) & (size - 1))
        let head = Int(SharedWords.load16(place.available + entry))
        guard head < size else { throw .noSuchDescriptor(head) }
        next &+= 1
        return Chain(
            head: UInt16(head),
            table: place.descriptors,
            count: size,
            limit: size,
            mayLeadToTable: hasIndirection
        )
    }

    /// A chain of descriptors, read one by one.
    struct Chain {
        let head: UInt16
        private var table: UnsafeRawPointer
        private var count: Int
        private let maximumCount: Int
        private var mayLeadToTable: Bool
        private var index: Int
        private var read = 0
        private var isAtEnd = false

        @inline(__always)
        fileprivate init(
            head: UInt16,
            table: UnsafeRawPointer,
            count: Int,
            limit: Int,
            mayLeadToTable: Bool
        ) {
            self.head = head
            self.table = table
            self.count = count
            maximumCount = limit
            self.mayLeadToTable = mayLeadToTable
            index = Int(head)
        }

        /// Reads the next descriptor; nil after the last.
        @inline(__always)
        mutating func next(in memory: GuestMemory) throws(VirtioFault) -> VirtioDescriptor? {
            if isAtEnd { return nil }
            var descriptor = load()
            if descriptor.isTable {
                try enter(descriptor, in: memory)
                descriptor = load()
                if descriptor.isTable { throw .badTable }
            }
            read += 1
            guard read <= maximumCount else { throw .endlessChain }
            guard descriptor.hasNext else {
                isAtEnd = true
                return descriptor
            }
            guard descriptor.next < count else { throw .noSuchDescriptor(descriptor.next) }
            index = descriptor.next
            return descriptor
        }

        @inline(__always)
        private func load() -> VirtioDescriptor {
            let entry = table + index * VirtioDescriptor.length
            return VirtioDescriptor(
                address: SharedWords.load64(entry),
                rest: SharedWords.load64(entry + 8)
            )
        }

        /// Continues in a table, which must be the only descriptor of its ring's chain.
        private mutating func enter(
            _ descriptor: VirtioDescriptor,
            in memory: GuestMemory
        ) throws(VirtioFault) {
            guard mayLeadToTable, read == 0, !descriptor.hasNext, descriptor.count > 0,
                descriptor.count % VirtioDescriptor.length == 0
            else { throw .badTable }
            let length = min(descriptor.count, maximumCount * VirtioDescriptor.length)
            let part = memory.part(at: descriptor.address, length)
            guard let part, part.count == length, let start = part.baseAddress,
                Int(bitPattern: start) % 8 == 0
            else { throw .outsideMemory(address: descriptor.address, length: length) }
            table = UnsafeRawPointer(start)
            count = length / VirtioDescriptor.length
            index = 0
            mayLeadToTable = false
        }
    }

    // MARK: The used ring

    /// Puts a chain into the used ring, some entries after the published index.
    @inline(__always)
    func putUsed(_ head: UInt16, written: Int, after offset: Int = 0) {
        let slot = Int(usedIndex &+ UInt16(truncatingIfNeeded: offset)) & (size - 1)
        let entry = place.used + VirtioRingLayout.entries + 8 * slot
        SharedWords.store32(UInt32(head), to: entry)
        SharedWords.store32(UInt32(truncatingIfNeeded: written), to: entry + 4)
    }

    /// Makes used chains visible to the guest.
    @inline(__always)
    mutating func publish(_ count: Int) {
        usedIndex &+= UInt16(truncatingIfNeeded: count)
        SharedWords.storeLast16(usedIndex, to: place.used + VirtioRingLayout.index)
    }

    /// Whether the guest has to be notified of what was published since the last call.
    mutating func needsNotification() -> Bool {
        guard notifiedIndex != usedIndex else { return false }
        // The guest sets its event and then looks at the index; this end does the opposite.
        SharedWords.fence()
        let old = notifiedIndex
        notifiedIndex = usedIndex
        guard usesEventIndex else { return SharedWords.load16(place.available) & 1 == 0 }
        let event = SharedWords.load16(place.available + VirtioRingLayout.usedEvent(size))
        return VirtioRingLayout.hasPassed(event, from: old, to: usedIndex)
    }

    // MARK: The guest's notifications

    /// Lets the guest notify this end of the next chain that it makes available.
    ///
    /// - Returns: How many chains are available already, for which no notification will come.
    mutating func awaitKick() throws(VirtioFault) -> Int {
        if usesEventIndex {
            let event = place.used + VirtioRingLayout.availableEvent(size)
            SharedWords.store16(available, to: event)
        } else {
            SharedWords.store16(0, to: place.used)
        }
        SharedWords.fence()
        return try countAvailable()
    }

    /// Asks the guest not to notify this end; with event indices, a past event says the same.
    mutating func refuseKicks() {
        if !usesEventIndex { SharedWords.store16(1, to: place.used) }
    }
}
