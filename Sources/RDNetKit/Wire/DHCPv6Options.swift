/// The code of a DHCPv6 option (RFC 8415, 21; RFC 3646).
struct DHCPv6OptionCode: RawRepresentable, Hashable, Sendable {
    let rawValue: UInt16

    static let clientIdentifier = DHCPv6OptionCode(rawValue: 1)
    static let serverIdentifier = DHCPv6OptionCode(rawValue: 2)
    /// An identity association for addresses (IA_NA).
    static let addresses = DHCPv6OptionCode(rawValue: 3)
    /// An identity association for temporary addresses (IA_TA).
    static let temporaryAddresses = DHCPv6OptionCode(rawValue: 4)
    /// An address within an identity association (IAADDR).
    static let address = DHCPv6OptionCode(rawValue: 5)
    static let optionRequest = DHCPv6OptionCode(rawValue: 6)
    static let preference = DHCPv6OptionCode(rawValue: 7)
    static let statusCode = DHCPv6OptionCode(rawValue: 13)
    static let rapidCommit = DHCPv6OptionCode(rawValue: 14)
    /// RFC 3646, 3.
    static let nameServers = DHCPv6OptionCode(rawValue: 23)
    /// RFC 3646, 4.
    static let domainSearch = DHCPv6OptionCode(rawValue: 24)
    /// An identity association for prefixes (IA_PD).
    static let prefixes = DHCPv6OptionCode(rawValue: 25)
    /// RFC 4704, 4.
    static let clientName = DHCPv6OptionCode(rawValue: 39)
}

/// The options of a DHCPv6 message or of an option in it: code 2, length 2, value.
///
/// The order is kept, and a code may occur more than once. Unknown codes are kept. Values together
/// are never longer than the datagram they came from.
struct DHCPv6Options: Equatable, Sendable {
    struct Option: Equatable, Sendable {
        var code: DHCPv6OptionCode
        var value: [UInt8]
    }

    private static let headLength = 4

    private(set) var all: [Option] = []

    init() {}

    /// Reads options up to the end of the octets.
    ///
    /// - Throws: `PacketError.badLength` for an option beyond the end.
    init(reading octets: RawSpan, from start: Int = 0) throws(PacketError) {
        var offset = start
        while offset < octets.byteCount {
            let available = octets.byteCount - offset - Self.headLength
            guard available >= 0 else {
                throw .badLength(field: Self.headLength, available: octets.byteCount - offset)
            }
            let code = DHCPv6OptionCode(rawValue: octets.bigEndian(at: offset))
            let length = Int(octets.bigEndian(at: offset + 2, as: UInt16.self))
            guard length <= available else { throw .badLength(field: length, available: available) }
            offset += Self.headLength
            all.append(Option(code: code, value: octets.array(offset..<(offset + length))))
            offset += length
        }
    }

    /// The first value of an option; nil when it is absent.
    subscript(code: DHCPv6OptionCode) -> [UInt8]? {
        all.first { $0.code == code }?.value
    }

    mutating func append(_ code: DHCPv6OptionCode, _ value: [UInt8] = []) {
        all.append(Option(code: code, value: value))
    }

    mutating func append(_ status: DHCPv6Status) {
        append(.statusCode, status.code.rawValue.bigEndianOctets + Array(status.message.utf8))
    }

    /// The codes that the client asks for (21.7); nil without an option request.
    var requestedCodes: [DHCPv6OptionCode]? {
        self[.optionRequest].map { value in
            stride(from: 0, to: value.count - 1, by: 2).map { offset in
                let code = UInt16(value[offset]) << 8 | UInt16(value[offset + 1])
                return DHCPv6OptionCode(rawValue: code)
            }
        }
    }

    /// The first label of the client's name (RFC 4704, 4: flags 1, name in DNS form); nil if there
    /// is none, or if the client wants no DNS record for it (flag N).
    var clientLabel: [UInt8]? {
        let noRecord: UInt8 = 4
        guard let value = self[.clientName], value.count > 2, value[0] & noRecord == 0 else {
            return nil
        }
        let length = Int(value[1])
        guard (1...63).contains(length), 2 + length <= value.count else { return nil }
        return Array(value[2..<(2 + length)])
    }

