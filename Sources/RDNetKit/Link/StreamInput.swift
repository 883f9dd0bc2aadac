/// Frames out of a byte stream: one large read, parsed in place.
///
/// `fill` appends to what is there; `next` hands out complete frames one by one. An incomplete
/// frame stays, and moves to the front only when the remaining room is too short for the longest
/// frame.
struct StreamInput: ~Copyable {
    private static let capacity = 1 << 19
    /// The longest length that keeps the framing, as in gvproxy; its link drops what is longer than
    /// any frame.
    static let maximumLength = 131_072

    /// Why a stream's framing is lost: nothing behind the bad length can be trusted.
    enum FramingError: Error, Equatable {
        /// A length that no frame can have.
        case impossibleLength(Int)
    }

    private let buffer: UnsafeMutableRawBufferPointer
    private var head = 0
    private var tail = 0

    /// How frames are prefixed, from the next `next` on.
    var format: StreamFormat

    init(format: StreamFormat) {
        self.format = format
        buffer = .allocate(byteCount: Self.capacity, alignment: 64)
    }

    deinit {
        buffer.deallocate()
    }

    /// Reads once from the stream.
    ///
    /// - Parameter read: Fills the room it is lent; returns how much, 0 at the stream's end, nil
    ///   when nothing waits.
    /// - Returns: What `read` returned.
    /// - Throws: What `read` throws.
    mutating func fill(
        _ read: (UnsafeMutableRawBufferPointer) throws(SystemError) -> Int?
    ) throws(SystemError) -> Int? {
        if head == tail {
            (head, tail) = (0, 0)
        } else if Self.capacity - tail < Self.maximumLength + 64 {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[head..<tail]))
            tail -= head
            head = 0
        }
        let count = try read(UnsafeMutableRawBufferPointer(rebasing: buffer[tail...]))
        tail += count ?? 0
        return count
    }

    /// Whether the last read filled all the room it had, so that more may wait.
    var wasFilled: Bool { tail == Self.capacity }

    /// Takes out the next complete frame, good until the next `fill`.
    ///
    /// - Returns: The frame, of any length from 0 to `maximumLength`; nil when none is complete.
    /// - Throws: `FramingError`.
    mutating func next() throws(FramingError) -> Frame? {
        let waiting = UnsafeRawBufferPointer(rebasing: buffer[head..<tail])
        guard let length = format.frameLength(waiting.bytes, at: 0) else { return nil }
        guard length <= Self.maximumLength else { throw .impossibleLength(length) }
        let prefix = format.prefixLength
        guard waiting.count >= prefix + length else { return nil }
        head += prefix + length
        let octets = UnsafeRawBufferPointer(rebasing: waiting[prefix..<(prefix + length)])
        guard format == .extended else { return Frame(octets) }
        let headerOctets = UnsafeRawBufferPointer(rebasing: waiting[4..<prefix])
        do {
            return Frame(octets, try VirtioNetHeader(reading: headerOctets.bytes))
        } catch {
            preconditionFailure("the header was sliced to its length")
        }
    }
}
