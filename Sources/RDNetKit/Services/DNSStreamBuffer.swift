/// Both directions of DNS over a stream (RFC 1035, 4.2.2): messages behind a length of two octets.
struct DNSStreamBuffer {
    /// What one read found.
    enum Arrival {
        case octets
        case nothing
        case end
    }

    private static let prefixLength = 2
    /// Consumed octets are dropped from the front once there are as many.
    private static let slack = 32 << 10

    /// The longest message that the peer may send.
    let limit: Int
    private var incoming: [UInt8] = []
    private var consumed = 0
    private var outgoing: [UInt8] = []
    private var sent = 0

    init(limit: Int) {
        self.limit = limit
    }

    /// Octets queued that the kernel has not taken.
    var unsent: Int { outgoing.count - sent }

    // MARK: Inbound

    /// Reads once what the stream has.
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

    /// The next message's length; nil until both octets are there.
    private var nextLength: Int? {
        guard incoming.count - consumed >= Self.prefixLength else { return nil }
        return Int(incoming[consumed]) << 8 | Int(incoming[consumed + 1])
    }

    /// Whether the next message is longer than the limit, so that the stream is of no more use.
    var isOverlong: Bool { (nextLength ?? 0) > limit }

    /// Whether a whole message has arrived.
    var hasMessage: Bool {
        nextLength.map { incoming.count - consumed - Self.prefixLength >= $0 } ?? false
    }

    /// Takes the next message; nil until the whole of it is there.
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

    /// Adds one message of at most 65,535 octets.
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
