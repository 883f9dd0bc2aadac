/// One header field of an HTTP message.
struct HTTPField: Equatable, Sendable {
    var name: String
    var value: String

    init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// Why the server itself answers a request and closes the connection.
enum HTTPError: Error, Equatable {
    case malformed(String)
    /// Head, chunk line or trailers longer than `HTTPMessageHead.longest`.
    case headTooLarge
    /// Body longer than `HTTPMessageHead.maximumBodyLength`.
    case bodyTooLarge
    case unsupportedTransferCoding
    case unsupportedVersion
    case unknownExpectation
    /// All connections together have reached their memory limit.
    case overloaded

    /// The status code of the answer.
    var status: Int {
        switch self {
        case .malformed: 400
        case .bodyTooLarge: 413
        case .unknownExpectation: 417
        case .headTooLarge: 431
        case .unsupportedTransferCoding: 501
        case .overloaded: 503
        case .unsupportedVersion: 505
        }
    }

    /// The detail after the reason phrase.
    var detail: String? {
        switch self {
        case .malformed(let detail): detail
        case .bodyTooLarge: "http: request body too large"
        case .unsupportedTransferCoding: "unsupported transfer encoding"
        case .unsupportedVersion: "unsupported protocol version"
        case .headTooLarge, .unknownExpectation, .overloaded: nil
        }
    }
}

/// How the octets of a message's body are delimited (RFC 9112, section 6).
enum HTTPBodyFraming: Equatable {
    case length(Int)
    case chunked
    /// The end of the stream; responses only.
    case untilEnd
}

/// What requests and responses have in common: a first line, and fields (RFC 9112, section 2.1).
protocol HTTPMessageHead: Equatable {
    /// Limit on a body, in bytes.
    static var maximumBodyLength: Int { get }
    /// 0 or 1.
    var minorVersion: Int { get }
    var fields: [HTTPField] { get }

    /// Reads a head, up to and with its empty line.
    init(parsing octets: ArraySlice<UInt8>) throws(HTTPError)
    /// How the body is delimited.
    func framing() throws(HTTPError) -> HTTPBodyFraming
    /// Whether the sender waits for 100 Continue before it sends the body.
    func expectsContinue() throws(HTTPError) -> Bool
}

extension HTTPMessageHead {
    /// Limit on a head including its empty line, in bytes.
    static var maximumLength: Int { 16_384 }
    static var maximumFields: Int { 128 }

    /// The values of all fields of a name, given in lower case.
    func values(of name: String) -> [String] {
        fields.filter { $0.name.lowercased() == name }.map(\.value)
    }

    /// How the fields delimit the body; nil if they do not say.
    func framingByFields() throws(HTTPError) -> HTTPBodyFraming? {
        let lengths = values(of: "content-length").flatMap {
            $0.split(separator: ",", omittingEmptySubsequences: false).map(Self.trimmed)
        }
        let codings = values(of: "transfer-encoding").flatMap(Self.list)
        if !codings.isEmpty {
            guard minorVersion >= 1, lengths.isEmpty else {
                // Two different lengths for one body enable request smuggling.
                throw .malformed("conflicting message framing")
            }
            guard codings == ["chunked"] else { throw .unsupportedTransferCoding }
            return .chunked
        }
        guard let first = lengths.first else { return nil }
        guard lengths.allSatisfy({ $0 == first }), !first.isEmpty, first.utf8.count <= 18,
            first.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = Int(first)
        else { throw .malformed("bad Content-Length") }
        return .length(length)
    }

    // MARK: Grammar

    /// A head's lines without their ends; the first is not empty.
    static func lines(of octets: ArraySlice<UInt8>) -> ArraySlice<ArraySlice<UInt8>> {
        octets.split(separator: 0x0a, omittingEmptySubsequences: false)
            .map { $0.last == 0x0d ? $0.dropLast() : $0 }[...]
            // Robustness of RFC 9112, section 2.2: empty lines before the first one.
            .drop { $0.isEmpty }
    }

    /// The fields of a head: its lines between the first and the empty one.
    static func fields(
        in lines: ArraySlice<ArraySlice<UInt8>>
    ) throws(HTTPError) -> [HTTPField] {
        var fields: [HTTPField] = []
        for line in lines.prefix(while: { !$0.isEmpty }) {
            guard fields.count < maximumFields else { throw .headTooLarge }
            fields.append(try field(line))
        }
        return fields
    }

    private static func field(_ line: ArraySlice<UInt8>) throws(HTTPError) -> HTTPField {
        // Rejecting empty names and white space in names also rejects obsolete line folding.
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
            line[..<colon].allSatisfy(isTokenOctet)
        else { throw .malformed("malformed MIME header line") }
        let value = line[(colon + 1)...]
        guard value.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }) else {
            throw .malformed("invalid header value")
        }
        return HTTPField(
            String(decoding: line[..<colon], as: UTF8.self),
            trimmed(String(decoding: value, as: UTF8.self)[...])
        )
    }

    /// Whether a method or field name may contain this byte (RFC 9110, section 5.6.2).
    static func isTokenOctet(_ octet: UInt8) -> Bool {
        switch octet {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(octet)
        }
    }

    static func list(_ value: String) -> [String] {
        value.split(separator: ",").map { trimmed($0).lowercased() }.filter { !$0.isEmpty }
    }

    private static func trimmed(_ text: Substring) -> String {
        let isSpace = { (octet: UInt8) in octet == 0x20 || octet == 0x09 }
        let octets = text.utf8.drop(while: isSpace)
        let end = octets.lastIndex { !isSpace($0) }
        return end.map { String(Substring(octets[...$0])) } ?? ""
    }
}
