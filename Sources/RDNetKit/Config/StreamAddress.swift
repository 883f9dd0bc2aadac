/// A stream socket's address, as people write it: `unix:///path`, `tcp://127.0.0.1:port` or `vsock://2:port`.
enum StreamAddress: Hashable, Sendable, CustomStringConvertible {
    /// An absolute path of at most 107 octets (unix(7)).
    case unix(String)
    case tcp(ZonedEndpoint)
    /// A virtual machine's socket (vsock(7)); nil is any context to listen at, and the host to call.
    case vsock(cid: UInt32?, port: UInt32)

    /// Parses any of the forms; nil for anything else, host names included: nothing here looks names up.
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

    /// Parses an endpoint in a URL, where the percent sign before a zone may be written as `%25` (RFC 6874).
    private static func endpoint(_ text: String) -> ZonedEndpoint? {
        guard var endpoint = ZonedEndpoint(text) else { return nil }
        if endpoint.zone.hasPrefix("25"), endpoint.zone != "25" { endpoint.zone.removeFirst(2) }
        return endpoint
    }

    /// Parses `CID:PORT` and `:PORT`.
    init?(vsock text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        // VMADDR_CID_ANY and VMADDR_PORT_ANY, all bits one, name nobody to call.
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

    /// Whether a unix socket can have this name: absolute, at most 107 octets, no NUL.
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
    /// Where a service listens.
    static let stream = ValueSyntax(
        placeholder: "ADDRESS",
        expected: "unix:///PATH, tcp://ADDRESS:PORT or vsock://[CID]:PORT",
        parse: { StreamAddress($0) },
        text: { $0.description }
    )
}
