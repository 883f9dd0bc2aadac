/// What the first bytes of a stream are, as far as they have arrived.
enum TLSClientHelloReading: Equatable, Sendable {
    /// More bytes are needed.
    case incomplete
    /// The stream is some other protocol.
    case notTLS
    case hello(TLSClientHello)
    case invalid(TLSHelloError)
}

extension TLSClientHello {
    /// Reads the start of a stream at once; see `TLSClientHelloReader` for one that grows.
    static func read(_ octets: UnsafeRawBufferPointer) -> TLSClientHelloReading {
        var reader = TLSClientHelloReader()
        return reader.read(octets)
    }
}

/// Finds the client hello at the start of a stream that arrives in segments of any size.
///
/// How it works: the caller keeps the stream from its first byte and passes all of it on each call.
/// The reader remembers the records that it has taken, so that each byte is read once. The message
/// may be divided among records of any size (RFC 8446, section 5.1); it ends with its last record.
/// A record of another type, or an empty one, before or inside the message is an error, because
/// servers may skip it: OpenSSL 3.0 skips an empty record before the hello.
struct TLSClientHelloReader {
    /// Limit on the stream up to the end of the message, in bytes.
    ///
    /// Records of one byte, which no client has a reason for, would make a message of the maximum
    /// length six times as long.
    static let maximumStreamLength = 2 * TLSClientHello.maximumLength

    private static let recordHeaderLength = 5
    /// RFC 8446, section 5.1.
    private static let maximumRecordLength = 16_384
    private static let handshake: UInt8 = 22
    /// Change cipher spec, alert, handshake, application data, heartbeat.
    private static let recordTypes: ClosedRange<UInt8> = 20...24

    /// The start of the first record that was not taken yet.
    private var position = 0
    private var message: [UInt8] = []
    /// Final as soon as it is not `incomplete`.
    private var reading = TLSClientHelloReading.incomplete

    /// Reads on, from all bytes since the connection began, with those of the previous calls.
    mutating func read(_ stream: UnsafeRawBufferPointer) -> TLSClientHelloReading {
        if reading == .incomplete { reading = readOn(stream) }
        return reading
    }

    private mutating func readOn(_ stream: UnsafeRawBufferPointer) -> TLSClientHelloReading {
        guard let first = stream.first else { return .incomplete }
        if first & 0x80 != 0 { return Self.readVersionTwo(stream) }
        guard Self.recordTypes.contains(first) else { return .notTLS }
        guard stream.count > 1 else { return .incomplete }
        guard stream[1] == 3 else { return .notTLS }
        do {
            while let record = try nextRecord(of: stream) {
                message.append(contentsOf: stream[record])
                position = record.upperBound
                if let hello = try completeHello() { return .hello(hello) }
            }
        } catch {
            return .invalid(error)
        }
        return .incomplete
    }

    /// The content of the next record; nil until it is complete.
    private func nextRecord(
        of stream: UnsafeRawBufferPointer
    ) throws(TLSHelloError) -> Range<Int>? {
        let start = position + Self.recordHeaderLength
        guard start < Self.maximumStreamLength else { throw .tooLong }
        let header = stream[position...].prefix(Self.recordHeaderLength)
        if let type = header.first, type != Self.handshake { throw .unexpectedRecord }
        guard header.count == Self.recordHeaderLength else { return nil }
        guard header[position + 1] == 3 else { throw .badVersion }
        let length = Int(header[position + 3]) << 8 | Int(header[position + 4])
        guard length > 0 else { throw .unexpectedRecord }
        guard length <= Self.maximumRecordLength else { throw .badLength }
        guard start + length <= Self.maximumStreamLength else { throw .tooLong }
        return start + length <= stream.count ? start..<(start + length) : nil
    }

    /// The message, once all of it has arrived.
    private func completeHello() throws(TLSHelloError) -> TLSClientHello? {
        guard message[0] == TLSClientHello.messageType else { throw .notClientHello }
        guard message.count >= TLSClientHello.headerLength else { return nil }
        let length =
            TLSClientHello.headerLength
            + message[1..<TLSClientHello.headerLength].reduce(0) { $0 << 8 | Int($1) }
        guard length <= TLSClientHello.maximumLength else { throw .tooLong }
        guard message.count >= length else { return nil }
        guard message.count == length else { throw .trailingData }
        return try TLSClientHello(message: message)
    }

    /// The hello of SSL 2.0: length 2 with the highest bit, type 1, version 2 (RFC 5246, E.2).
    private static func readVersionTwo(
        _ stream: UnsafeRawBufferPointer
    ) -> TLSClientHelloReading {
        if stream.count > 2, stream[2] != TLSClientHello.messageType { return .notTLS }
        if stream.count > 3, stream[3] != 3, stream[3] != 0 { return .notTLS }
        guard stream.count > 4 else { return .incomplete }
        return stream[3] == 3 || stream[4] == 2 ? .invalid(.versionTwoFormat) : .notTLS
    }
}
