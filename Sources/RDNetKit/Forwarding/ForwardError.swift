/// The transports that a forward's host side has, by the names that the API uses.
enum ForwardProtocol: String {
    case tcp
    case udp
    case unix
}

/// Why a forward was not made or not removed; the sentences are gvproxy's, which clients look for.
enum ForwardError: Error, Equatable, CustomStringConvertible {
    case alreadyRunning(protocol: String, local: String)
    case notFound
    case unknownProtocol(String)
    /// Named pipes exist on Windows only.
    case namedPipe
    /// The table is full.
    case tooMany(limit: Int)
    /// A range of ports that leads to more or fewer ports.
    case differentLengths(local: String, remote: String)
    /// A longer text than any address has.
    case addressTooLong
    /// The guest's side is not `host:port`: the request itself is wrong.
    case badRemote(HostPortTextError)
    /// A port that is no number from 0 to 65535.
    case badRemotePort(String, isNumber: Bool)
    /// A tunnel's request names no guest.
    case missingAddress
    /// Neither `a.b.c.d:port` nor anything like it.
    case remoteNotIPv4
    /// A name, where only an address can be dialled in the virtual network.
    case remoteIsName(String)
    /// The guest's side of a unix forward is no URL.
    case badURL(String, reason: String)
    case unsupportedScheme(String)
    case missingSSHKey
    case missingSSHPath
    case missingSSHUser
    /// A key that nobody could unlock.
    case sshPassphrase
    /// Text with a NUL in it.
    case badSSHText
    /// The host's side is not an address to listen at.
    case badLocal(String)
    /// The kernel does not let us listen there.
    case refused(network: String, address: String, reason: String)

    /// Whether the request is malformed, and not only impossible to fulfill.
    var isBadRequest: Bool {
        if case .badRemote = self { return true }
        return false
    }

    var description: String {
        switch self {
        case .alreadyRunning(let name, let local): "proxy already running for \(name) on \(local)"
        case .notFound: "proxy not found"
        case .unknownProtocol(let name): "unknown protocol \(name)"
        case .namedPipe: "named pipes are not supported by this platform"
        case .tooMany(let limit): "too many proxies: the limit is \(limit)"
        case .differentLengths(let local, let remote):
            "\(local) and \(remote) are not the same number of ports"
        case .addressTooLong: "address too long"
        case .badRemote(let error): error.description
        case .badRemotePort(let text, let isNumber):
            "strconv.ParseUint: parsing \"\(text)\": "
                + (isNumber ? "value out of range" : "invalid syntax")
        case .missingAddress: "ip is mandatory"
        case .remoteNotIPv4: "invalid remote addr"
        case .remoteIsName(let name): "invalid remote addr: \(name) is not an IPv4 address"
        case .badURL(let text, let reason):
            "failed to parse remote uri :\(text) : parse \"\(text)\": \(reason)"
        case .unsupportedScheme(let scheme):
            "remote protocol for unix forwarder is not implemented: \(scheme)"
        case .missingSSHKey: "key not provided for unix-ssh connection"
        case .missingSSHPath: "remote uri must contain a path to a socket file"
        case .missingSSHUser: "user not provided for unix-ssh connection"
        case .sshPassphrase: "keys with a passphrase are not supported for unix-ssh connections"
        case .badSSHText: "user, key and path of a unix-ssh connection have no NUL in them"
        case .badLocal(let text): text
        case .refused(let network, let address, let reason):
            "listen \(network) \(address): \(reason)"
        }
    }
}
