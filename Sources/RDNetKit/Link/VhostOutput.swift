/// Frames on their way to a guest: each is made in one buffer and copied into the guest's buffers.
///
/// What the guest does not finish itself is finished before: checksums, and segments that are cut
/// into packets.
struct VhostOutput: ~Copyable {
    /// The longest header before a frame.
    private static let headerRoom = 12
    static let bufferLength = headerRoom + Frame.maximumReceivedLength

    /// The length of the frames that were written since the guest was last notified.
    private(set) var octetsSinceCall = 0
    private let mtu: Int
    private var ring: VirtioOutput?
    private var memory: GuestMemory?
    private var capabilities: OffloadCapabilities = []
    private var headerLength = 0
    /// The frame that is being made, after room for its header.
    private let made: UnsafeMutableRawBufferPointer
    /// One packet of a frame that is cut; allocated if a guest needs that.
    private var packet: UnsafeMutableRawBufferPointer?
    private var refusedRoom = true

    /// Creates an output without a ring.
    ///
    /// - Parameter mtu: The largest payload of a frame to a guest that takes no segments.
    init(mtu: Int) {
        self.mtu = mtu
        made = .allocate(byteCount: Self.bufferLength, alignment: 64)
    }

    deinit {
        made.deallocate()
        packet?.deallocate()
    }

    /// Takes up a ring.
    mutating func start(
        _ ring: consuming VirtioRing,
        in memory: GuestMemory,
        _ features: VirtioFeatures
    ) {
        capabilities = features.guestCapabilities
        headerLength = features.headerLength
        let output = VirtioOutput(ring, merges: features.contains(.mergeableBuffers))
        output.refuseKicks()
        self.ring = output
        self.memory = memory
    }

    /// Gives up the ring; returns the available entry with which it continues.
    mutating func stop() -> UInt16? {
        let next = ring?.next
        ring = nil
        memory = nil
        return next
    }

    // MARK: Frames

    /// Lends room for a frame; nil if the guest has no buffers for it.
    ///
    /// - Throws: `VirtioFault`.
    mutating func reserve(
        _ count: Int,
        _ priority: FramePriority
    ) throws(VirtioFault) -> UnsafeMutableRawBufferPointer? {
        guard let ring, let memory else {
            // The front end has not set up the ring yet.
            refusedRoom = true
            return nil
        }
        let spare = priority == .control ? 0 : ring.spare
        var room = try room(for: count, keeping: spare, ring, memory)
        if room == .later {
            // A buffer that the guest provides before it reads the request brings no kick.
            if try ring.awaitKick() > 0 {
                room = try self.room(for: count, keeping: spare, ring, memory)
            }
            if room == .later { refusedRoom = true } else { ring.refuseKicks() }
        }
        guard room == .ready else { return nil }
        let start = Self.headerRoom
        return UnsafeMutableRawBufferPointer(rebasing: made[start..<(start + count)])
    }

    private func room(
        for count: Int,
        keeping spare: Int,
        _ ring: VirtioOutput,
        _ memory: GuestMemory
    ) throws(VirtioFault) -> VirtioOutput.Room {
        let longest = EthernetHeader.length + mtu
        if count <= longest || !capabilities.isDisjoint(with: [.tcpIPv4, .tcpIPv6, .udp]) {
            return try ring.gather(headerLength + count, keeping: spare, from: memory)
        }
        // The frame is cut, into at least as many packets.
        let packets = count / (longest / 2) + 1
        return try ring.hasBuffers(for: packets, keeping: spare) ? .ready : .later
    }

    /// Writes the reserved frame into the guest's buffers.
    ///
    /// - Throws: `VirtioFault`.
    mutating func commit(
        _ count: Int,
        _ header: VirtioNetHeader,
        _ counters: inout LinkCounters
    ) throws(VirtioFault) {
        guard let ring, let memory else { return }
        let start = Self.headerRoom
        let frame = UnsafeMutableRawBufferPointer(rebasing: made[start..<(start + count)])
        if header.isFinished || capabilities.carries(header) {
            try write(made, count, header, ring, memory, &counters)
        } else if header.segmentation != .none {
            try cut(UnsafeRawBufferPointer(frame), header, ring, memory, &counters)
        } else if FrameChecksum.complete(frame, header) {
            try write(made, count, .finished, ring, memory, &counters)
        } else {
            counters.dropped &+= 1
        }
    }

    /// Writes a frame, which has room for its header before it.
    private mutating func write(
        _ octets: UnsafeMutableRawBufferPointer,
        _ count: Int,
        _ header: VirtioNetHeader,
        _ ring: VirtioOutput,
        _ memory: GuestMemory,
        _ counters: inout LinkCounters
    ) throws(VirtioFault) {
        let length = headerLength + count
        let room = try ring.gather(length, keeping: 0, from: memory)
        let chains = room == .ready ? ring.countChains(for: length) : 0
        guard chains > 0 else { return counters.dropped &+= 1 }
        let start = Self.headerRoom - headerLength
        let whole = UnsafeMutableRawBufferPointer(rebasing: octets[start..<(start + length)])
        var header = header
        // A guest that does not accept unfinished checksums sees no flag at all (5.1.6.4.1).
        if !capabilities.contains(.checksum) { header.checksumIsValid = false }
        var span = whole.mutableBytes
        header.write(to: &span)
        if headerLength > VirtioNetHeader.length {
            let number = UInt16(truncatingIfNeeded: chains).littleEndian
            whole.storeBytes(of: number, toByteOffset: VirtioNetHeader.length, as: UInt16.self)
        }
        ring.write(UnsafeRawBufferPointer(whole), fillingChains: chains)
        counters.framesSent &+= 1
        counters.octetsSent &+= UInt64(count)
        octetsSinceCall += count
    }

    /// Sends a segment as single packets, for a guest without the offload.
    private mutating func cut(
        _ frame: UnsafeRawBufferPointer,
        _ header: VirtioNetHeader,
        _ ring: VirtioOutput,
        _ memory: GuestMemory,
        _ counters: inout LinkCounters
    ) throws(VirtioFault) {
        let segments: FrameSegments
        do throws(PacketError) {
            segments = try FrameSegments(frame, header)
        } catch {
            return counters.dropped &+= 1
        }
        let packet = self.packet ?? .allocate(byteCount: Self.bufferLength, alignment: 64)
        self.packet = packet
        let room = UnsafeMutableRawBufferPointer(rebasing: packet[Self.headerRoom...])
        for index in 0..<segments.count {
            segments.write(index, to: room)
            try write(packet, segments.length(of: index), .finished, ring, memory, &counters)
        }
    }

    // MARK: Notifications

    /// Whether the guest has to be notified of frames.
    mutating func needsNotification() -> Bool {
        octetsSinceCall = 0
        return ring?.needsNotification() == true
    }

    /// Whether a reservation that was refused may succeed now; returns true once.
    mutating func hasRoomAgain() -> Bool {
        guard refusedRoom, let ring else { return false }
        ring.refuseKicks()
        refusedRoom = false
        return true
    }
}
