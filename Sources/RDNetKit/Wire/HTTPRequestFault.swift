/// Why the requests of a client cannot be followed.
enum HTTPRequestFault: Error, Equatable, Sendable {
    /// A first line that servers read in different ways, such as one of HTTP/0.9.
    case malformedRequestLine
    /// A version other than 1.0 and 1.1. The names in HTTP/2 are not readable here.
    case unsupportedVersion
    /// A line end other than CRLF, a NUL, white space around a name, or a folded line.
    case malformedHead
    /// A head, chunk line or trailer section over `HTTPRequestFollower.maximumHeadLength`, or more
    /// fields than `HTTPMessageHead.maximumFields`.
    case headTooLong
    /// HTTP/1.1 without the field.
    case missingHost
    case manyHosts
    /// The Host field or the target names no server: empty, or with a user or a bad port.
    case badAuthority
    /// The target names another server than the Host field.
    case differentAuthorities
    /// A body whose end servers may see at different places.
    case ambiguousBody
    /// An upgrade to HTTP/2 or TLS; the names in it would not be readable.
    case unreadableUpgrade
    /// Other bytes where the next request should start.
    case trailingBytes
}

extension HTTPRequestFault: CustomStringConvertible {
    /// The end of a sentence about a connection.
    var description: String {
        switch self {
        case .malformedRequestLine: "malformed HTTP request line"
        case .unsupportedVersion: "HTTP request with a version other than 1.0 and 1.1"
        case .malformedHead: "malformed HTTP header"
        case .headTooLong: "HTTP header over \(HTTPRequestFollower.maximumHeadLength) bytes"
        case .missingHost: "HTTP request without Host header"
        case .manyHosts: "HTTP request with two Host headers"
        case .badAuthority: "HTTP request with a malformed server name"
        case .differentAuthorities: "HTTP request with two different server names"
        case .ambiguousBody: "HTTP request with an ambiguous body length"
        case .unreadableUpgrade: "HTTP upgrade to a protocol whose server names are not readable"
        case .trailingBytes: "data that is not an HTTP request follows one"
        }
    }
}
