/// A port or unix socket to forward, in the text form of VPNKit's control file system:
/// `tcp:0.0.0.0:8080:tcp:172.17.0.2:80`, the same with `udp`, or `unix:` with both paths in base64.
///
/// IPv6 addresses are in brackets, and a unix socket may lead to a TCP port
/// (`unix:BASE64:tcp:172.17.0.2:80`): forms that VPNKit does not have.
enum PortFileRequest: Equatable, CustomStringConvertible {
    case port(Port)
    case socket(UnixSocket)

    /// A TCP or UDP port.
    struct Port: Equatable {
        var transport: ForwardProtocol
        var local: Endpoint
        var remote: Endpoint
    }

    /// A unix socket.
    struct UnixSocket: Equatable {
        /// Absolute, at most 107 bytes.
        var path: String
        /// A path of the same form, or a TCP port.
        var target: ForwarderDestination
    }

    /// What the forms look like, for errors.
    static let expected =
        "tcp:IP:PORT:tcp:IP:PORT, udp:IP:PORT:udp:IP:PORT or unix:BASE64:unix:BASE64"

    var description: String {
        switch self {
        case .port(let port):
            "\(port.transport):\(port.local):\(port.transport):\(port.remote)"
        case .socket(let socket):
            "unix:\(Base64.encode(socket.path.utf8)):" + Self.text(socket.target)
        }
    }

    private static func text(_ target: ForwarderDestination) -> String {
        switch target {
        case .tcp(let endpoint): "tcp:\(endpoint)"
        case .udp(let endpoint): "udp:\(endpoint)"
        case .unix(let path): "unix:\(Base64.encode(path.utf8))"
        }
    }

    /// Parses a request.
    ///
    /// - Parameter text: White space at its end is ignored.
    /// - Throws: `PortFileError`.
    init(_ text: String) throws(PortFileError) {
        var rest = text[...]
        while rest.last?.isWhitespace == true { rest.removeLast() }
        let fields = Self.fields(rest)
        let name = fields.first?.lowercased() ?? ""
        let isUnix = name == "unix"
        guard isUnix ? (4...5).contains(fields.count) : fields.count == 6 else {
            throw .malformed(String(rest))
        }
        guard let transport = ForwardProtocol(rawValue: name) else { throw .unknownProtocol }
        if isUnix {
            let path = try Self.path(fields[1])
            self = .socket(UnixSocket(path: path, target: try Self.target(fields[2...])))
            return
        }
        guard fields[3].lowercased() == transport.rawValue else { throw .unknownProtocol }
        self = .port(
            Port(
                transport: transport,
                local: try Self.endpoint(transport, fields[1], fields[2], from: 0),
                remote: try Self.endpoint(transport, fields[4], fields[5], from: 1)
            )
        )
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

    /// Where a unix socket leads: `unix` and a path, or `tcp`, an address and a port.
    private static func target(
        _ fields: ArraySlice<Substring>
    ) throws(PortFileError) -> ForwarderDestination {
        let values = Array(fields.dropFirst())
        switch (fields.first?.lowercased(), values.count) {
        case ("unix", 1): return .unix(try path(values[0]))
        case ("tcp", 2): return .tcp(try endpoint(.tcp, values[0], values[1], from: 1))
        default: throw .notAnEndpoint(fields.joined(separator: ":"))
        }
    }

    private static func path(_ field: Substring) throws(PortFileError) -> String {
        guard let octets = Base64.decode(field),
            let path = String(validating: octets, as: UTF8.self), StreamAddress.isPath(path)
        else { throw .notAnEndpoint("unix:\(field)") }
        return path
    }
}

/// Why a port could not be opened; the texts are VPNKit's, which are dockerd's on Linux, because
/// users and scripts search for them.
///
/// A place is an address with a port, or the path of a unix socket.
enum PortFileError: Error, Equatable {
    case malformed(String)
    case unknownProtocol
    case notAnEndpoint(String)
    /// Another socket is at the place.
    case allocated(place: String)
    /// The machine does not have the address.
    case notLocal(ForwardProtocol, place: String)
    /// The kernel, or a rule, forbids it.
    case denied(place: String, reason: String?)
    /// Clients may not use these unix sockets.
    case socketDenied(reason: String)
    case failed(place: String, reason: String)

    var text: String {
        switch self {
        case .malformed(let request):
            "Failed to parse request [\(request)], expected \(PortFileRequest.expected)"
        case .unknownProtocol: "unknown protocol: should be tcp or udp"
        case .notAnEndpoint(let half): "port is not a proto:IP:port or unix:path: '\(half)'"
        case .allocated(let place): "Bind for \(place) failed: port is already allocated"
        case .notLocal(let transport, let place):
            "listen \(transport) \(place): bind: cannot assign requested address"
        case .denied(let place, nil): "Bind for \(place) failed: permission denied"
        case .denied(let place, let reason?):
            "Bind for \(place) failed: permission denied: \(reason)"
        case .socketDenied(let reason): "permission denied: \(reason)"
        case .failed(let place, let reason): "Bind for \(place): unexpected error \(reason)"
        }
    }
}
