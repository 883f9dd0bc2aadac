/// Parses the texts that name a forward's two sides, with gvproxy's rules.
enum ForwardAddress {
    /// Completes the guest's side: a missing host becomes the client's address.
    ///
    /// - Parameters:
    ///   - text: `host:port`; the host may be empty.
    ///   - client: The client's address; nil for a client on a unix socket.
    /// - Returns: `host:port` with a host.
    /// - Throws: `ForwardError.badRemote`.
    static func completed(_ text: String, for client: IPAddress?) throws(ForwardError) -> String {
        guard try split(text).host.isEmpty else { return text }
        guard let client else {
            // Go reports the address of a unix socket's client as an at sign.
            throw .badRemote(HostPortTextError(address: "@", reason: .missingPort))
        }
        return client.isIPv4 ? "\(client)\(text)" : "[\(client)]\(text)"
    }

    /// Parses a complete `host:port` into the guest endpoint.
    static func remote(_ text: String) throws(ForwardError) -> Endpoint {
        let parts = try split(text)
        return try guest(parts.host, port: parts.port)
    }

    /// Parses an address and a port into the guest endpoint.
    static func guest(_ host: String, port: String) throws(ForwardError) -> Endpoint {
        let port = try remotePort(port)
        guard let address = IPAddress(host) else { throw .remoteIsName(host) }
        return Endpoint(address: address, port: port)
    }

    private static func split(_ text: String) throws(ForwardError) -> HostPortText {
        do {
            return try HostPortText(text)
        } catch {
            throw .badRemote(error)
        }
    }