    var octets: [UInt8] {
        all.flatMap { option in
            option.code.rawValue.bigEndianOctets
                + UInt16(truncatingIfNeeded: option.value.count).bigEndianOctets + option.value
        }
    }
}

/// A status for the client (RFC 8415, 21.13).
struct DHCPv6Status: Equatable, Sendable {
    enum Code: UInt16, Sendable {
        case success = 0
        case noAddressAvailable = 2
        case noBinding = 3
        case notOnLink = 4
        case useMulticast = 5
        case noPrefixAvailable = 6
    }

    var code: Code
    /// A sentence for people; may be empty.
    var message: String
}

/// An identity association: the addresses or prefixes of one of a client's interfaces (RFC 8415,
/// 21.4, 21.5 and 21.21).
///
///     IA_NA, IA_PD: identifier 4, T1 4, T2 4, options
///     IA_TA:        identifier 4, options
struct DHCPv6Association: Equatable, Sendable {
    /// An address with its lifetimes in seconds (21.6).
    struct Address: Equatable, Sendable {
        static let length = 24

        var address: IPAddress
        var preferredLifetime: UInt32
        var validLifetime: UInt32
    }

    enum Kind: Sendable {
        case addresses
        case temporaryAddresses
        case prefixes

        init?(_ code: DHCPv6OptionCode) {
            switch code {
            case .addresses: self = .addresses
            case .temporaryAddresses: self = .temporaryAddresses
            case .prefixes: self = .prefixes
            default: return nil
            }
        }

        var code: DHCPv6OptionCode {
            switch self {
            case .addresses: .addresses
            case .temporaryAddresses: .temporaryAddresses
            case .prefixes: .prefixes
            }
        }

        /// Bytes before the options.
        fileprivate var fixedLength: Int { self == .temporaryAddresses ? 4 : 12 }
    }

    var kind: Kind
    /// The client's number for it (IAID).
    var identifier: UInt32
    /// Seconds after which the client renews; 0 leaves it open.
    var renewalTime: UInt32 = 0
    /// Seconds after which the client rebinds; 0 leaves it open.
    var rebindingTime: UInt32 = 0
    var addresses: [Address] = []
    var status: DHCPv6Status?

    init(_ kind: Kind, identifier: UInt32) {
        self.kind = kind
        self.identifier = identifier
    }

    /// Reads an option; its status is ignored, and so are the prefixes of IA_PD.
    ///
    /// - Returns: Nil if the option is no identity association.
    /// - Throws: `PacketError` if it is shorter than its fields.
    init?(reading option: DHCPv6Options.Option) throws(PacketError) {
        guard let kind = Kind(option.code) else { return nil }
        let octets = option.value.span.bytes
        guard octets.byteCount >= kind.fixedLength else {
            throw .truncated(needed: kind.fixedLength, available: octets.byteCount)
        }
        self.kind = kind
        identifier = octets.bigEndian(at: 0)
        if kind != .temporaryAddresses {
            renewalTime = octets.bigEndian(at: 4)
            rebindingTime = octets.bigEndian(at: 8)
        }
        let options = try DHCPv6Options(reading: octets, from: kind.fixedLength)
        for option in options.all where option.code == .address {
            let octets = option.value.span.bytes
            guard octets.byteCount >= Address.length else {
                throw .truncated(needed: Address.length, available: octets.byteCount)
            }
            addresses.append(
                Address(
                    address: IPAddress(reading: octets, at: 0),
                    preferredLifetime: octets.bigEndian(at: 16),
                    validLifetime: octets.bigEndian(at: 20)
                )
            )
        }
    }

    /// The value of the option.
    var octets: [UInt8] {
        var options = DHCPv6Options()
        for address in addresses {
            options.append(
                .address,
                address.address.ipv6Octets + address.preferredLifetime.bigEndianOctets
                    + address.validLifetime.bigEndianOctets
            )
        }
        if let status { options.append(status) }
        let times =
            kind == .temporaryAddresses
            ? [] : renewalTime.bigEndianOctets + rebindingTime.bigEndianOctets
        return identifier.bigEndianOctets + times + options.octets
    }
}
