/// What a client's first TLS message says about the server that it wants (RFC 8446, section 4.1.2;
/// the same in TLS 1.0 to 1.2).
///
/// The reader is stricter than servers are: a message that two servers could read in two ways is
/// an error, because the name that a policy checks must be the name that the server acts on.
struct TLSClientHello: Equatable, Sendable {
    /// Limit on the message with its header, in bytes.
    static let maximumLength = 65_536
    static let headerLength = 4
    static let messageType: UInt8 = 1

    /// In lower case without the final dot; nil without the extension (RFC 6066, section 3).
    var serverName: String?
    /// Whether the message has the extension `encrypted_client_hello` (RFC 9849).
    ///
    /// `serverName` is then the outer name. Browsers also send the extension with random content
    /// to servers that do not support it, and the two cannot be told apart.
    var hasEncryptedHello: Bool
    /// In the client's order; nil without the extension (RFC 7301).
    ///
    /// Bytes that are not UTF-8 become replacement characters.
    var applicationProtocols: [String]?

    /// Reads a complete handshake message: type 1, length 3, body.
    init(readingHandshake message: RawSpan) throws(TLSHelloError) {
        guard message.byteCount <= Self.maximumLength else { throw .tooLong }
        try self.init(message: message.array(0..<message.byteCount))
    }

    /// As above, from an array.
    init(message octets: [UInt8]) throws(TLSHelloError) {
        var message = TLSFields(octets[...])
        guard try message.integer(bytes: 1) == Self.messageType else { throw .notClientHello }
        let length = try message.integer(bytes: 3)
        guard length == message.count else { throw .badLength }

        // Version 2, random 32, session, cipher suites, compression methods.
        guard try message.integer(bytes: 2) >> 8 == 3 else { throw .badVersion }
        try message.take(32)
        _ = try message.vector(lengthBytes: 1, 0...32)
        let suites = try message.vector(lengthBytes: 2, 2...65_534)
        guard suites.count % 2 == 0 else { throw .badLength }
        _ = try message.vector(lengthBytes: 1, 1...255)

        self.init()
        // TLS 1.2 and earlier may leave out the extensions together with their length.
        if message.isEmpty { return }
        var extensions = try message.vector(lengthBytes: 2, 0...65_535)
        guard message.isEmpty else { throw .badLength }
        var seen: Set<Int> = []
        while !extensions.isEmpty {
            let type = try extensions.integer(bytes: 2)
            guard seen.insert(type).inserted else { throw .repeatedExtension(type) }
            try read(type, try extensions.vector(lengthBytes: 2, 0...65_535))
        }
    }

    private init() {
        hasEncryptedHello = false
    }

    private mutating func read(_ type: Int, _ value: TLSFields) throws(TLSHelloError) {
        switch type {
        case 0: serverName = try Self.serverName(value)
        case 16: applicationProtocols = try Self.protocols(value)
        case 0xfe0d: hasEncryptedHello = true
        default: break
        }
    }

    /// The only entry of the list, which is a host name: other types are undefined.
    private static func serverName(_ value: TLSFields) throws(TLSHelloError) -> String {
        var value = value
        var list = try value.vector(lengthBytes: 2, 1...65_535)
        guard value.isEmpty else { throw .badLength }
        guard try list.integer(bytes: 1) == 0 else { throw .badServerName }
        let name = try list.vector(lengthBytes: 2, 0...65_535)
        guard list.isEmpty else { throw .manyServerNames }
        guard let text = ServerName.canonical(name.rest) else { throw .badServerName }
        return text
    }

    private static func protocols(_ value: TLSFields) throws(TLSHelloError) -> [String] {
        var (value, names) = (value, [String]())
        var list = try value.vector(lengthBytes: 2, 2...65_535)
        guard value.isEmpty else { throw .badLength }
        while !list.isEmpty {
            let name = try list.vector(lengthBytes: 1, 1...255)
            names.append(String(decoding: name.rest, as: UTF8.self))
        }
        return names
    }
}

/// Why a client's first TLS bytes were refused.
enum TLSHelloError: Error, Equatable, Sendable {
    /// A length that contradicts its content, its definition or the message.
    case badLength
    /// The message is longer than `TLSClientHello.maximumLength`, or its records are tiny.
    case tooLong
    /// A major version other than 3.
    case badVersion
    /// A handshake message of another type.
    case notClientHello
    /// A record of another type, or an empty one, before the end of the message.
    case unexpectedRecord
    /// More data after the message in its last record.
    case trailingData
    /// The format of SSL 2.0, which has no place for a name.
    case versionTwoFormat
    /// Two extensions of this type.
    case repeatedExtension(Int)
    /// More than one entry in the extension.
    case manyServerNames
    /// Empty, or not a DNS name.
    case badServerName
}

extension TLSHelloError: CustomStringConvertible {
    /// The end of a sentence about a connection.
    var description: String {
        switch self {
        case .badLength: "TLS client hello with lengths that do not add up"
        case .tooLong: "TLS client hello over \(TLSClientHello.maximumLength) bytes"
        case .badVersion: "TLS client hello with an unknown version"
        case .notClientHello: "TLS handshake that does not start with a client hello"
        case .unexpectedRecord: "TLS record that interrupts the client hello"
        case .trailingData: "TLS record with data after the client hello"
        case .versionTwoFormat: "client hello in the format of SSL 2.0"
        case .repeatedExtension(0): "TLS client hello with two server names"
        case .repeatedExtension(let type): "TLS client hello with two extensions of type \(type)"
        case .manyServerNames: "TLS client hello with two server names"
        case .badServerName: "TLS client hello with a server name that is not a DNS name"
        }
    }
}
