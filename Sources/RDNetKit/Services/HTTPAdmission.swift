/// Which requests an HTTP server on TCP answers: those that a program meant for this server.
///
/// A web page can make its reader's browser send requests to any address, and by DNS rebinding even
/// read the answers. Such a request has a foreign Host, an Origin, or the browser's note that it
/// crosses sites (Fetch Metadata, `Sec-Fetch-Site`).
struct HTTPAdmission {
    /// Whether a host name, in lower case and without a final dot, is one of the server's own.
    var isOwnName: (String) -> Bool = { _ in false }
    /// The server's address for connections that do not have one of their own.
    var address: IPAddress?
    /// What clients present as a bearer token (RFC 6750, 2.1); empty for none.
    var token: [UInt8] = []

    /// Checks a request.
    ///
    /// - Parameters:
    ///   - head: The request.
    ///   - local: The address that the client connected to.
    /// - Returns: The answer to a request that is not admitted; nil to admit it.
    func refusal(of head: HTTPRequestHead, at local: IPAddress?) -> HTTPResponse? {
        if !head.values(of: "origin").isEmpty {
            return .error(403, "the API does not serve web pages: the request has an Origin")
        }
        if head.values(of: "sec-fetch-site").contains(where: { $0 != "none" }) {
            return .error(403, "the API does not serve web pages: the request is a page's")
        }
        // No browser omits the Host, as HTTP/1.0 does, or leaves it empty, as gvforwarder does.
        if let host = head.values(of: "host").first, !host.isEmpty, !isOwn(host, at: local) {
            return .error(403, "\(host.printable) is not a name or an address of this API")
        }
        guard token.isEmpty || head.values(of: "authorization").contains(where: isToken) else {
            var response = HTTPResponse.error(401, "the API needs its bearer token")
            response.fields.append(HTTPField("WWW-Authenticate", "Bearer"))
            return response
        }
        return nil
    }

    private func isOwn(_ host: String, at local: IPAddress?) -> Bool {
        var name = host.lowercased()
        if name.hasPrefix("["), let end = name.firstIndex(of: "]") {
            name = String(name[..<end].dropFirst().prefix { $0 != "%" })
        } else if let colon = name.lastIndex(of: ":") {
            name = String(name[..<colon])
        }
        if name.hasSuffix(".") { name.removeLast() }
        if let address = IPAddress(name) {
            // A connection through the virtual network may be to any address of the gateway.
            return address == (local ?? self.address) || local == nil && isOwnName(name)
        }
        let isLocalhost = name == "localhost" || name.hasSuffix(".localhost")
        return isLocalhost && local?.isLoopback ?? false || isOwnName(name)
    }

    /// Whether the credentials contain the token; takes equally long for every wrong one.
    private func isToken(_ credentials: String) -> Bool {
        let words = credentials.split(separator: " ", omittingEmptySubsequences: true)
        guard words.count == 2, words[0].lowercased() == "bearer" else { return false }
        let presented = Array(words[1].utf8)
        guard presented.count == token.count else { return false }
        return zip(presented, token).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
