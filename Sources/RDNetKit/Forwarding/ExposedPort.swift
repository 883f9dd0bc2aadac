/// A port or unix socket on the host that leads into the VM, as VPNKit's API describes it.
struct ExposedPort: Hashable {
    var transport: ForwardProtocol
    /// Nil for every address.
    var outsideAddress: IPAddress?
    /// 0 lets the kernel choose.
    var outsidePort: UInt16 = 0
    var outsidePath = ""
    /// Nil for the VM's loopback address.
    var insideAddress: IPAddress?
    var insidePort: UInt16 = 0
    var insidePath = ""
    /// Free text of the client; it is part of the identity.
    var annotation = ""

    /// The address to listen at.
    var outside: Endpoint { Endpoint(address: outsideAddress ?? .anyIPv6, port: outsidePort) }
    /// Where clients are connected to in the VM.
    var inside: ForwarderDestination {
        let endpoint = Endpoint(address: insideAddress ?? .loopbackIPv4, port: insidePort)
        switch transport {
        case .tcp: return .tcp(endpoint)
        case .udp: return .udp(endpoint)
        case .unix: return .unix(insidePath)
        }
    }

    /// One line for the log.
    var text: String {
        let outside = transport == .unix ? outsidePath : "\(self.outside)"
        return "\(annotation.isEmpty ? "" : annotation + " ")\(transport) \(outside) to \(inside)"
    }
}

/// Why a port could not be exposed.
enum ExposeError: Error, Equatable, CustomStringConvertible {
    /// The kernel refused the address.
    case refused(ForwardError)
    /// `--allowed-bind-addresses` does not contain the address.
    case addressNotAllowed(String)
    /// Something other than a socket is at the path.
    case notASocket(String)
    /// The path is empty, relative, or longer than 107 bytes.
    case badPath(String)
    case failed(SystemError)
    case tooMany(limit: Int)

    var description: String {
        switch self {
        case .refused(let error): "\(error)"
        case .addressNotAllowed(let address):
            "listen \(address): bind: the address is not in --allowed-bind-addresses"
        case .notASocket(let path): "refusing to remove path \(path)"
        case .badPath(let path):
            "listen unix \(path): bind: expected an absolute path of at most 107 bytes"
        case .failed(let error): "\(error.call): \(error.reason)"
        case .tooMany(let limit): "too many exposed ports: the limit is \(limit)"
        }
    }
}
