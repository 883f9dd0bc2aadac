/// One header field of an HTTP message.
struct HTTPField: Equatable, Sendable {
    var name: String
    var value: String

    init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// Why a request is answered by the server itself and the connection closed.
enum HTTPError: Error, Equatable {
    case malformed(String)
    /// Head, chunk line or trailers longer than `HTTPRequestHead.longest`.
    case headTooLarge
    /// Body longer than `HTTPRequestReader.longestBody`.
    case bodyTooLarge
    case unsupportedTransferCoding
    case unsupportedVersion
    case unknownExpectation
    /// All connections together hold as much as they may.
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

    /// What the answer says behind its reason phrase.
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

/// How the octets of a request's body are delimited (RFC 9112, section 6).
enum HTTPBodyFraming: Equatable {
    case length(Int)
    case chunked
}

/// The request line and the fields of an HTTP/1.0 or 1.1 request (RFC 9112, sections 2 to 5).
struct HTTPRequestHead: Equatable {
    /// Octets of a head with its empty line.
    static let longest = 16_384
    static let mostFields = 128

    var method: String
    /// The target's path, percent-decoded; `*` for the server as a whole.
    var path: String
    /// What follows the question mark, as it was sent.
    var query: String?
    /// 0 or 1.
    var minorVersion: Int
    var fields: [HTTPField]

    /// Reads a head.
    ///
    /// - Parameter octets: Request line and fields, up to and with the empty line.
    /// - Throws: `HTTPError` for what RFC 9112 forbids or this server does not serve.
    init(parsing octets: ArraySlice<UInt8>) throws(HTTPError) {
        var lines = octets.split(separator: 0x0a, omittingEmptySubsequences: false)
            .map { $0.last == 0x0d ? $0.dropLast() : $0 }[...]
        // Robustness of RFC 9112, section 2.2: empty lines before the request line.
        lines = lines.drop { $0.isEmpty }
        let words = (lines.popFirst() ?? []).split(
            separator: 0x20,
            omittingEmptySubsequences: false
        )
        guard words.count == 3, !words[0].isEmpty, words[0].allSatisfy(Self.isTokenOctet) else {
            throw .malformed("malformed HTTP request line")
        }
        method = String(decoding: words[0], as: UTF8.self)
        minorVersion = try Self.minorVersion(words[2])
        (path, query) = try Self.target(words[1])
        fields = []
        while let line = lines.popFirst(), !line.isEmpty {
            guard fields.count < Self.mostFields else { throw .headTooLarge }
            fields.append(try Self.field(line))
        }
        try checkHost()
        _ = try framing()
        _ = try expectsContinue()
    }

    /// The values of all fields of a name, given in lower case.
    func values(of name: String) -> [String] {
        fields.filter { $0.name.lowercased() == name }.map(\.value)
    }

    /// Whether the client wants to go on after this request (RFC 9112, section 9.3).
    var keepsAlive: Bool {
        let options = values(of: "connection").flatMap(Self.list)
        return minorVersion >= 1 ? !options.contains("close") : options.contains("keep-alive")
    }

    /// How the body is delimited; no body is a length of 0.
    func framing() throws(HTTPError) -> HTTPBodyFraming {
        let lengths = values(of: "content-length").flatMap {
            $0.split(separator: ",", omittingEmptySubsequences: false).map(Self.trimmed)
        }
        let codings = values(of: "transfer-encoding").flatMap(Self.list)
        if !codings.isEmpty {
            guard minorVersion >= 1, lengths.isEmpty else {
                // Two opinions about where the body ends are how requests are smuggled.
                throw .malformed("conflicting message framing")
            }
            guard codings == ["chunked"] else { throw .unsupportedTransferCoding }
            return .chunked
        }
        guard let first = lengths.first else { return .length(0) }
        guard lengths.allSatisfy({ $0 == first }), !first.isEmpty, first.utf8.count <= 18,
            first.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = Int(first)
        else { throw .malformed("bad Content-Length") }
        return .length(length)
    }

    /// Whether the client waits for a word before it sends its body (RFC 9110, section 10.1.1).
    func expectsContinue() throws(HTTPError) -> Bool {
        let expectations = values(of: "expect").flatMap(Self.list)
        guard expectations.allSatisfy({ $0 == "100-continue" }) else { throw .unknownExpectation }
        return !expectations.isEmpty && minorVersion >= 1
    }

    private func checkHost() throws(HTTPError) {
        let hosts = values(of: "host")
        if hosts.isEmpty, minorVersion >= 1 { throw .malformed("missing required Host header") }
        if hosts.count > 1 { throw .malformed("too many Host headers") }
    }

    // MARK: Grammar

    private static func minorVersion(_ word: ArraySlice<UInt8>) throws(HTTPError) -> Int {
        let text = String(decoding: word, as: UTF8.self)
        if text == "HTTP/1.1" { return 1 }
        if text == "HTTP/1.0" { return 0 }
        guard text.hasPrefix("HTTP/"), text.utf8.count == 8 else {
            throw .malformed("malformed HTTP version")
        }
        throw .unsupportedVersion
    }

    private static func target(
        _ word: ArraySlice<UInt8>
    ) throws(HTTPError) -> (path: String, query: String?) {
        guard word.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
            throw .malformed("invalid character in request target")
        }
        var text = String(decoding: word, as: UTF8.self)
        if text == "*" { return ("*", nil) }
        // The absolute form (RFC 9112, section 3.2.2): what a client sends to a proxy.
        if text.lowercased().hasPrefix("http://") {
            let rest = text.dropFirst("http://".count)
            text = String(rest[(rest.firstIndex { "/?".contains($0) } ?? rest.endIndex)...])
            if !text.hasPrefix("/") { text = "/" + text }
        }
        guard text.hasPrefix("/") else { throw .malformed("invalid request target") }
        let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        guard let path = URLPath.decoded(String(parts[0])) else {
            throw .malformed("invalid escape in request target")
        }
        return (path, parts.count > 1 ? String(parts[1]) : nil)
    }

    private static func field(_ line: ArraySlice<UInt8>) throws(HTTPError) -> HTTPField {
        // A name that is empty, or has white space in it, also covers the obsolete folded lines.
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

    /// Whether an octet may stand in a method or a field's name (RFC 9110, section 5.6.2).
    private static func isTokenOctet(_ octet: UInt8) -> Bool {
        switch octet {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(octet)
        }
    }

    private static func list(_ value: String) -> [String] {
        value.split(separator: ",").map { trimmed($0).lowercased() }.filter { !$0.isEmpty }
    }

    private static func trimmed(_ text: Substring) -> String {
        let isSpace = { (octet: UInt8) in octet == 0x20 || octet == 0x09 }
        let octets = text.utf8.drop(while: isSpace)
        let end = octets.lastIndex { !isSpace($0) }
        return end.map { String(Substring(octets[...$0])) } ?? ""
    }
}
