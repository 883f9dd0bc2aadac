/// One rule of an egress policy: `allow tcp api.example.com:443`.
struct PolicyRule: Hashable, Sendable {
    /// What happens to the flows that a rule matches.
    enum Action: String, CaseIterable, Sendable {
        case allow
        case deny
        /// A person decides, while the connection waits.
        case ask
    }

    /// What a rule is about; a rule without one is about all of them.
    enum Transport: String, CaseIterable, Sendable {
        case tcp
        /// Every datagram, QUIC included.
        case udp
        /// Echo requests.
        case icmp
        /// Datagrams that begin a QUIC connection, and those that follow them.
        case quic
        /// Queries to the gateway's DNS server, by name.
        case dns

        /// Whether its destinations have ports.
        var hasPorts: Bool { self != .icmp && self != .dns }
    }

    /// Where a flow leads.
    enum Destination: Hashable, Sendable {
        case any
        case kind(AddressKind)
        case network(AddressPrefix)
        case name(PolicyName)
    }

    /// Whose flows a rule is about.
    enum Guest: Hashable, Sendable {
        /// The machine that has this address, with all its addresses.
        case address(IPAddress)
        case mac(MACAddress)
    }

    var action: Action
    var transport: Transport?
    var destination: Destination
    /// Empty for every port.
    var ports: [ClosedRange<UInt16>] = []
    /// Nil for every guest.
    var guest: Guest?
    /// The addresses that a name may lead to: networks and kinds; empty for public ones.
    var addresses: [Destination] = []

    init(_ action: Action, _ destination: Destination) {
        self.action = action
        self.destination = destination
    }

    /// Whether the rule covers every port of every transport.
    var isUnrestricted: Bool { transport == nil && ports.isEmpty }

    /// The same rule about an address of the host's network, if it is about a single address as
    /// guests see it.
    func seenFromHost(_ hostAddress: (IPAddress) -> IPAddress) -> PolicyRule {
        guard case .network(let network) = destination, network.isSingleAddress else { return self }
        var rule = self
        rule.destination = .network(.single(hostAddress(network.address)))
        return rule
    }

    /// Whether a name rule covers an address; other rules have no such restriction.
    ///
    /// - Parameters:
    ///   - address: What a resolver answered.
    ///   - kind: Its kind.
    /// - Returns: By default true only for public addresses, because the owner of a name could
    ///   otherwise lead guests into a private network (DNS rebinding).
    func leads(to address: IPAddress, _ kind: AddressKind) -> Bool {
        if addresses.isEmpty { return kind == .public }
        return addresses.contains { $0.covers(address, kind) }
    }
}

extension PolicyRule.Destination {
    /// Whether an address belongs to it; never for a name.
    func covers(_ address: IPAddress, _ kind: AddressKind) -> Bool {
        switch self {
        case .any: true
        case .kind(let own): own == kind
        case .network(let network): network.contains(address)
        case .name: false
        }
    }
}

/// A name in a rule: `api.example.com`, or `*.example.com` for everything below it.
struct PolicyName: Hashable, Sendable, CustomStringConvertible {
    /// In lower case, without a final dot and without `*.`.
    let name: String
    /// Whether the rule is about the names below this one, and not about the name itself.
    let isWildcard: Bool

    /// Parses a name; nil if it is no name of a server.
    init?(_ text: some StringProtocol) {
        isWildcard = text.hasPrefix("*.")
        let rest = isWildcard ? text.dropFirst(2) : text[...]
        guard let name = ServerName.canonical(rest.utf8) else { return nil }
        self.name = name
    }

    var description: String { isWildcard ? "*.\(name)" : name }

    /// Whether a name in the same spelling is meant.
    func matches(_ other: String) -> Bool {
        guard isWildcard else { return other == name }
        let (long, short) = (other.utf8.count, name.utf8.count)
        return long > short + 1 && other.hasSuffix(name)
            && other.utf8[other.utf8.index(other.utf8.startIndex, offsetBy: long - short - 1)]
                == UInt8(ascii: ".")
    }

    /// The names above a name, the longest first: of `a.b.c`, `b.c` and `c`.
    static func ancestors(of name: String) -> [Substring] {
        var ancestors: [Substring] = []
        var rest = name[...]
        while let dot = rest.firstIndex(of: ".") {
            rest = rest[rest.index(after: dot)...]
            ancestors.append(rest)
        }
        return ancestors
    }
}

extension DNSName {
    /// The name as rules and pins spell it; nil for the root and for names that are no host names.
    var policyName: String? { ServerName.canonical(description.utf8) }
}

extension PolicyRule: CustomStringConvertible {
    /// The rule as it can be written again, with its action.
    var description: String {
        var words = [action.rawValue]
        if let transport { words.append(transport.rawValue) }
        words.append(destinationText)
        if let guest { words.append("guest=\(guest)") }
        if !addresses.isEmpty {
            words.append("address=" + addresses.map(\.description).joined(separator: ","))
        }
        return words.joined(separator: " ")
    }

    private var destinationText: String {
        guard !ports.isEmpty else { return destination.description }
        let ports = ports.map {
            $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)"
        }.joined(separator: ",")
        if case .network(let network) = destination, !network.address.isIPv4 {
            return "[\(network)]:\(ports)"
        }
        return "\(destination):\(ports)"
    }
}

extension PolicyRule.Destination: CustomStringConvertible {
    var description: String {
        switch self {
        case .any: "any"
        case .kind(let kind): kind.rawValue
        case .network(let network): network.description
        case .name(let name): name.description
        }
    }
}

extension PolicyRule.Guest: CustomStringConvertible {
    var description: String {
        switch self {
        case .address(let address): address.description
        case .mac(let mac): mac.description
        }
    }
}
