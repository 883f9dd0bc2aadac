/// A `host:port` text, split by the rules of Go's `net.SplitHostPort` but not interpreted.
struct HostPortText: Equatable {
    /// Without the brackets of an IPv6 address; may be empty.
    let host: String
    /// May be empty.
    let port: String

    /// Splits a text at its last colon.
    init(_ text: String) throws(HostPortTextError) {
        let octets = Array(text.utf8)
        guard let colon = octets.lastIndex(of: UInt8(ascii: ":")) else {
            throw HostPortTextError(address: text, reason: .missingPort)
        }
        var inside = octets[..<colon]
        if octets.first == UInt8(ascii: "[") {
            guard let end = octets.firstIndex(of: UInt8(ascii: "]")) else {
                throw HostPortTextError(address: text, reason: .missingBracket)
            }
            guard end + 1 == colon else {
                let manyColons = end + 1 < octets.count && octets[end + 1] == UInt8(ascii: ":")
                throw HostPortTextError(
                    address: text,
                    reason: manyColons ? .tooManyColons : .missingPort
                )
            }
            inside = octets[1..<end]
        } else if inside.contains(UInt8(ascii: ":")) {
            throw HostPortTextError(address: text, reason: .tooManyColons)
        }
        let rest = octets[(colon + 1)...]
        if (inside + rest).contains(UInt8(ascii: "[")) {
            throw HostPortTextError(address: text, reason: .unexpectedOpeningBracket)
        }
        if (inside + rest).contains(UInt8(ascii: "]")) {
            throw HostPortTextError(address: text, reason: .unexpectedClosingBracket)
        }
        host = String(decoding: inside, as: UTF8.self)
        port = String(decoding: rest, as: UTF8.self)
    }
}

/// Why a text is not `host:port`; the texts are those of Go's `net` package.
struct HostPortTextError: Error, Equatable, CustomStringConvertible {
    /// What is wrong with a `host:port` text.
    enum Reason: String {
        case missingPort = "missing port in address"
        case tooManyColons = "too many colons in address"
        case missingBracket = "missing ']' in address"
        case unexpectedOpeningBracket = "unexpected '[' in address"
        case unexpectedClosingBracket = "unexpected ']' in address"
    }

    let address: String
    let reason: Reason

    var description: String {
        address.isEmpty ? reason.rawValue : "address \(address): \(reason.rawValue)"
    }
}
