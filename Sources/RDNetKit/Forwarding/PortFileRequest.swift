/// A port to forward, in the text form of VPNKit's control file system:
/// `tcp:0.0.0.0:8080:tcp:172.17.0.2:80`, the same with `udp`, or `unix:` with both paths in base64.
///
/// IPv6 addresses are in brackets, a form that VPNKit does not have.
struct PortFileRequest: Equatable, CustomStringConvertible {
    /// What the forms look like, for errors.
    static let expected =
        "tcp:IP:PORT:tcp:IP:PORT, udp:IP:PORT:udp:IP:PORT or unix:BASE64:unix:BASE64"

    var transport: ForwardProtocol
    var local: Endpoint
    var remote: Endpoint

    var description: String { "\(transport):\(local):\(transport):\(remote)" }

    /// Parses a request.
    ///
    /// - Parameter text: White space at its end is ignored.
    /// - Throws: `PortFileError`.
    init(_ text: String) throws(PortFileError) {
        var rest = text[...]
        while rest.last?.isWhitespace == true { rest.removeLast() }
        var fields = Self.fields(rest)
        guard fields.count == 6 || fields.first?.lowercased() == "unix" else {
            throw .malformed(String(rest))
        }
        guard let transport = fields.first.flatMap({ ForwardProtocol(rawValue: $0.lowercased()) })
        else { throw .unknownProtocol }
        if transport == .unix { throw .noUnixSockets }
        fields.removeFirst()
        guard fields[2].lowercased() == transport.rawValue else { throw .unknownProtocol }
        self.transport = transport
        local = try Self.endpoint(transport, fields[0], fields[1], from: 0)
        remote = try Self.endpoint(transport, fields[3], fields[4], from: 1)
    }

    /// Splits at colons, but not inside brackets.
    private static func fields(_ text: Substring) -> [Substring] {
        var depth = 0
        return text.split(omittingEmptySubsequences: false) { character in
            if character == "[" { depth += 1 }
            if character == "]" { depth -= 1 }
            return character == ":" && depth == 0
        }
    }

    private static func endpoint(
        _ transport: ForwardProtocol,
        _ address: Substring,
        _ port: Substring,
        from lowest: UInt64
    ) throws(PortFileError) -> Endpoint {
        let isBracketed = address.hasPrefix("[") && address.hasSuffix("]")
        let literal = isBracketed ? address.dropFirst().dropLast() : address
        guard let parsed = IPAddress(literal), parsed.isIPv4 != isBracketed,
            let number = port.decimal(upTo: UInt64(UInt16.max)), number >= lowest
        else { throw .notAnEndpoint("\(transport):\(address):\(port)") }
        return Endpoint(address: parsed, port: UInt16(truncatingIfNeeded: number))
    }
}

/// Why a port could not be opened; the texts are VPNKit's, which are dockerd's on Linux, because
/// users and scripts search for them.
enum PortFileError: Error, Equatable {
    case malformed(String)
    case unknownProtocol
    case notAnEndpoint(String)
    case noUnixSockets
    /// Another socket uses the port.
    case allocated(Endpoint)
    /// The machine does not have the address.
    case notLocal(ForwardProtocol, Endpoint)
    /// The kernel, or a rule, forbids it.
    case denied(Endpoint, reason: String?)
    case failed(Endpoint, reason: String)

    var text: String {
        switch self {
        case .malformed(let request):
            "Failed to parse request [\(request)], expected \(PortFileRequest.expected)"
        case .unknownProtocol: "unknown protocol: should be tcp or udp"
        case .notAnEndpoint(let half): "port is not a proto:IP:port or unix:path: '\(half)'"
        case .noUnixSockets: "unix sockets are not forwarded here"
        case .allocated(let local): "Bind for \(local) failed: port is already allocated"
        case .notLocal(let transport, let local):
            "listen \(transport) \(local): bind: cannot assign requested address"
        case .denied(let local, nil): "Bind for \(local) failed: permission denied"
        case .denied(let local, let reason?):
            "Bind for \(local) failed: permission denied: \(reason)"
        case .failed(let local, let reason):
            "Bind for \(local): unexpected error \(reason)"
        }
    }
}
