/// What a policy needs of a request: the server that it names, and where the next one starts.
struct HTTPFollowedHead: HTTPMessageHead {
    /// No limit: bodies pass without being kept.
    static let maximumBodyLength = Int.max

    var minorVersion: Int
    var fields: [HTTPField]
    private var line: HTTPRequestLine

    init(parsing octets: ArraySlice<UInt8>) throws(HTTPError) {
        let lines = Self.lines(of: octets)
        let first = lines.first ?? []
        guard case .request(let line) = first.withUnsafeBytes({ HTTPFirstLine($0[...]) }) else {
            throw .malformed("malformed HTTP request line")
        }
        self.line = line
        minorVersion = line.minorVersion
        fields = try Self.fields(in: lines.dropFirst())
    }

    /// As above, with the errors of the follower.
    init(following octets: [UInt8]) throws(HTTPRequestFault) {
        do {
            try self.init(parsing: octets[...])
        } catch .headTooLarge {
            throw .headTooLong
        } catch {
            throw .malformedHead
        }
    }

    /// Refuses a trailer that is malformed, or that would change the head in a server that merges
    /// them (RFC 9110, section 6.5.1).
    static func checkTrailer(_ line: [UInt8]) throws(HTTPRequestFault) {
        do {
            let name = try fields(in: [line[...]]).first?.name.lowercased()
            guard ["host", "content-length", "transfer-encoding"].contains(name) else { return }
        } catch {
            throw .malformedHead
        }
        throw .ambiguousBody
    }

    // MARK: Body

    func framing() throws(HTTPError) -> HTTPBodyFraming {
        // Servers disagree about an empty coding, and about a list with an empty element.
        let codings = values(of: "transfer-encoding")
        guard codings.allSatisfy({ $0.lowercased() == "chunked" }), codings.count < 2 else {
            throw .unsupportedTransferCoding
        }
        return try framingByFields() ?? .length(0)
    }

    func expectsContinue() -> Bool {
        // The client knows when it sends the body.
        false
    }

    /// How the body is delimited; the request of a tunnel has none.
    func bodyFraming() throws(HTTPRequestFault) -> HTTPBodyFraming {
        do {
            let framing = try framing()
            if line.method != "CONNECT" || framing == .length(0) { return framing }
        } catch {
            throw .ambiguousBody
        }
        throw .ambiguousBody
    }

    /// Whether another protocol may follow: after CONNECT, or if the server accepts an upgrade.
    var maySwitchProtocols: Bool { line.method == "CONNECT" || !values(of: "upgrade").isEmpty }

    /// Whether the client asks for a protocol that hides the names of servers (RFC 7540, section
    /// 3.2; RFC 2817).
    var hidesNames: Bool {
        values(of: "upgrade").flatMap(Self.list).contains { name in
            ["h2", "h3", "http", "tls"].contains { name.hasPrefix($0) }
        }
    }

    // MARK: Authority

    /// The server that the request names; nil if HTTP/1.0 leaves it out.
    func authority() throws(HTTPRequestFault) -> String? {
        let hosts = values(of: "host")
        guard hosts.count <= 1 else { throw .manyHosts }
        var named: String?
        if let host = hosts.first {
            named = try Self.name(in: Array(host.utf8)[...])
        } else if minorVersion >= 1 {
            throw .missingHost
        }
        guard let target = try targetAuthority() else { return named }
        guard named == nil || named == target else { throw .differentAuthorities }
        return target
    }

    /// The server in an absolute target, or in the target of CONNECT (RFC 9112, section 3.2).
    private func targetAuthority() throws(HTTPRequestFault) -> String? {
        let target = line.target
        if line.method == "CONNECT" { return try Self.name(in: target[...]) }
        if target.first == UInt8(ascii: "/") || target == [UInt8(ascii: "*")] { return nil }
        let scheme = target.prefix { $0 != UInt8(ascii: ":") }
        let rest = target[scheme.endIndex...]
        guard ["http", "https"].contains(String(decoding: scheme, as: UTF8.self).lowercased()),
            rest.starts(with: "://".utf8)
        else { throw .malformedRequestLine }
        return try Self.name(in: rest.dropFirst(3).prefix { !"/?#".utf8.contains($0) })
    }

    /// The host of `host[:port]` in one spelling; an IPv6 address comes without its brackets.
    private static func name(in text: ArraySlice<UInt8>) throws(HTTPRequestFault) -> String {
        let isColon = { (octet: UInt8) in octet == UInt8(ascii: ":") }
        var (host, rest) = (text.prefix { !isColon($0) }, text.drop { !isColon($0) })
        var address: IPAddress?
        if text.first == UInt8(ascii: "["), let end = text.firstIndex(of: UInt8(ascii: "]")) {
            host = text[..<end].dropFirst()
            rest = text[(end + 1)...]
            address = IPAddress(String(decoding: host, as: UTF8.self))
            guard let address, !address.isIPv4 || host.contains(where: isColon) else {
                throw .badAuthority
            }
        }
        guard rest.isEmpty || isPort(rest.dropFirst()), rest.first.map(isColon) ?? true else {
            throw .badAuthority
        }
        if address != nil { return String(decoding: host.map(\.foldedASCII), as: UTF8.self) }
        guard let name = ServerName.canonical(host) else { throw .badAuthority }
        return name
    }

    /// Whether the text after the colon is a port, or empty as URIs permit.
    private static func isPort(_ text: ArraySlice<UInt8>) -> Bool {
        text.isEmpty
            || text.count <= 5 && text.allSatisfy { (0x30...0x39).contains($0) }
                && UInt16(String(decoding: text, as: UTF8.self)) != nil
    }
}
