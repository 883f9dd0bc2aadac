/// The echo requests of one flow that may still get replies.
///
/// A raw socket receives the echo replies of every program on the host, and a ping socket accepts
/// them from any sender. A reply is for the guest only if the guest sent the request: the same
/// host, sequence number and data. The table has a fixed size, so recording a request does not
/// allocate; a request gives way to the next one with the same slot.
struct EchoRequests {
    /// How long a request may stay without a reply; a flow lives as long (RFC 5508, REQ-2).
    static let patience: Duration = .seconds(60)
    /// How long duplicates of a reply are accepted.
    static let duplicateTime: Duration = .seconds(5)
    /// Consecutive sequence numbers to one host never share a slot.
    static let capacity = 512

    private struct Request {
        var host: IPAddress
        var sequence: UInt16
        /// Bytes of data, without the ICMP header.
        var length: UInt16
        var mark: UInt64
        var deadline: Instant
    }

    private var slots = [Request?](repeating: nil, count: capacity)

    /// Remembers a request.
    ///
    /// - Parameters:
    ///   - message: The whole ICMP message, at least eight bytes.
    ///   - host: The destination on the host's network.
    ///   - now: The turn's clock.
    mutating func record(_ message: UnsafeRawBufferPointer, to host: IPAddress, now: Instant) {
        let sequence = Self.sequence(of: message)
        let data = Self.data(of: message)
        slots[Self.slot(host, sequence)] = Request(
            host: host,
            sequence: sequence,
            length: UInt16(truncatingIfNeeded: data.count),
            mark: Self.mark(of: data),
            deadline: now + Self.patience
        )
    }

    /// Looks for the request that an ICMP error quotes.
    ///
    /// - Parameters:
    ///   - message: The start of the request, at least eight bytes.
    ///   - host: The request's destination.
    ///   - now: The turn's clock.
    /// - Returns: Whether there is one that may still get replies.
    func contains(_ message: UnsafeRawBufferPointer, to host: IPAddress, now: Instant) -> Bool {
        request(Self.sequence(of: message), to: host, now: now) != nil
    }

    /// Matches a reply with the requests; duplicates of it are accepted for a moment.
    ///
    /// - Parameters:
    ///   - message: The whole ICMP message, at least eight bytes.
    ///   - host: Its sender.
    ///   - now: The turn's clock.
    /// - Returns: Whether it answers one of them.
    mutating func accept(
        _ message: UnsafeRawBufferPointer,
        from host: IPAddress,
        now: Instant
    ) -> Bool {
        let sequence = Self.sequence(of: message)
        let data = Self.data(of: message)
        guard let request = request(sequence, to: host, now: now) else { return false }
        // Some hosts return less data than the request had, but never other data.
        guard data.count <= request.length, Self.mark(of: data) == request.mark else {
            return false
        }
        slots[Self.slot(host, sequence)]?.deadline = min(
            request.deadline,
            now + Self.duplicateTime
        )
        return true
    }

    private func request(_ sequence: UInt16, to host: IPAddress, now: Instant) -> Request? {
        guard let request = slots[Self.slot(host, sequence)], request.sequence == sequence,
            request.host == host, request.deadline > now
        else { return nil }
        return request
    }

    private static func slot(_ host: IPAddress, _ sequence: UInt16) -> Int {
        Int(UInt16(truncatingIfNeeded: host.low) ^ sequence) & (capacity - 1)
    }

    private static func sequence(of message: UnsafeRawBufferPointer) -> UInt16 {
        message.bytes.bigEndian(at: 6)
    }

    private static func data(of message: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: message[ICMPMessage.headerLength...])
    }

    /// A digest of the first 16 bytes, where ping(8) puts the time in microseconds.
    private static func mark(of data: UnsafeRawBufferPointer) -> UInt64 {
        let first = SentPacket.mark(of: data)
        let rest = UnsafeRawBufferPointer(rebasing: data[min(8, data.count)...])
        return first &* 0x9e37_79b9_7f4a_7c15 ^ SentPacket.mark(of: rest)
    }
}
