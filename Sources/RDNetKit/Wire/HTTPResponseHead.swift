/// The status line and the fields of an HTTP/1.0 or 1.1 response (RFC 9112, section 4).
struct HTTPResponseHead: HTTPMessageHead {
    static let maximumBodyLength = 16 << 20

    var minorVersion: Int
    /// 100 to 999.
    var status: Int
    var fields: [HTTPField]

    /// Reads a head.
    ///
    /// - Parameter octets: Status line and fields through the empty line.
    /// - Throws: `HTTPError` if RFC 9112 forbids the response.
    init(parsing octets: ArraySlice<UInt8>) throws(HTTPError) {
        let lines = Self.lines(of: octets)
        let words = (lines.first ?? []).split(
            separator: 0x20,
            maxSplits: 2,
            omittingEmptySubsequences: false
        ).map { String(decoding: $0, as: UTF8.self) }
        guard words.count >= 2, ["HTTP/1.0", "HTTP/1.1"].contains(words[0]),
            words[1].utf8.count == 3, let status = Int(words[1]), status >= 100
        else { throw .malformed("malformed HTTP status line") }
        minorVersion = words[0] == "HTTP/1.1" ? 1 : 0
        self.status = status
        fields = try Self.fields(in: lines.dropFirst())
        _ = try framing()
    }

    /// Whether this is an interim response (RFC 9110, section 15.2).
    var isInterim: Bool { status < 200 }

    /// How the body is delimited; without a word about it, by the stream's end (RFC 9112, section
    /// 6.3).
    func framing() throws(HTTPError) -> HTTPBodyFraming {
        if isInterim || status == 204 || status == 304 { return .length(0) }
        return try framingByFields() ?? .untilEnd
    }

    func expectsContinue() -> Bool { false }
}
