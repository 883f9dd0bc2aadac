/// Frames from a byte stream: one large read, parsed in place.
///
/// `fill` appends to the buffer; `next` returns complete frames one by one. An incomplete frame
/// stays where it is. It moves to the front only when the remaining room is too short for the
/// longest frame.
struct StreamInput: ~Copyable {
    private static let capacity = 1 << 19
    /// The largest length that preserves the framing, as in gvproxy; the link drops whatever
    /// exceeds the largest frame.
    static let maximumLength = 131_072

    /// The reason why a stream's framing is lost: no byte after the bad length can be trusted.
    enum FramingError: Error, Equatable, CustomStringConvertible {
        /// A length that no frame can have.
        case impossibleLength(Int)

        var description: String {
            switch self {
            case .impossibleLength(let length):
                "a frame of \(length) bytes; expected at most \(StreamInput.maximumLength)"
            }
        }
    }

    private let buffer: UnsafeMutableRawBufferPointer
    private var head = 0
    private var tail = 0

    /// The first bytes of the stream, up to `StreamOpening.length`.
    private(set) var opening: [UInt8] = []

    /// The framing, from the next call of `next` on.
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
    /// - Parameter read: Fills the room it is lent; returns the number of bytes, 0 at the end of
    ///   the stream, nil when no data is available.
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
        if opening.count < StreamOpening.length, let count {
            opening += buffer[tail..<(tail + count)].prefix(StreamOpening.length - opening.count)
        }
        tail += count ?? 0
        return count
    }

    /// Whether the last read filled the buffer, so that more data may be available.
    var wasFilled: Bool { tail == Self.capacity }

    /// Removes and returns the next complete frame, which is valid until the next `fill`.
    ///
    /// - Returns: The frame, of any length from 0 to `maximumLength`; nil if none is complete.
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
