/// The versions of QUIC whose Initial packets can be read.
enum QUICVersion: UInt32, Sendable {
    /// RFC 9000.
    case one = 1
    /// RFC 9369.
    case two = 0x6b33_43cf
}

/// The long header of a QUIC packet (RFC 9000, section 17.2; RFC 9369, section 3.2).
///
///     form 1, fixed bit 1, type 2, protected 4; version 32; destination and source connection ID
///     after their lengths; token after its length (Initial only); length of the rest
struct QUICPacketHeader: Equatable {
    enum Kind: Int {
        case initial
        case zeroRTT
        case handshake
        case retry
    }

    static let maximumConnectionIDLength = 20

    var kind: Kind
    var version: QUICVersion
    var destination: [UInt8]
    /// The offset of the protected packet number in the packet.
    var numberStart: Int
    /// The length of the packet.
    var length: Int

    /// Whether a packet's first byte says that it has a long header.
    static func isLong(_ first: UInt8) -> Bool { first & 0x80 != 0 }

    /// Whether the datagram could open a connection of a version that is not known here.
    ///
    /// All versions have the connection IDs at this place (RFC 8999, section 5.1), and servers
    /// ignore shorter datagrams (RFC 9000, section 5.2.2).
    static func opensUnknownVersion(_ datagram: [UInt8]) -> Bool {
        guard let first = datagram.first, first >> 6 == 3, datagram.count >= 1_200 else {
            return false
        }
        var fields = QUICFields(datagram[5...])
        do {
            _ = try fields.connectionID()
            _ = try fields.connectionID()
            return true
        } catch {
            return false
        }
    }

    /// The version that a long header names, known or not; nil for a shorter datagram.
    static func version(of packet: ArraySlice<UInt8>) -> UInt32? {
        guard packet.count >= 5 else { return nil }
        return packet.dropFirst().prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Reads the long header of the packet at the front of the rest of a datagram.
    init(reading packet: ArraySlice<UInt8>) throws(QUICFault) {
        guard let number = Self.version(of: packet) else { throw .malformed }
        guard let version = QUICVersion(rawValue: number) else { throw .unknownVersion(number) }
        self.version = version
        var fields = QUICFields(packet)
        let bits = Int(try fields.octet() >> 4 & 3)
        // Version 2 numbers the types from Retry.
        let type = version == .one ? bits : (bits + 3) % 4
        guard let kind = Kind(rawValue: type), kind != .retry else { throw .malformed }
        self.kind = kind
        try fields.take(4)
        destination = Array(try fields.connectionID())
        _ = try fields.connectionID()
        if kind == .initial { try fields.take(try fields.length()) }
        let rest = try fields.length()
        numberStart = fields.position - packet.startIndex
        try fields.take(rest)
        length = numberStart + rest
    }
}

/// The fields of a QUIC packet or frame in their order.
struct QUICFields {
    private var octets: ArraySlice<UInt8>

    init(_ octets: ArraySlice<UInt8>) {
        self.octets = octets
    }

    var isEmpty: Bool { octets.isEmpty }
    /// The index of the next field.
    var position: Int { octets.startIndex }

    @discardableResult
    mutating func take(_ count: Int) throws(QUICFault) -> ArraySlice<UInt8> {
        guard count <= octets.count else { throw .malformed }
        defer { octets = octets.dropFirst(count) }
        return octets.prefix(count)
    }

    mutating func octet() throws(QUICFault) -> UInt8 {
        guard let octet = octets.popFirst() else { throw .malformed }
        return octet
    }

    /// Reads a connection ID after its length.
    mutating func connectionID() throws(QUICFault) -> ArraySlice<UInt8> {
        let length = Int(try octet())
        guard length <= QUICPacketHeader.maximumConnectionIDLength else { throw .malformed }
        return try take(length)
    }

    /// Reads an integer of 1, 2, 4 or 8 bytes (RFC 9000, section 16).
    mutating func integer() throws(QUICFault) -> UInt64 {
        let first = try octet()
        let more = try take(1 << Int(first >> 6) - 1)
        return more.reduce(UInt64(first & 0x3f)) { $0 << 8 | UInt64($1) }
    }

    /// Reads an integer as a number of bytes; every number over 62 bits fits.
    mutating func length() throws(QUICFault) -> Int { Int(try integer()) }
}

/// Why a client's QUIC packets were refused.
enum QUICFault: Error, Equatable, Sendable {
    case unknownVersion(UInt32)
    /// A length beyond the datagram, a Retry packet, a frame that Initial packets do not have, or
    /// packets of two connections in one datagram.
    case malformed
    /// The packet was not encrypted with the keys of its connection ID.
    case badTag
    /// Two connections could read the packet.
    case ambiguousKeys
    /// Two frames have different bytes for the same part of the handshake.
    case conflictingData
    /// More handshake data than `QUICCryptoStream.maximumLength`.
    case tooMuchData
    /// The second client hello of a connection names another server than the first.
    case differentNames
    case hello(TLSHelloError)
}

extension QUICFault: CustomStringConvertible {
    /// The end of a sentence about a datagram.
    var description: String {
        switch self {
        case .unknownVersion(let version): "QUIC with the unknown version \(version)"
        case .malformed: "malformed QUIC packet"
        case .badTag: "QUIC Initial packet that cannot be decrypted"
        case .ambiguousKeys: "QUIC Initial packet that two connections could read"
        case .conflictingData: "QUIC handshake data that contradicts earlier data"
        case .tooMuchData: "QUIC handshake over \(QUICCryptoStream.maximumLength) bytes"
        case .differentNames: "QUIC handshake with two different server names"
        case .hello(let error): "\(error)"
        }
    }
}
