/// The request line and the fields of an HTTP/1.0 or 1.1 request (RFC 9112, sections 2 to 5).
struct HTTPRequestHead: HTTPMessageHead {
    static let maximumBodyLength = 1 << 20

    var method: String
    /// The target's path, percent-decoded; `*` for the server as a whole.
    var path: String
    /// The query string after the question mark, undecoded.
    var query: String?
    /// 0 or 1.
    var minorVersion: Int
    var fields: [HTTPField]

    /// Reads a head.
    ///
    /// - Parameter octets: Request line and fields, up to and with the empty line.
    /// - Throws: `HTTPError` if RFC 9112 forbids the request or this server does not support it.
    init(parsing octets: ArraySlice<UInt8>) throws(HTTPError) {
        let lines = Self.lines(of: octets)
        let words = (lines.first ?? []).split(separator: 0x20, omittingEmptySubsequences: false)
        guard words.count == 3, !words[0].isEmpty, words[0].allSatisfy(Self.isTokenOctet) else {
            throw .malformed("malformed HTTP request line")
        }
        method = String(decoding: words[0], as: UTF8.self)
        minorVersion = try Self.minorVersion(words[2])
        (path, query) = try Self.target(words[1])
        fields = try Self.fields(in: lines.dropFirst())
        try checkHost()
        _ = try framing()
        _ = try expectsContinue()
    }

    /// Whether the client keeps the connection open after this request (RFC 9112, section 9.3).
    var keepsAlive: Bool {
        let options = values(of: "connection").flatMap(Self.list)
        return minorVersion >= 1 ? !options.contains("close") : options.contains("keep-alive")
    }

    /// How the body is delimited; length 0 if there is none.
    func framing() throws(HTTPError) -> HTTPBodyFraming {
        try framingByFields() ?? .length(0)
    }

    /// Whether the client waits for 100 Continue before it sends the body (RFC 9110, section
    /// 10.1.1).
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
}
