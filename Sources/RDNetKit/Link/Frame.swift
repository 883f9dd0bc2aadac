/// One Ethernet frame, borrowed for the duration of a call, with its pending offloads.
struct Frame {
    /// The largest frame that is sent: the maximum of a 16-bit length prefix.
    static let maximumLength = 65_535
    /// The largest frame that is received: an Ethernet header and the largest IPv4 packet.
    static let maximumReceivedLength = EthernetHeader.length + 65_535

    /// The bytes from the destination address to the end of the payload, without the FCS.
    let octets: UnsafeRawBufferPointer
    let header: VirtioNetHeader

    @inline(__always)
    init(_ octets: UnsafeRawBufferPointer, _ header: VirtioNetHeader = .finished) {
        self.octets = octets
        self.header = header
    }

    /// Whether a link may pass on a frame of this length.
    @inline(__always)
    var hasReceivableLength: Bool {
        octets.count >= EthernetHeader.length && octets.count <= Self.maximumReceivedLength
    }
}

/// The priority of a frame in a link's queue: control may fill all of the queue, the others half.
enum FramePriority {
    /// Whoever is refused waits for room.
    case bulk
    /// Whoever is refused drops the frame.
    case datagram
    case control
}

/// One attachment to the virtual Ethernet: descriptors on one side, frames on the other.
///
/// Sending takes two steps, so that the payload is written directly into the output buffer.
/// `reserve` lends room, the caller fills it, and `commit` queues the first part of it as a frame.
/// The next `reserve` reuses room that was not committed. `flush` ends a turn.
protocol FrameLink: AnyObject {
    /// The name in logs: `unix:///run/net.sock`, `tap0`.
    var name: String { get }
    /// Counters of frames received, sent and dropped.
    var counters: LinkCounters { get set }
    /// The frame format on a stream; nil where the kernel keeps frames apart.
    var format: StreamFormat? { get }
    /// Whether each received frame has a `virtio_net_hdr`, which describes its pending offloads.
    ///
    /// On other links `InferredOffload` infers them.
    var receivesOffloadHeaders: Bool { get }
    /// Whether the link is closed.
    var isClosed: Bool { get }
    /// Bytes that wait here because the other end does not take them.
    var queuedOctets: Int { get }

    /// Lends room for one frame of up to `count` bytes.
    ///
    /// - Parameters:
    /// - count: At most `Frame.maximumLength`.
    /// - priority: Determines how much of the queue the frame may use.
    /// - Returns: The room; nil when the queue is full. The link then notifies the receiver as soon
    ///   as the queue has room.
    func reserve(_ count: Int, _ priority: FramePriority) -> UnsafeMutableRawBufferPointer?

    /// Queues the first `count` bytes of the room, at least an Ethernet header, as a frame.
    func commit(_ count: Int, _ header: VirtioNetHeader)

    /// Copies a frame into the queue; drops and counts it if the queue is full.
    func send(_ frame: Frame, _ priority: FramePriority)

    /// Writes the queued frames to the kernel, as many as it takes.
    func flush(now: Instant)

    /// Stops or resumes reading; frames wait at the other end meanwhile.
    ///
    /// A link whose socket serves other guests too goes on reading, and frames that were read
    /// together with the last one may still arrive.
    func setReading(_ isReading: Bool)

    /// Finds out whether the other end still exists, because its addresses appear elsewhere.
    ///
    /// The link closes as usual if it does not.
    func verifyPeer(now: Instant)

    /// Stops reading and writing; the descriptor closes when the link is deallocated.
    func close()
}

extension FrameLink {
    var format: StreamFormat? { nil }
    var receivesOffloadHeaders: Bool { false }
    var queuedOctets: Int { 0 }

    /// Goes on reading: for a link whose socket serves other guests too.
    func setReading(_ isReading: Bool) {}

    /// Does nothing: for links without a peer.
    func verifyPeer(now: Instant) {}

    /// Lends room as `reserve` does, for a frame that is dropped and counted if the queue is full.
    func reserveOrDrop(
        _ count: Int,
        _ priority: FramePriority
    ) -> UnsafeMutableRawBufferPointer? {
        if count <= Frame.maximumLength, let room = reserve(count, priority) { return room }
        // `reserve` has already counted a control frame, because nobody retries it.
        if priority != .control { counters.dropped &+= 1 }
        return nil
    }

    func send(_ frame: Frame, _ priority: FramePriority) {
        guard let room = reserveOrDrop(frame.octets.count, priority) else { return }
        room.copyMemory(from: frame.octets)
        commit(frame.octets.count, frame.header)
    }
}

/// Receives a link's frames and state changes.
protocol FrameReceiver: AnyObject {
    /// Receives one frame of at least an Ethernet header's length.
    func receive(_ frame: Frame, from link: any FrameLink, now: Instant)
    /// Marks the end of the frames from one read.
    func batchEnded(on link: any FrameLink, now: Instant)
    /// Reports that a reservation that was refused would succeed now.
    func hasRoom(_ link: any FrameLink, now: Instant)
    /// Reports that the link is closed: the other end closed it or broke the framing.
    func closed(_ link: any FrameLink, reason: String, now: Instant)
}
