/// The type of a DHCPv6 message (RFC 8415, 7.3).
enum DHCPv6MessageType: UInt8, Sendable {
    case solicit = 1
    case advertise = 2
    case request = 3
    case confirm = 4
    case renew = 5
    case rebind = 6
    case reply = 7
    case release = 8
    case decline = 9
    case reconfigure = 10
    case informationRequest = 11
}

/// A DHCPv6 message between a client and a server (RFC 8415, 8): type 1, transaction 3, options.
///
/// Messages of relay agents have another format and are not read.
struct DHCPv6Message: Equatable, Sendable {
    static let clientPort: UInt16 = 546
    static let serverPort: UInt16 = 547

    private static let headLength = 4
    /// Limit on identity associations: a client has one of each kind for an interface.
    static let maximumAssociations = 16
    /// Limit on the addresses in an identity association.
    static let maximumAddresses = 8
    /// Bytes of a client's or server's identifier (DUID): its type and at most 128 bytes (11.1).
    static let identifierLengths = 3...130

    var type: DHCPv6MessageType
    /// 24 bits, chosen by the client and repeated by the server.
    var transaction: UInt32
    var options = DHCPv6Options()
    /// The identity associations, which are not among `options`.
    var associations: [DHCPv6Association] = []

    init(_ type: DHCPv6MessageType, transaction: UInt32) {
        self.type = type
        self.transaction = transaction & 0xff_ffff
    }

    /// Reads a UDP payload.
    ///
    /// - Throws: `PacketError`: `notThisFormat` for other types; others for lengths that contradict
    ///   each other, a wrong length of an identifier, and too many associations or addresses.
    init(reading octets: RawSpan) throws(PacketError) {
        guard octets.byteCount >= Self.headLength else {
            throw .truncated(needed: Self.headLength, available: octets.byteCount)
        }
        guard let type = DHCPv6MessageType(rawValue: octets.octet(at: 0)) else {
            throw .notThisFormat
        }
        self.init(type, transaction: octets.bigEndian(at: 0))
        for option in try DHCPv6Options(reading: octets, from: Self.headLength).all {
            guard let association = try DHCPv6Association(reading: option) else {
                options.append(option.code, option.value)
                continue
            }
            guard associations.count < Self.maximumAssociations,
                association.addresses.count <= Self.maximumAddresses
            else {
                throw .badLength(
                    field: association.addresses.count,
                    available: Self.maximumAddresses
                )
            }
            associations.append(association)
        }
        for identifier in [clientIdentifier, serverIdentifier] {
            guard let length = identifier?.count else { continue }
            guard Self.identifierLengths.contains(length) else {
                throw .badLength(field: length, available: Self.identifierLengths.upperBound)
            }
        }
    }

    /// The identifier of the client (DUID); nil if it is absent.
    var clientIdentifier: [UInt8]? { options[.clientIdentifier] }

    /// The identifier of the server that is meant or answers (DUID); nil if it is absent.
    var serverIdentifier: [UInt8]? { options[.serverIdentifier] }

    /// The message as a UDP payload.
    var octets: [UInt8] {
        let head = UInt32(type.rawValue) << 24 | transaction
        var options = options
        for association in associations {
            options.append(association.kind.code, association.octets)
        }
        return head.bigEndianOctets + options.octets
    }
}
