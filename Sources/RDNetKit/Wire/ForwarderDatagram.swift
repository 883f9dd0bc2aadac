/// A datagram inside a byte stream, with the address of its client.
///
/// ```
/// total (16 bits)     of the frame, with this field
/// length (16 bits)    of the address: 0, 4 or 16
/// address, port (16 bits)
/// length (16 bits)    of an IPv6 zone; zone
/// length (16 bits)    of the payload; payload
/// ```
///
/// The address is in network byte order; all other numbers are little-endian. If one stream carries
/// the datagrams of all clients, the address is the client's in both directions. If each client has
/// its own stream, the address is empty.
struct ForwarderDatagram: Equatable {
    /// The largest payload of a UDP datagram over IPv4.
    static let maximumPayload = 65_507
    /// The largest frame that `ForwarderDatagramReader` accepts.
    static let maximumLength = 26 + maximumZone + maximumPayload
    /// Interface names have at most 15 bytes.
    fileprivate static let maximumZone = 64

    /// Nil if the stream belongs to one client.
    var client: Endpoint?
    var payload: [UInt8]

    /// The frame before its payload.
    static func header(client: Endpoint?, payload count: Int) -> [UInt8] {
        let address = client.map(ForwarderAddress.octets) ?? [0, 0, 0, 0]
        let total = UInt16(clamping: 2 + address.count + 4 + count)
        return total.littleEndianOctets + address + [0, 0]
            + UInt16(clamping: count).littleEndianOctets
    }

    /// The whole frame.
    var octets: [UInt8] { Self.header(client: client, payload: payload.count) + payload }
}

/// Splits a byte stream into datagrams, in pieces of any size.
///
/// The total length of a frame is ignored, as Go programs ignore it: the other lengths are enough.
struct ForwarderDatagramReader {
    private var buffer: [UInt8] = []

    /// The number of bytes of an incomplete frame.
    var heldOctets: Int { buffer.count }

    /// Appends bytes of the stream and returns the datagrams that they complete.
    ///
    /// - Throws: `PacketError` for an unknown address length, or for a zone or payload that is too
    ///   long; the rest of the stream cannot be read then.
    mutating func append(_ octets: UnsafeRawBufferPointer) throws(PacketError)
        -> [ForwarderDatagram]
    {
        buffer.append(contentsOf: octets)
        var datagrams: [ForwarderDatagram] = []
        var start = 0
        while let frame = try Self.read(buffer.span.bytes, from: start) {
            datagrams.append(frame.datagram)
            start = frame.end
        }
        buffer.removeSubrange(..<start)
        return datagrams
    }

    private static func read(
        _ octets: RawSpan,
        from start: Int
    ) throws(PacketError) -> (datagram: ForwarderDatagram, end: Int)? {
        let available = octets.byteCount
        guard start + 4 <= available else { return nil }
        let length = Int(octets.littleEndian(at: start + 2, as: UInt16.self))
        guard let size = ForwarderAddress.Size(length) else { throw .notThisFormat }
        let zone = start + 6 + length
        guard zone + 2 <= available else { return nil }
        let zoneLength = Int(octets.littleEndian(at: zone, as: UInt16.self))
        try check(zoneLength, atMost: ForwarderDatagram.maximumZone)
        let payload = zone + 4 + zoneLength
        guard payload <= available else { return nil }
        let count = Int(octets.littleEndian(at: payload - 2, as: UInt16.self))
        try check(count, atMost: ForwarderDatagram.maximumPayload)
        guard payload + count <= available else { return nil }
        let client = ForwarderAddress.endpoint(size, octets, at: start + 4)
        let datagram = ForwarderDatagram(
            client: size == .none ? nil : client,
            payload: octets.array(payload..<payload + count)
        )
        return (datagram, payload + count)
    }

    private static func check(_ length: Int, atMost maximum: Int) throws(PacketError) {
        guard length <= maximum else { throw .badLength(field: length, available: maximum) }
    }
}
