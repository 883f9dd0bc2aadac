/// The transport of a forward's host side, by its name in the API.
enum ForwardProtocol: String {
    case tcp
    case udp
    case unix
}

/// Why a forward could not be added or removed.
///
/// Where gvproxy has the same error, the message is gvproxy's, because clients match it.
enum ForwardError: Error, Equatable, CustomStringConvertible {
    case alreadyRunning(protocol: String, local: String)
    case notFound
    case unknownProtocol(String)
    /// Named pipes exist on Windows only.
    case namedPipe
    /// The table is full.
    case tooMany(limit: Int)
    /// The port ranges of the two sides have different lengths.
    case differentLengths(local: String, remote: String)
    /// The text is longer than any valid address.
    case addressTooLong
    /// The guest's side is not `host:port`, so the request is malformed.
    case badRemote(HostPortTextError)
    /// The port is not a number from 0 to 65535.
    case badRemotePort(String, isNumber: Bool)
    /// The request for a tunnel does not name a guest.
    case missingAddress
    /// The guest's side is an IPv6 address that no guest of the network can have.
    case remoteIsNoGuest(IPAddress)
    /// The guest's side is a name; a forward leads to an address.
    case remoteIsName(String)
    /// The guest's side of a unix forward is not a URL.
    case badURL(String, reason: String)
    case unsupportedScheme(String)
    case missingSSHKey
    case missingSSHPath
    case missingSSHUser
    /// The key has a passphrase, and nobody could enter it.
    case sshPassphrase
    /// The text contains a NUL.
    case badSSHText
    /// The host's side is not a valid listening address.
    case badLocal(String)
    /// The client may not open or close such a forward.
    case forbidden(String)
    /// The kernel refused to listen on the address.
    case refused(network: String, address: String, reason: String)

    /// Creates the error for a listening address, with a call's name and reason as Go words them.
    static func refused(network: String, address: String, _ error: SystemError) -> ForwardError {
        // "bind", "socket", "setsockopt(…)": the name of the call without its arguments.
        let call = error.call.prefix { $0 != " " }
        return .refused(network: network, address: address, reason: "\(call): \(error.reason)")
    }

    /// The HTTP status: the request is malformed, forbidden, or impossible to fulfill.
    var status: Int {
        switch self {
        case .badRemote: 400
        case .forbidden: 403
        default: 500
        }
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
        case .remoteIsNoGuest(let address):
            "invalid remote addr: \(address) is not a guest's address"
        case .remoteIsName(let name): "invalid remote addr: \(name) is not an IP address"
        case .badURL(let text, let reason):
            "failed to parse remote uri :\(text) : parse \"\(text)\": \(reason)"
        case .unsupportedScheme(let scheme):
            "remote protocol for unix forwarder is not implemented: \(scheme)"
        case .missingSSHKey: "key not provided for unix-ssh connection"
        case .missingSSHPath: "remote uri must contain a path to a socket file"
        case .missingSSHUser: "user not provided for unix-ssh connection"
        case .sshPassphrase: "keys with a passphrase are not supported for unix-ssh connections"
        case .badSSHText: "user, key and path of a unix-ssh connection have no NUL in them"
        case .badLocal(let text), .forbidden(let text): text
        case .refused(let network, let address, let reason):
            "listen \(network) \(address): \(reason)"
        }
    }
}
