/// The code of a DHCP option (RFC 2132; the others name their own RFC).
struct DHCPOptionCode: RawRepresentable, Hashable, Sendable {
    let rawValue: UInt8

    static let pad = DHCPOptionCode(rawValue: 0)
    static let subnetMask = DHCPOptionCode(rawValue: 1)
    static let router = DHCPOptionCode(rawValue: 3)
    static let domainNameServer = DHCPOptionCode(rawValue: 6)
    static let hostName = DHCPOptionCode(rawValue: 12)
    static let domainName = DHCPOptionCode(rawValue: 15)
    static let interfaceMTU = DHCPOptionCode(rawValue: 26)
    static let broadcastAddress = DHCPOptionCode(rawValue: 28)
    static let ntpServers = DHCPOptionCode(rawValue: 42)
    static let requestedAddress = DHCPOptionCode(rawValue: 50)
    static let leaseTime = DHCPOptionCode(rawValue: 51)
    static let overload = DHCPOptionCode(rawValue: 52)
    static let messageType = DHCPOptionCode(rawValue: 53)
    static let serverIdentifier = DHCPOptionCode(rawValue: 54)
    static let parameterRequestList = DHCPOptionCode(rawValue: 55)
    static let message = DHCPOptionCode(rawValue: 56)
    static let maximumMessageSize = DHCPOptionCode(rawValue: 57)
    static let renewalTime = DHCPOptionCode(rawValue: 58)
    static let rebindingTime = DHCPOptionCode(rawValue: 59)
    static let clientIdentifier = DHCPOptionCode(rawValue: 61)
    /// Relay agent information (RFC 3046).
    static let relayAgentInformation = DHCPOptionCode(rawValue: 82)
    /// Domain search list (RFC 3397).
    static let domainSearch = DHCPOptionCode(rawValue: 119)
    /// Classless static routes (RFC 3442).
    static let classlessStaticRoutes = DHCPOptionCode(rawValue: 121)
    /// `IPv6Offer`, between programs of this family only (RFC 3942: 224 to 254 are for local use).
    static let ipv6Offer = DHCPOptionCode(rawValue: 224)
    static let end = DHCPOptionCode(rawValue: 255)
}

/// The options of a DHCP message: one value per code, in ascending order on the wire.
///
/// A repeated code is one value in several pieces (RFC 3396, section 7); a value of more than 255
/// bytes is written in pieces. Unknown codes are kept. Values together are never longer than the
/// datagram they came from.
struct DHCPOptions: Equatable, Sendable {
    private var values: [UInt8: [UInt8]] = [:]

    /// Accesses the value of an option; nil when it is absent.
    subscript(code: DHCPOptionCode) -> [UInt8]? {
        get { values[code.rawValue] }
        set { values[code.rawValue] = newValue }
    }

    /// The present codes, ascending.
    var codes: [DHCPOptionCode] {
        values.keys.sorted().map { DHCPOptionCode(rawValue: $0) }
    }

    /// Adds the options of one field, up to its end option or its end.
    ///
    /// - Parameters:
    ///   - octets: The message.
    ///   - field: Where the field lies in the message.
    /// - Throws: `PacketError.badLength` for an option that exceeds its field.
    mutating func read(_ octets: RawSpan, field: Range<Int>) throws(PacketError) {
        var offset = field.lowerBound
        while offset < field.upperBound {
            let code = DHCPOptionCode(rawValue: octets.octet(at: offset))
            offset += 1
            if code == .end { return }
            if code == .pad { continue }
            guard offset < field.upperBound else { throw .badLength(field: 1, available: 0) }
            let length = Int(octets.octet(at: offset))
            offset += 1
            guard length <= field.upperBound - offset else {
                throw .badLength(field: length, available: field.upperBound - offset)
            }
            values[code.rawValue, default: []] += octets.array(offset..<(offset + length))
            offset += length
        }
    }

    /// The options field including the end option.
    var octets: [UInt8] {
        var octets: [UInt8] = []
        for code in values.keys.sorted() {
            let value = values[code] ?? []
            var start = 0
            repeat {
                let piece = value[start..<min(start + 255, value.count)]
                octets += [code, UInt8(piece.count)]
                octets += piece
                start += piece.count
            } while start < value.count
        }
        return octets + [DHCPOptionCode.end.rawValue]
    }
}

// MARK: Values by type

extension DHCPOptions {
    /// A one-byte value; nil if it is absent or has another length.
    func octet(_ code: DHCPOptionCode) -> UInt8? {
        integer(code)
    }

    /// A 16-bit value; nil if it is absent or has another length.
    func integer16(_ code: DHCPOptionCode) -> UInt16? {
        integer(code)
    }

    /// A 32-bit value; nil if it is absent or has another length.
    func integer32(_ code: DHCPOptionCode) -> UInt32? {
        integer(code)
    }

    private func integer<Value: FixedWidthInteger>(_ code: DHCPOptionCode) -> Value? {
        guard let value = self[code], value.count == Value.bitWidth / 8 else { return nil }
        return value.reduce(0) { $0 << 8 | Value($1) }
    }

    /// The first of one or more IPv4 addresses.
    func address(_ code: DHCPOptionCode) -> IPAddress? {
        addresses(code).first
    }

    /// IPv4 addresses; a trailing fragment of less than four bytes is ignored.
    func addresses(_ code: DHCPOptionCode) -> [IPAddress] {
        guard let value = self[code] else { return [] }
        return stride(from: 0, to: value.count - value.count % 4, by: 4).map { start in
            IPAddress(ipv4: value[start..<(start + 4)].reduce(0) { $0 << 8 | UInt32($1) })
        }
    }

    mutating func set(_ code: DHCPOptionCode, to value: some FixedWidthInteger & UnsignedInteger) {
        self[code] = (0..<value.bitWidth / 8).reversed().map {
            UInt8(truncatingIfNeeded: value >> (8 * $0))
        }
    }

    mutating func set(_ code: DHCPOptionCode, to addresses: [IPAddress]) {
        self[code] = addresses.flatMap(\.octets)
    }
}
