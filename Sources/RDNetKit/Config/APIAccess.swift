/// What clients may do through the API.
struct APIAccess: Equatable, Sendable {
    /// What the API on the gateway's port 80 offers.
    enum GuestAPI: String, CaseIterable, Sendable {
        /// Everything that concerns forwards, as at gvproxy; it lets guests use paths of the host.
        case full
        /// TCP and UDP ports that lead to guests.
        case forwards
        /// Nothing: the port is closed.
        case none
    }

    /// Nil for nobody's choice.
    var guestAPI: GuestAPI?
    /// The choice as the option sets it.
    fileprivate var chosenGuestAPI: GuestAPI {
        get { guestAPI ?? .forwards }
        set { guestAPI = newValue }
    }
    /// Empty: every address and port of the host.
    var guestBinds: [GuestBind] = []
    /// The permission bits of the API's unix sockets.
    var mode = 0o600
    /// The group that owns the API's unix sockets, by name or number; empty for no change.
    var group = ""
    /// The file whose first line every client of a TCP address must present; empty for none.
    var tokenFile = ""
    /// Whether the API has a socket under the run-time directory if it has no other address.
    var offersSocket: Bool { !hidesSocket }
    fileprivate var hidesSocket = false
}

/// Addresses and ports of the host that guests may listen on.
struct GuestBind: Equatable, Sendable, CustomStringConvertible {
    let network: AddressPrefix
    let ports: PortRange

    /// Parses `127.0.0.0/8`, `127.0.0.1`, `0.0.0.0/0:1024-65535` or `[::1/128]:8080`.
    init?(_ text: String) {
        var (network, ports) = (text[...], Substring?.none)
        if text.hasPrefix("["), let end = text.lastIndex(of: "]") {
            network = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { return nil }
            ports = rest.isEmpty ? nil : rest.dropFirst()
        } else if let colon = text.firstIndex(of: ":"), colon == text.lastIndex(of: ":") {
            network = text[..<colon]
            ports = text[text.index(after: colon)...]
        }
        guard let prefix = AddressPrefix(network) else { return nil }
        self.network = prefix
        guard let range = ports.map({ PortRange($0) }) ?? .all else { return nil }
        self.ports = range
    }

    /// Whether guests may listen on an endpoint.
    ///
    /// The unspecified address stands for all addresses, so only a prefix of length 0 allows it.
    /// Port 0 lets the kernel choose, so it needs all ports that need no privilege.
    func allows(_ endpoint: Endpoint) -> Bool {
        let address = endpoint.address
        let isInside =
            address.isUnspecified ? network.prefixLength == 0 : network.contains(address)
        let hasPort =
            endpoint.port == 0
            ? ports.contains(1_024) && ports.contains(UInt16.max) : ports.contains(endpoint.port)
        return isInside && hasPort
    }

    var description: String {
        if ports == .all { return network.description }
        return network.address.isIPv4 ? "\(network):\(ports)" : "[\(network)]:\(ports)"
    }
}

extension Option<APIAccess> {
    /// The options of the API, for every role that provides a network.
    static let access = [
        Option(
            "guest-api",
            \.chosenGuestAPI,
            .guestAPI,
            help: "what guests may do through the API on the gateway: forwards, none or full",
            reason: """
                With forwards, a guest can list, open and close TCP and UDP ports of the host that lead \
                to guests, and sees only those that guests have opened. With none, port 80 of the gateway \
                is closed. With full, guests can also close the host's own forwards and, with --sandbox \
                off, create unix sockets anywhere on the host and run ssh there with any key: use it only \
                for guests that you trust completely.
                """
        ),
        Option(
            "guest-bind",
            repeating: \.guestBinds,
            .guestBind,
            unset: "all addresses and ports",
            help: "the host addresses, and ports, where guests may open forwards",
            reason: """
                For example 127.0.0.0/8 keeps published ports on this machine, and \
                0.0.0.0/0:1024-65535 keeps guests from ports below 1024. Forwards of the command line \
                are not restricted.
                """
        ),
        Option(
            "api-mode",
            \.mode,
            .permissions,
            help: "the permissions of the API's unix sockets",
            reason: "Whoever can write to the socket has the whole API."
        ),
        Option(
            "api-group",
            \.group,
            .anything("GROUP"),
            unset: "the process's own",
            help: "the group that owns the API's unix sockets, by name or number",
            reason: "It gives that group access together with --api-mode 660."
        ),
        Option(
            "api-token-file",
            \.tokenFile,
            .optionalPath,
            unset: "none",
            help: "a file with a token that clients of the API on TCP must present",
            reason: """
                The token is the file's first line. Clients send it as "Authorization: Bearer TOKEN"; \
                without it they get status 401. Clients on unix sockets need none: the file's \
                permissions protect those.
                """
        ),
        Option(
            "no-api-socket",
            \.hidesSocket,
            .boolean,
            help: "offer no API socket under the run-time directory",
            reason: """
                Without another address for the API, it is at ROLE-PID.sock in the directory rdnet-api of \
                XDG_RUNTIME_DIR, or for root of /run, until the program ends. Only this user can \
                connect, and rdnet ctl finds it.
                """
        ),
    ]
}

extension ValueSyntax where Value == APIAccess.GuestAPI {
    fileprivate static let guestAPI = word("ACCESS", expected: "forwards, none or full")
}

extension ValueSyntax where Value == GuestBind {
    static let guestBind = ValueSyntax(
        placeholder: "CIDR[:PORTS]",
        expected: "a network such as 127.0.0.0/8, 0.0.0.0/0:1024-65535 or [::1/128]:8080",
        parse: { GuestBind($0) },
        text: { $0.description }
    )
}

extension ValueSyntax where Value == Int {
    /// Permission bits in octal.
    fileprivate static let permissions = ValueSyntax(
        placeholder: "MODE",
        expected: "permissions in octal, such as 600 or 660",
        parse: { text in
            guard (1...4).contains(text.utf8.count),
                text.utf8.allSatisfy({ (0x30...0x37).contains($0) }),
                let mode = Int(text, radix: 8), mode <= 0o777
            else { return nil }
            return mode
        },
        text: { String($0, radix: 8) }
    )
}