    private static func remotePort(_ text: String) throws(ForwardError) -> UInt16 {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw .badRemotePort(text, isNumber: false)
        }
        guard let port = UInt16(text) else { throw .badRemotePort(text, isNumber: true) }
        return port
    }

    // MARK: Host side

    /// The endpoint where a TCP or UDP forward listens, and its text in errors.
    struct Local: Equatable {
        var endpoint: ZonedEndpoint
        /// `:7001` if no host was given.
        var description: String

        init(endpoint: ZonedEndpoint, description: String) {
            self.endpoint = endpoint
            self.description = description
        }

        /// Creates an endpoint that listens on a port of every address.
        init(any port: UInt16) {
            endpoint = ZonedEndpoint(Endpoint(address: .anyIPv4, port: port))
            description = ":\(port)"
        }
    }

    /// Parses the listening endpoint: `:P`, `address:P`, `[fe80::1%eth0]:P`, `localhost:P`, or an
    /// empty text for any free port.
    ///
    /// Other names are not resolved: that could take seconds and would block the loop.
    static func local(
        _ text: String,
        _ transport: ForwardProtocol
    ) throws(ForwardError) -> Local {
        // Go resolves a UDP address before it listens, so its error does not mention listening.
        let prefix = transport == .udp ? "" : "listen \(transport): "
        guard !text.isEmpty else {
            return Local(any: 0)
        }
        let parts: HostPortText
        do {
            parts = try HostPortText(text)
        } catch {
            throw .badLocal(prefix + error.description)
        }
        let port = try localPort(parts.port, prefix: prefix, transport)
        if parts.host.isEmpty { return Local(any: port) }
        let host = parts.host == "localhost" ? "127.0.0.1" : parts.host
        guard let endpoint = ZonedEndpoint(address: host, port: port) else {
            throw .badLocal(prefix + "lookup \(parts.host): no such host")
        }
        return Local(endpoint: endpoint, description: endpoint.description)
    }

    private static func localPort(
        _ text: String,
        prefix: String,
        _ transport: ForwardProtocol
    ) throws(ForwardError) -> UInt16 {
        if text.isEmpty { return 0 }
        let digits = text.hasPrefix("-") || text.hasPrefix("+") ? text.dropFirst() : text[...]
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw .badLocal(prefix + "lookup \(transport)/\(text): unknown port")
        }
        guard let port = UInt16(text) else {
            throw .badLocal(prefix + "address \(text): invalid port")
        }
        return port
    }

    // MARK: URLs

    /// The guest's side of a unix forward.
    enum UnixRemote {
        /// `tcp://address:port`: a guest's port.
        case port(Endpoint)
        /// `ssh-tunnel://user@address[:port]/path?key=file`: a guest's unix socket.
        case socket(SSHTarget)
    }

    /// Parses the guest's side of a unix forward.
    static func unixRemote(_ text: String) throws(ForwardError) -> UnixRemote {
        let url = try parts(of: text)
        switch url.scheme {
        case "tcp":
            return .port(try remote(url.authority))
        case "ssh-tunnel":
            return .socket(try sshTarget(url))
        default: throw .unsupportedScheme(url.scheme)
        }
    }

    private static func sshTarget(_ url: URLParts) throws(ForwardError) -> SSHTarget {
        let query = URLQuery(url.query)
        guard (query["passphrase"] ?? "").isEmpty else { throw .sshPassphrase }
        // Go decodes the escapes in each part before it checks any part.
        let (user, path) = (URLPath.decoded(url.user) ?? "", URLPath.decoded(url.path) ?? "")
        let host = try split(url.authority)
        let port = host.port.isEmpty ? "\(SSHTarget.port)" : host.port
        return try SSHTarget(
            user: user,
            server: try guest(host.host, port: port),
            path: path,
            identity: query["key"] ?? ""
        )
    }

    /// The parts of a URL that a forward uses.
    private struct URLParts {
        var scheme = ""
        /// Without a password.
        var user = ""
        /// Host and port without the user; always contains a colon between them.
        var authority = ":"
        var path = ""
        var query: Substring = ""
    }

    private static func parts(of text: String) throws(ForwardError) -> URLParts {
        guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            throw .badURL(text, reason: "net/url: invalid control character in URL")
        }
        var url = URLParts()
        let (scheme, afterScheme) = try scheme(of: text)
        url.scheme = scheme
        let queryParts = afterScheme.split(
            separator: "?",
            maxSplits: 1,
            omittingEmptySubsequences: false
        )
        var rest = queryParts.first ?? ""
        if queryParts.count > 1 { url.query = queryParts[1] }
        if rest.hasPrefix("//") {
            rest = rest.dropFirst(2)
            let end = rest.firstIndex(of: "/") ?? rest.endIndex
            url.user = user(rest[..<end])
            url.authority = try authority(rest[..<end], in: text)
            rest = rest[end...]
        } else if scheme.isEmpty, rest.prefix(while: { $0 != "/" }).contains(":") {
            throw .badURL(text, reason: "first path segment in URL cannot contain colon")
        }
        url.path = String(rest)
        return url
    }

    private static func scheme(
        of text: String
    ) throws(ForwardError) -> (scheme: String, rest: Substring) {
        for index in text.utf8.indices {
            switch text.utf8[index] {
            case 0x41...0x5a, 0x61...0x7a: continue
            case _ where "0123456789+-.".utf8.contains(text.utf8[index]) && index > text.startIndex:
                continue
            case UInt8(ascii: ":"):
                guard index > text.startIndex else {
                    throw .badURL(text, reason: "missing protocol scheme")
                }
                return (text[..<index].lowercased(), text[index...].dropFirst())
            default: return ("", text[...])
            }
        }
        return ("", text[...])
    }

    private static func user(_ part: Substring) -> String {
        guard let end = part.lastIndex(of: "@") else { return "" }
        return String(part[..<end].prefix { $0 != ":" })
    }

    private static func authority(
        _ part: Substring,
        in text: String
    ) throws(ForwardError) -> String {
        let host = part.split(separator: "@", omittingEmptySubsequences: false).last ?? ""
        guard let colon = host.lastIndex(of: ":") else { return host + ":" }
        // The brackets of an IPv6 address enclose colons that do not start a port.
        if host[colon...].contains("]") { return host + ":" }
        let port = host[colon...].dropFirst()
        guard port.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw .badURL(text, reason: "invalid port \":\(port)\" after host")
        }
        return String(host)
    }
}
