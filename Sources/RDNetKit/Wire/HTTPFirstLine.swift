/// The first line of what may be a request of HTTP/1.x.
enum HTTPFirstLine: Equatable {
    case request(HTTPRequestLine)
    /// Some other protocol: no HTTP server reads a request here.
    case notHTTP
    case invalid(HTTPRequestFault)

    /// Classifies a line without its end.
    ///
    /// A line of three words with an HTTP version is a request, whatever the method: some servers
    /// accept any. Every other line belongs to another protocol, such as `EHLO name`, unless it
    /// resembles a request that a lenient server repairs (RFC 9112, section 3).
    init(_ line: UnsafeRawBufferPointer.SubSequence) {
        let words = line.split(separator: 0x20, omittingEmptySubsequences: false)
        guard words.count > 1, !words[0].isEmpty,
            words[0].allSatisfy(HTTPFollowedHead.isTokenOctet)
        else {
            self = .notHTTP
            return
        }
        let version = String(
            decoding: words.last(where: { !$0.isEmpty }) ?? line[line.endIndex...],
            as: UTF8.self
        )
        guard version.lowercased().hasPrefix("http/") else {
            self = Self.resemblesRequest(line) ? .invalid(.malformedRequestLine) : .notHTTP
            return
        }
        guard words.count == 3, !words[1].isEmpty, words[1].allSatisfy({ $0 > 0x20 && $0 != 0x7f })
        else {
            self = .invalid(.malformedRequestLine)
            return
        }
        guard version == "HTTP/1.1" || version == "HTTP/1.0" else {
            self = .invalid(.unsupportedVersion)
            return
        }
        self = .request(
            HTTPRequestLine(
                method: String(decoding: words[0], as: UTF8.self),
                target: Array(words[1]),
                minorVersion: version == "HTTP/1.1" ? 1 : 0
            )
        )
    }

    /// The classification of a line up to a byte that no request line contains.
    fileprivate init(refusing start: UnsafeRawBufferPointer.SubSequence) {
        let isRequest = Self.resemblesRequest(start, isComplete: false)
        self = isRequest ? .invalid(.malformedRequestLine) : .notHTTP
    }

    /// Whether a line is a method in capital letters and a target of HTTP, with any white space
    /// between them; an incomplete line may end before the target.
    private static func resemblesRequest(
        _ line: UnsafeRawBufferPointer.SubSequence,
        isComplete: Bool = true
    ) -> Bool {
        let isSpace = { (octet: UInt8) in [0x20, 0x09, 0x0b, 0x0c].contains(octet) }
        let method = line.prefix { (0x41...0x5a).contains($0) }
        let target = line[method.endIndex...].drop(while: isSpace)
        guard !method.isEmpty, target.startIndex > method.endIndex else { return false }
        if target.isEmpty { return !isComplete }
        let start = String(decoding: target.prefix(7), as: UTF8.self).lowercased()
        return ["/", "http:/", "https:/"].contains { start.hasPrefix($0) }
    }
}

/// Method, target and version of a request.
struct HTTPRequestLine: Equatable {
    var method: String
    var target: [UInt8]
    /// 0 or 1.
    var minorVersion: Int
}

/// Finds and classifies the first line of a request in a buffer that grows.
///
/// A line that cannot be one of HTTP is classified at the first byte that shows it, so that clients
/// of other protocols do not wait. Each byte is read once.
struct HTTPFirstLineReader {
    /// The first byte of the line: servers skip line ends before it (RFC 9112, section 2.2).
    private(set) var start = 0
    /// The position after the line, with its end.
    private(set) var end = 0
    private var hasMethod = false

    /// Reads on; nil until the line can be classified.
    mutating func read(_ octets: UnsafeRawBufferPointer) -> HTTPFirstLine? {
        while end < octets.count {
            guard end < HTTPRequestFollower.maximumHeadLength else {
                return .invalid(.headTooLong)
            }
            end += 1
            let result = hasMethod ? readTarget(octets) : readMethod(octets)
            if let result { return result }
        }
        return nil
    }

    private mutating func readMethod(_ octets: UnsafeRawBufferPointer) -> HTTPFirstLine? {
        let octet = octets[end - 1]
        if start == end - 1, octet == 0x0d || octet == 0x0a {
            start = end
            return nil
        }
        if HTTPFollowedHead.isTokenOctet(octet) { return nil }
        guard octet == 0x20, start < end - 1 else {
            return HTTPFirstLine(refusing: octets[start..<end])
        }
        hasMethod = true
        return nil
    }

    private func readTarget(_ octets: UnsafeRawBufferPointer) -> HTTPFirstLine? {
        let (previous, octet) = (octets[end - 2], octets[end - 1])
        switch octet {
        case 0x0a where previous == 0x0d: return HTTPFirstLine(octets[start..<(end - 2)])
        case 0x0a:
            // Some servers accept the bare line feed, and others read on.
            let line = HTTPFirstLine(octets[start..<(end - 1)])
            if case .request = line { return .invalid(.malformedRequestLine) }
            return line
        case _ where previous == 0x0d: return HTTPFirstLine(refusing: octets[start..<(end - 2)])
        case 0x0d: return nil
        case 0..<0x20, 0x7f: return HTTPFirstLine(refusing: octets[start..<end])
        default: return nil
        }
    }
}
