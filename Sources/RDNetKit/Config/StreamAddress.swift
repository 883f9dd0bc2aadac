/// A stream socket's address in text form: `unix:///path`, `tcp://127.0.0.1:port` or
/// `vsock://2:port`.
enum StreamAddress: Hashable, Sendable, CustomStringConvertible {
    /// An absolute path of at most 107 bytes (unix(7)).
    case unix(String)
    case tcp(ZonedEndpoint)
    /// A vsock(7) address; a nil context means any when listening, and the host when connecting.
    case vsock(cid: UInt32?, port: UInt32)

    /// Parses any of the forms; nil for anything else, including host names, which are never looked
    /// up.
    init?(_ text: some StringProtocol) {
        if let path = text.removingPrefix("unix://") {
            guard Self.isPath(path) else { return nil }
            self = .unix(path)
        } else if let address = text.removingPrefix("tcp://"), let endpoint = Self.endpoint(address)
        {
            self = .tcp(endpoint)
        } else if let address = text.removingPrefix("vsock://") {
            self.init(vsock: address)
        } else {
            return nil
        }
    }

    /// Parses an endpoint in a URL, where the percent sign before a zone may be written as `%25`
    /// (RFC 6874).
    private static func endpoint(_ text: String) -> ZonedEndpoint? {
        guard var endpoint = ZonedEndpoint(text) else { return nil }
        if endpoint.zone.hasPrefix("25"), endpoint.zone != "25" { endpoint.zone.removeFirst(2) }
        return endpoint
    }

    /// Parses `CID:PORT` and `:PORT`.
    init?(vsock text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        // VMADDR_CID_ANY and VMADDR_PORT_ANY (all bits one) are not valid peers.
        guard parts.count == 2, let port = parts[1].decimal(upTo: UInt64(UInt32.max) - 1) else {
            return nil
        }
        let cid = parts[0].decimal(upTo: UInt64(UInt32.max) - 1)
        guard cid != nil || parts[0].isEmpty else { return nil }
        self = .vsock(
            cid: cid.map { UInt32(truncatingIfNeeded: $0) },
            port: UInt32(truncatingIfNeeded: port)
        )
    }

    /// Whether a unix socket can have this path: absolute, at most 107 bytes, no NUL.
    static func isPath(_ text: String) -> Bool {
        text.hasPrefix("/") && text.utf8.count <= 107 && !text.utf8.contains(0)
    }

    var description: String {
        switch self {
        case .unix(let path): "unix://\(path)"
        case .tcp(let endpoint): "tcp://\(endpoint)"
        case .vsock(let cid, let port): "vsock://\(cid.map { String($0) } ?? ""):\(port)"
        }
    }
}

extension ValueSyntax where Value == StreamAddress {
    /// A service's listening address.
    static let stream = ValueSyntax(
        placeholder: "ADDRESS",
        expected: "unix:///PATH, tcp://ADDRESS:PORT or vsock://[CID]:PORT",
        parse: { StreamAddress($0) },
        text: { $0.description }
    )
}

extension ValueSyntax where Value == StreamAddress {
    /// The address of a service to connect to, also as people type it: `/run/api.sock`,
    /// `localhost:8080`.
    static let service = ValueSyntax(
        placeholder: "ADDRESS",
        expected: "unix:///PATH, /PATH, tcp://ADDRESS:PORT, ADDRESS:PORT or vsock://[CID]:PORT",
        parse: { text in
            if text.hasPrefix("/") { return StreamAddress("unix://\(text)") }
            let address = text.removingPrefix("tcp://").map { String($0) } ?? text
            if let port = address.removingPrefix("localhost:") {
                return StreamAddress("tcp://127.0.0.1:\(port)")
            }
            return StreamAddress(text) ?? StreamAddress("tcp://\(text)")
        },
        text: { $0.description }
    )
}
