/// Frames on their way to a byte stream: one linear buffer, written with one system call per turn.
///
/// A frame is written directly into the output buffer: `reserve` lends room after the space for its
/// prefix. A frame that is too long for the other end (larger than a packet on a plain stream,
/// beyond the stated limit on an extended one) gets a scratch buffer instead, and `commit` cuts it
/// into the queue. `commit` also completes checksums that the other end does not complete itself.
struct StreamOutput: ~Copyable {
    private static let capacity = 1 << 20
    /// Bulk frames stop at this limit, so that ACKs and ARP always find room, and no flow waits for
    /// a mebibyte to drain.
    private static let bulkLimit = 1 << 19

    private let buffer: UnsafeMutableRawBufferPointer
    private let scratch: UnsafeMutableRawBufferPointer
    private var head = 0
    private var tail = 0
    /// The offset of the reserved frame; -1 for the scratch buffer.
    private var reserved = 0

    /// The framing, from the next commit on.
    private(set) var format: StreamFormat
    /// The offloads that frames on an extended stream may leave unfinished.
    private var capabilities: OffloadCapabilities = []
    /// The length in bytes of the longest frame that is sent as reserved: a packet's, or the other
    /// end's limit.
    private var maximumWholeFrame: Int

    /// Creates an empty queue.
    ///
    /// - Parameters:
    /// - format: The framing.
    /// - mtu: The largest payload of a plain frame; segments are cut to fit.
    init(format: StreamFormat, mtu: Int) {
        self.format = format
        maximumWholeFrame = EthernetHeader.length + mtu
        buffer = .allocate(byteCount: Self.capacity, alignment: 64)
        scratch = .allocate(byteCount: Frame.maximumLength, alignment: 64)
    }

    deinit {
        buffer.deallocate()
        scratch.deallocate()
    }

    /// Switches to extended frames with the next commit.
    ///
    /// - Parameters:
    /// - capabilities: The offloads that the other end takes.
    /// - maximumFrame: The largest frame that the other end takes, in bytes; no longer frame is
    ///   sent.
    mutating func extend(_ capabilities: OffloadCapabilities, maximumFrame: Int) {
        format = .extended
        self.capabilities = capabilities
        maximumWholeFrame = min(maximumFrame, Frame.maximumLength)
    }

    /// The number of bytes that wait for the stream.
    var count: Int { tail - head }

    /// Whether a refused bulk reservation would succeed: the queue is below half of the bulk limit.
    var hasRoom: Bool { count < Self.bulkLimit / 2 }

    /// Lends room for a frame; returns nil when the queue is full.
    @inline(__always)
    mutating func reserve(
        _ count: Int,
        _ priority: FramePriority
    ) -> UnsafeMutableRawBufferPointer? {
        // Each packet cut from a frame adds a prefix and headers. Doubling covers any segment size
        // that leaves a packet more payload than headers.
        let isWhole = count <= maximumWholeFrame
        let worst = isWhole ? format.prefixLength + count : 2 * count + 256
        let limit = priority == .control ? Self.capacity : Self.bulkLimit
        guard self.count + worst <= limit else { return nil }
        if Self.capacity - tail < worst { compact() }
        guard isWhole else {
            reserved = -1
            return UnsafeMutableRawBufferPointer(rebasing: scratch[..<count])
        }
        reserved = tail + format.prefixLength
        return UnsafeMutableRawBufferPointer(rebasing: buffer[reserved..<(reserved + count)])
    }

    /// Queues the reserved frame.
    ///
    /// - Parameters:
    /// - count: The length of the frame in bytes.
    /// - header: The frame's pending offloads.
    /// - Returns: The number of frames queued; 0 when the frame contradicts its header.
    @inline(__always)
    mutating func commit(_ count: Int, _ header: VirtioNetHeader) -> Int {
        guard reserved >= 0 else { return commitScratch(count, header) }
        let frame = UnsafeMutableRawBufferPointer(rebasing: buffer[reserved..<(reserved + count)])
        if header.isFinished || carries(header) {
            append(count, header)
            return 1
        }
        if header.segmentation == .none {
            guard FrameChecksum.complete(frame, header) else { return 0 }
            append(count, .finished)
            return 1
        }
        // Rare: the caller requests segmentation although the frame fits, or the stream lacks just
        // this capability.
        guard count <= scratch.count else { return 0 }
        scratch.copyMemory(from: UnsafeRawBufferPointer(frame))
        return cut(count, header)
    }

    private mutating func commitScratch(_ count: Int, _ header: VirtioNetHeader) -> Int {
        if header.segmentation != .none { return cut(count, header) }
        // Without segmentation, a plain stream sends the frame whole with a complete checksum, even
        // if it exceeds the other end's MTU.
        guard count <= maximumUncutFrame else { return 0 }
        let frame = UnsafeMutableRawBufferPointer(rebasing: scratch[..<count])
        if header.needsChecksum, !FrameChecksum.complete(frame, header) { return 0 }
        let start = tail + format.prefixLength
        UnsafeMutableRawBufferPointer(rebasing: buffer[start..<(start + count)])
            .copyMemory(from: UnsafeRawBufferPointer(frame))
        append(count, .finished)
        return 1
    }

    /// The length in bytes of the longest frame that may be sent; on a plain stream the other end
    /// has stated no limit.
    private var maximumUncutFrame: Int {
        format == .extended ? maximumWholeFrame : Frame.maximumLength
    }

    private func carries(_ header: VirtioNetHeader) -> Bool {
        format == .extended && capabilities.carries(header)
    }

    private mutating func cut(_ count: Int, _ header: VirtioNetHeader) -> Int {
        do {
            let frame = UnsafeRawBufferPointer(rebasing: scratch[..<count])
            let segments = try FrameSegments(frame, header)
            let prefix = format.prefixLength
            // Very small segments would outgrow the reserved room.
            let total = segments.count * (prefix + segments.maximumLength)
            guard total <= Self.capacity - tail, segments.maximumLength <= maximumUncutFrame else {
                return 0
            }
            for index in 0..<segments.count {
                let length = segments.length(of: index)
                let start = tail + prefix
                let room = UnsafeMutableRawBufferPointer(
                    rebasing: buffer[start..<(start + length)]
                )
                segments.write(index, to: room)
                append(length, .finished)
            }
            return segments.count
        } catch {
            return 0
        }
    }

    @inline(__always)
    private mutating func append(_ count: Int, _ header: VirtioNetHeader) {
        let prefix = UnsafeMutableRawBufferPointer(
            rebasing: buffer[tail..<(tail + format.prefixLength)]
        )
        format.writePrefix(frameLength: count, header, to: prefix)
        tail += format.prefixLength + count
    }

    private mutating func compact() {
        let waiting = UnsafeRawBufferPointer(rebasing: buffer[head..<tail])
        buffer.copyMemory(from: waiting)
        tail -= head
        head = 0
    }

    /// Lends the waiting bytes to a closure that writes them.
    ///
    /// - Parameter write: Receives all waiting bytes; returns how many it wrote, nil when it would
    ///   have blocked.
    /// - Throws: What `write` throws.
    mutating func drain(
        _ write: (UnsafeRawBufferPointer) throws(SystemError) -> Int?
    ) throws(SystemError) {
        guard head < tail else { return }
        guard let taken = try write(UnsafeRawBufferPointer(rebasing: buffer[head..<tail])) else {
            return
        }
        head += taken
        if head == tail { (head, tail) = (0, 0) }
    }
}
