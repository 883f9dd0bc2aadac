/// Frames on their way to a packet socket: the queue of a stream, drained frame by frame.
///
/// The queue is `StreamOutput`'s. Each frame in it has a length prefix, which is not sent. The
/// queue cuts frames that a receiver of plain frames cannot take. It never passes on offloads,
/// because a packet socket has no negotiation.
struct PacketOutput: ~Copyable {
    private static let format = StreamFormat.bigEndian32

    private var queue: StreamOutput
    private var batch = OutgoingPackets()
    private var refusedRoom = false

    /// Creates an empty queue.
    ///
    /// - Parameter mtu: The largest payload of a frame; segments are cut to fit.
    init(mtu: Int) {
        queue = StreamOutput(format: Self.format, mtu: mtu)
    }

    /// The number of bytes that wait.
    var count: Int { queue.count }
    /// Whether frames wait.
    var isEmpty: Bool { queue.count == 0 }

    /// Lends room for a frame, as `StreamOutput.reserve` does.
    @inline(__always)
    mutating func reserve(
        _ count: Int,
        _ priority: FramePriority,
        _ counters: inout LinkCounters
    ) -> UnsafeMutableRawBufferPointer? {
        if let room = queue.reserve(count, priority) { return room }
        counters.dropped &+= priority == .control ? 1 : 0
        refusedRoom = true
        return nil
    }

    /// Queues the reserved frame, as `StreamOutput.commit` does.
    @inline(__always)
    mutating func commit(
        _ count: Int,
        _ header: VirtioNetHeader,
        _ counters: inout LinkCounters
    ) {
        let frames = queue.commit(count, header)
        counters.framesSent &+= UInt64(frames)
        if frames == 0 { counters.dropped &+= 1 } else { counters.octetsSent &+= UInt64(count) }
    }

    /// Sends waiting frames, as many as the receiver takes; drops a packet if an error concerns
    /// only that packet.
    ///
    /// - Parameters:
    /// - counters: The link's counters.
    /// - send: Receives a batch of frames; returns how many were taken, nil when none can be now.
    /// - Returns: How many frames were taken or dropped.
    /// - Throws: `SystemError` when the receiver no longer exists.
    mutating func drain(
        _ counters: inout LinkCounters,
        _ send: (inout OutgoingPackets) throws(SystemError) -> Int?
    ) throws(SystemError) -> Int {
        var gone = 0
        var isBlocked = false
        while queue.count > 0, !isBlocked {
            try queue.drain { (octets) throws(SystemError) in
                batch.removeAll()
                Self.forEachFrame(in: octets) { frame in
                    batch.append(frame)
                    return !batch.isFull
                }
                var count = 0
                do throws(SystemError) {
                    let taken = try send(&batch)
                    isBlocked = taken == nil
                    count = taken ?? 0
                } catch {
                    guard error.concernsOnePacket else { throw error }
                    counters.dropped &+= 1
                    count = 1
                }
                gone += count
                return Self.length(of: count, octets)
            }
        }
        return gone
    }

    /// Whether room that was refused is available now; returns true once.
    mutating func hasRoomAgain() -> Bool {
        guard refusedRoom, queue.hasRoom else { return false }
        refusedRoom = false
        return true
    }

    /// Drops and counts all waiting frames.
    mutating func removeAll(_ counters: inout LinkCounters) {
        do throws(SystemError) {
            try queue.drain { (octets) throws(SystemError) in
                Self.forEachFrame(in: octets) { _ in
                    counters.dropped &+= 1
                    return true
                }
                return octets.count
            }
        } catch {
            preconditionFailure("nothing was called that fails")
        }
    }

    // MARK: The queue's octets

    /// Calls a closure with each frame until it returns false.
    private static func forEachFrame(
        in octets: UnsafeRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) -> Bool
    ) {
        var start = 0
        while let length = format.frameLength(octets.bytes, at: start) {
            start += format.prefixLength
            let end = start + length
            guard body(UnsafeRawBufferPointer(rebasing: octets[start..<end])) else { return }
            start = end
        }
    }

    /// The length of the first frames with their prefixes, in bytes.
    private static func length(of frames: Int, _ octets: UnsafeRawBufferPointer) -> Int {
        guard frames > 0 else { return 0 }
        var (count, total) = (0, 0)
        forEachFrame(in: octets) { frame in
            count += 1
            total += format.prefixLength + frame.count
            return count < frames
        }
        return total
    }
}
