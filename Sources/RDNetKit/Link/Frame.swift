/// One Ethernet frame, lent for the length of a call, with what is not finished about it.
struct Frame {
    /// The largest frame that leaves: what a 16-bit length prefix can say.
    static let maximumLength = 65_535
    /// The largest frame that is received: an Ethernet header and the longest IPv4 packet.
    static let maximumReceivedLength = EthernetHeader.length + 65_535

    /// From the destination address to the end of the payload; no FCS.
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

/// Two ways to queue for a link: payload waits when the queue is half full, control may fill it.
enum FramePriority {
    case bulk
    case control
}

/// One attachment to the virtual Ethernet: descriptors on one side, frames on the other.
///
/// A frame goes out in two steps, so that its payload is written where it leaves from: `reserve`
/// lends room, the caller fills it, `commit` says how much of it is a frame. Room that is not
/// committed is lent anew by the next `reserve`. `flush` ends a turn.
protocol FrameLink: AnyObject {
    /// What it is called in logs: `unix:///run/net.sock`, `tap0`.
    var name: String { get }
    /// Counters of what went through and what did not.
    var counters: LinkCounters { get set }
    /// How frames follow each other on a stream; nil where the kernel keeps them apart.
    var format: StreamFormat? { get }
    /// Whether each received frame has a `virtio_net_hdr`, which says what is unfinished about it.
    ///
    /// On other links `InferredOffload` finds out.
    var receivesOffloadHeaders: Bool { get }
    /// Whether it can carry nothing any more.
    var isClosed: Bool { get }

    /// Lends room for one frame of up to `count` octets.
    ///
    /// - Parameters:
    ///   - count: At most `Frame.maximumLength`.
    ///   - priority: How much of the queue may be used.
    /// - Returns: The room; nil when the queue is full, and the receiver will be told when it is
    ///   not.
    func reserve(_ count: Int, _ priority: FramePriority) -> UnsafeMutableRawBufferPointer?

    /// Queues the first `count` octets of the room, at least an Ethernet header, as a frame.
    func commit(_ count: Int, _ header: VirtioNetHeader)

    /// Queues a frame that lies elsewhere; drops and counts it when there is no room.
    func send(_ frame: Frame, _ priority: FramePriority)

    /// Hands what is queued to the kernel, as far as it takes it.
    func flush(now: Instant)

    /// Ends reading and writing; the descriptor goes with the link.
    func close()
}

extension FrameLink {
    var format: StreamFormat? { nil }
    var receivesOffloadHeaders: Bool { false }

    /// Lends room as `reserve` does, for a frame that is lost where there is none: counts it.
    func reserveOrDrop(
        _ count: Int,
        _ priority: FramePriority
    ) -> UnsafeMutableRawBufferPointer? {
        if count <= Frame.maximumLength, let room = reserve(count, priority) { return room }
        // For control the reservation has counted it: nobody waits with that.
        if priority == .bulk { counters.dropped &+= 1 }
        return nil
    }

    func send(_ frame: Frame, _ priority: FramePriority) {
        guard let room = reserveOrDrop(frame.octets.count, priority) else { return }
        room.copyMemory(from: frame.octets)
        commit(frame.octets.count, frame.header)
    }
}

/// Who takes a link's frames and hears of its fate.
protocol FrameReceiver: AnyObject {
    /// Takes one frame of at least an Ethernet header's length.
    func receive(_ frame: Frame, from link: any FrameLink, now: Instant)
    /// No more frames of this read follow.
    func batchEnded(on link: any FrameLink, now: Instant)
    /// A reservation that was refused would be granted now.
    func hasRoom(_ link: any FrameLink, now: Instant)
    /// The link is closed: the other end went away or broke the framing.
    func closed(_ link: any FrameLink, reason: String, now: Instant)
}

/// What went through a link and what did not.
struct LinkCounters: Equatable {
    var framesReceived: UInt64 = 0
    var octetsReceived: UInt64 = 0
    var framesSent: UInt64 = 0
    var octetsSent: UInt64 = 0
    /// Received frames shorter than an Ethernet header, or longer than
    /// `Frame.maximumReceivedLength`.
    var malformed: UInt64 = 0
    /// Frames that a full queue or the kernel did not take.
    var dropped: UInt64 = 0
}
