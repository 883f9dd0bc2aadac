/// The handshake bytes of a client, put together from the CRYPTO frames of its Initial packets (RFC
/// 9000, section 19.6).
///
/// Frames may come in any order and repeat bytes, but not change them: a server keeps the first or
/// the last of two versions, and nobody else knows which.
struct QUICCryptoStream {
    /// Limit on the stream, in bytes: four times what servers must accept (RFC 9000, section 7.5).
    static let maximumLength = 16_384

    /// Up to the last byte that arrived; what is missing is zero.
    private var octets: [UInt8] = []
    private var hasArrived: [Bool] = []
    /// The bytes at the start that have all arrived.
    private var contiguous = 0
    /// The start of the next message.
    private var messageStart = 0
    private(set) var hello: TLSClientHello?

    /// Reads the frames of a packet.
    mutating func read(framesOf packet: [UInt8]) throws(QUICFault) {
        var frames = QUICFields(packet[...])
        while !frames.isEmpty {
            switch try frames.integer() {
            // PADDING and PING.
            case 0, 1: continue
            case 2: try Self.skipAcknowledgment(&frames)
            case 3:
                try Self.skipAcknowledgment(&frames)
                // The counts of Explicit Congestion Notification.
                for _ in 0..<3 { _ = try frames.integer() }
            case 6:
                let offset = try frames.length()
                try insert(try frames.take(try frames.length()), at: offset)
            case 0x1c:
                // CONNECTION_CLOSE: error, frame type, reason.
                _ = try frames.integer()
                _ = try frames.integer()
                try frames.take(try frames.length())
            // RFC 9000, section 12.5.
            default: throw .malformed
            }
        }
        try readMessages()
    }

    /// RFC 9000, section 19.3.
    private static func skipAcknowledgment(_ frames: inout QUICFields) throws(QUICFault) {
        _ = try frames.integer()
        _ = try frames.integer()
        let ranges = try frames.length()
        _ = try frames.integer()
        var index = 0
        while index < ranges {
            _ = try frames.integer()
            _ = try frames.integer()
            index += 1
        }
    }

    private mutating func insert(
        _ piece: ArraySlice<UInt8>,
        at offset: Int
    ) throws(QUICFault) {
        guard piece.count <= Self.maximumLength, offset <= Self.maximumLength - piece.count else {
            throw .tooMuchData
        }
        let missing = offset + piece.count - octets.count
        if missing > 0 {
            octets.append(contentsOf: repeatElement(0, count: missing))
            hasArrived.append(contentsOf: repeatElement(false, count: missing))
        }
        for (index, octet) in zip(offset..., piece) {
            guard !hasArrived[index] || octets[index] == octet else { throw .conflictingData }
            octets[index] = octet
            hasArrived[index] = true
        }
        while contiguous < octets.count, hasArrived[contiguous] { contiguous += 1 }
    }

    /// Reads the messages that are complete: the first hello, and one after the server's request to
    /// retry (RFC 8446, section 4.1.2), which must name the same server.
    private mutating func readMessages() throws(QUICFault) {
        while contiguous > messageStart {
            guard octets[messageStart] == TLSClientHello.messageType else {
                throw .hello(.notClientHello)
            }
            let bodyStart = messageStart + TLSClientHello.headerLength
            guard contiguous >= bodyStart else { return }
            let length = octets[(messageStart + 1)..<bodyStart].reduce(0) { $0 << 8 | Int($1) }
            guard length <= Self.maximumLength - bodyStart else { throw .tooMuchData }
            guard contiguous >= bodyStart + length else { return }
            let next = try Self.hello(Array(octets[messageStart..<(bodyStart + length)]))
            if let hello, next.serverName != hello.serverName { throw .differentNames }
            hello = hello ?? next
            messageStart = bodyStart + length
        }
    }

    private static func hello(_ message: [UInt8]) throws(QUICFault) -> TLSClientHello {
        do {
            return try TLSClientHello(message: message)
        } catch {
            throw .hello(error)
        }
    }
}
