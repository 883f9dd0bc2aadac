/// Both directions of DNS over a stream (RFC 1035, 4.2.2): each message follows its two-byte
/// length.
struct DNSStreamBuffer {
    /// The result of one read.
    enum Arrival {
        case octets
        case nothing
        case end
    }

    private static let prefixLength = 2
    /// The number of consumed bytes at the front that triggers their removal.
    private static let slack = 32 << 10

    /// The maximum length of a message from the peer.
    let limit: Int
    private var incoming: [UInt8] = []
    private var consumed = 0
    private var outgoing: [UInt8] = []
    private var sent = 0

    init(limit: Int) {
        self.limit = limit
    }

    /// The number of queued bytes that the kernel has not taken.
    var unsent: Int { outgoing.count - sent }

    // MARK: Inbound

    /// Reads once from the stream.
    mutating func fill(
        from descriptor: borrowing OwnedDescriptor,
        through scratch: ReceiveBuffer
    ) throws(SystemError) -> Arrival {
        guard let count = try Socket.receive(descriptor, into: scratch.memory) else {
            return .nothing
        }
        incoming.append(contentsOf: scratch.memory[..<count])
        return count == 0 ? .end : .octets
    }

    /// The next message's length; nil until both bytes have arrived.
    private var nextLength: Int? {
        guard incoming.count - consumed >= Self.prefixLength else { return nil }
        return Int(incoming[consumed]) << 8 | Int(incoming[consumed + 1])
    }

    /// Whether the next message is longer than the limit, which makes the stream unusable.
    var isOverlong: Bool { (nextLength ?? 0) > limit }

    /// Whether a complete message has arrived.
    var hasMessage: Bool {
        nextLength.map { incoming.count - consumed - Self.prefixLength >= $0 } ?? false
    }

    /// Removes and returns the next message; nil until it is complete.
    mutating func nextMessage() -> [UInt8]? {
        guard hasMessage, let length = nextLength else { return nil }
        let start = consumed + Self.prefixLength
        let message = Array(incoming[start..<(start + length)])
        consumed = start + length
        if consumed == incoming.count {
            incoming.removeAll(keepingCapacity: false)
            consumed = 0
        } else if consumed >= Self.slack {
            incoming.removeSubrange(..<consumed)
            consumed = 0
        }
        return message
    }

    // MARK: Outbound

    /// Queues one message of at most 65,535 bytes.
    mutating func queue(_ message: [UInt8]) {
        outgoing.append(UInt8(truncatingIfNeeded: message.count >> 8))
        outgoing.append(UInt8(truncatingIfNeeded: message.count))
        outgoing.append(contentsOf: message)
    }

    /// Writes until nothing is left or the stream takes no more.
    mutating func flush(to descriptor: borrowing OwnedDescriptor) throws(SystemError) {
        while unsent > 0 {
            guard let count = try Socket.send(descriptor, outgoing, from: sent) else { return }
            sent += count
        }
        outgoing.removeAll(keepingCapacity: false)
        sent = 0
    }
}
