/// What a datagram of a client says about its QUIC connection.
enum QUICReading: Equatable, Sendable {
    /// Another protocol, or the middle of a connection whose start was not seen.
    case notQUIC
    /// A packet of the connection whose name the last `hello` gave.
    case other
    /// The connection has not named its server yet; more datagrams are needed.
    case incomplete
    /// The datagram completes the client hello of a connection; later datagrams belong to it.
    case hello(TLSClientHello)
    /// The datagram must not pass; the inspector is as if it had not been sent.
    case invalid(QUICFault)
}

/// Reads the server's name from the Initial packets of QUIC version 1 and 2 (RFC 9000, 9001, 9369)
/// between one UDP port of a client and one endpoint.
///
/// How it works: the first Initial packet gives the keys, which are kept: the client takes another
/// destination connection ID after the server's answer, and the keys stay the same (RFC 9001,
/// section 5.2). They also follow the client into another version (RFC 9368). An Initial packet
/// that the kept keys do not open starts a connection of its own, with keys from its connection ID.
/// That connection replaces the one before, and must name its server again. A packet that both keys
/// open is refused, because AES-GCM permits packets with two meanings.
///
/// A datagram may hold several packets; the protected ones after the handshake's start are skipped.
struct QUICClientInspector {
    private struct Connection {
        /// The destination connection ID of the first packet.
        let destination: [UInt8]
        var keys: [QUICVersion: QUICInitialKeys] = [:]
        /// One more than the largest packet number so far.
        var nextNumber: UInt64 = 0
        var stream = QUICCryptoStream()

        init(destination: [UInt8]) {
            self.destination = destination
        }

        /// The frames of a packet; nil if its keys are others.
        mutating func open(_ packet: [UInt8], _ header: QUICPacketHeader) -> [UInt8]? {
            let keys =
                keys[header.version]
                ?? QUICInitialKeys(destination: destination, version: header.version)
            self.keys[header.version] = keys
            let opened = keys.opened(
                packet,
                numberStart: header.numberStart,
                expecting: nextNumber
            )
            guard let opened else { return nil }
            nextNumber = max(nextNumber, opened.number + 1)
            return opened.frames
        }
    }

    private var connection: Connection?

    /// Reads a datagram from the client.
    mutating func read(_ datagram: UnsafeRawBufferPointer) -> QUICReading {
        let before = connection
        do {
            let isNews = try readPackets(datagram)
            guard let connection else { return .notQUIC }
            guard let hello = connection.stream.hello else { return .incomplete }
            return isNews ? .hello(hello) : .other
        } catch {
            connection = before
            return .invalid(error)
        }
    }

    /// Reads the packets with long headers at the front.
    ///
    /// Other bytes are a packet with a short header, which ends the datagram, or padding.
    ///
    /// - Returns: Whether a connection named its server.
    private mutating func readPackets(
        _ datagram: UnsafeRawBufferPointer
    ) throws(QUICFault) -> Bool {
        guard let first = datagram.first, QUICPacketHeader.isLong(first) else { return false }
        let octets = Array(datagram)
        var (rest, destination, isNews) = (octets[...], [UInt8]?.none, false)
        while let first = rest.first, QUICPacketHeader.isLong(first) {
            if connection == nil, destination == nil, isOtherProtocol(octets) { return false }
            let header = try QUICPacketHeader(reading: rest)
            // RFC 9000, section 12.2: one connection a datagram.
            guard destination == nil || destination == header.destination else { throw .malformed }
            destination = header.destination
            if header.kind == .initial {
                let hadName = connection?.stream.hello != nil
                let isNew = try readInitial(Array(rest.prefix(header.length)), header)
                isNews = isNews || isNew || !hadName
            }
            rest = rest.dropFirst(header.length)
        }
        return isNews
    }

    /// Whether a datagram whose first bit is set opens no connection, of whatever version.
    private func isOtherProtocol(_ datagram: [UInt8]) -> Bool {
        guard let version = QUICPacketHeader.version(of: datagram[...]) else { return true }
        return QUICVersion(rawValue: version) == nil
            && !QUICPacketHeader.opensUnknownVersion(datagram)
    }

    /// Reads an Initial packet.
    ///
    /// - Returns: Whether it starts a connection.
    private mutating func readInitial(
        _ packet: [UInt8],
        _ header: QUICPacketHeader
    ) throws(QUICFault) -> Bool {
        var kept = connection
        let keptFrames = kept?.open(packet, header)
        var (other, otherFrames): (Connection?, [UInt8]?) = (nil, nil)
        if kept?.destination != header.destination {
            var started = Connection(destination: header.destination)
            otherFrames = started.open(packet, header)
            other = started
        }
        switch (keptFrames, otherFrames) {
        case (nil, nil): throw .badTag
        case (.some, .some): throw .ambiguousKeys
        case (.some(let frames), nil):
            try kept?.stream.read(framesOf: frames)
            connection = kept
            return false
        case (nil, .some(let frames)):
            try other?.stream.read(framesOf: frames)
            connection = other
            return true
        }
    }
}
