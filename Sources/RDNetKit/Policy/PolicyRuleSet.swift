/// The ordered rules of a policy, indexed so that 10,000 of them cost no more than a few lookups.
///
/// How it works: the first rule that matches decides; if none does, the default. An index finds the
/// rules that can match at all: by the names that a flow's address was answered for, by the
/// prefixes that contain the address, and those without either. They are then judged in order.
///
/// Names: a rule with a name allows an address only if this guest received the address as an answer
/// for a matching name, and only if the connection's own first bytes show a matching name, where
/// they show one at all. Until they are known, a decision may depend on them (`needsName`). A rule
/// that denies a name matches by what the connection shows, or else by the answers.
struct PolicyRuleSet: Sendable {
    /// Limit on the rules of a policy.
    static let maximumRules = 65_536

    /// A flow as rules see it.
    struct Subject {
        var guest: PolicyGuest
        var transport: PolicyRule.Transport
        /// On the host's network.
        var address: IPAddress
        /// 0 for echo.
        var port: UInt16
        var kind: AddressKind
        /// The names for which the guest received the address as an answer.
        var names: [NamePins.Name] = []
        var shown = ShownName.unknown
    }

    /// What the rules say of a flow.
    struct Decision: Equatable {
        var action: PolicyRule.Action
        /// Nil for the default.
        var rule: PolicyRule?
        /// Whether it holds only if the first bytes do not show another name.
        var needsName = false
    }

    let rules: [PolicyRule]
    let fallback: PolicyRule.Action
    private var byName: [String: [Int]] = [:]
    private var byAncestor: [Substring: [Int]] = [:]
    private var byNetwork: [[AddressPrefix: [Int]]] = []
    /// The distinct prefix lengths, one for each element of `byNetwork`.
    private var lengths: [(isIPv4: Bool, length: Int)] = []
    private var others: [Int] = []
    /// The first rule that denies a name or asks about one: names matter to all that follow it.
    private var firstUnwantedName = Int.max

    /// Creates a set.
    ///
    /// - Parameters:
    ///   - rules: The first that matches decides.
    ///   - fallback: What happens if none matches.
    init(_ rules: [PolicyRule], otherwise fallback: PolicyRule.Action) {
        self.rules = rules
        self.fallback = fallback
        for (index, rule) in rules.enumerated() { enter(rule, index) }
    }

    private mutating func enter(_ rule: PolicyRule, _ index: Int) {
        switch rule.destination {
        case .any, .kind:
            others.append(index)
        case .network(let network):
            let isIPv4 = network.address.isIPv4
            let place = lengths.firstIndex { $0 == (isIPv4, network.prefixLength) }
            if place == nil {
                lengths.append((isIPv4, network.prefixLength))
                byNetwork.append([:])
            }
            byNetwork[place ?? byNetwork.count - 1][network, default: []].append(index)
        case .name(let name):
            if name.isWildcard {
                byAncestor[name.name[...], default: []].append(index)
            } else {
                byName[name.name, default: []].append(index)
            }
            if rule.action != .allow { firstUnwantedName = min(firstUnwantedName, index) }
        }
    }

    // MARK: Flows

    /// Whether any rule treats QUIC differently from other datagrams.
    var distinguishesQUIC: Bool { rules.contains { $0.transport == .quic } }

    /// Decides about a flow.
    func decide(_ subject: Subject) -> Decision {
        var candidates = others
        collect(subject.address, into: &candidates)
        let embedded = subject.address.embeddedIPv4.map { IPAddress(ipv4: $0) }
        if let embedded { collect(embedded, into: &candidates) }
        for name in subject.names { collect(name.text, into: &candidates) }
        if case .name(let name) = subject.shown { collect(name, into: &candidates) }
        candidates.sort()
        var needsName = false
        var last = -1
        for index in candidates where index != last {
            last = index
            let rule = rules[index]
            guard covers(rule, subject) else { continue }
            switch match(rule, subject, embedded) {
            case .no: continue
            case .perhaps: needsName = true
            case .yes:
                return decision(rule.action, rule, index, needsName, subject)
            case .yesIfShown:
                return decision(rule.action, rule, index, true, subject)
            }
        }
        return decision(fallback, nil, rules.count, needsName, subject)
    }

    private func decision(
        _ action: PolicyRule.Action,
        _ rule: PolicyRule?,
        _ index: Int,
        _ needsName: Bool,
        _ subject: Subject
    ) -> Decision {
        let mayShowUnwanted = firstUnwantedName < index && subject.transport != .icmp
        let matters = (needsName || mayShowUnwanted) && subject.shown == .unknown
        return Decision(action: action, rule: rule, needsName: matters && action != .deny)
    }

    private enum Match {
        case no
        /// The first bytes decide.
        case perhaps
        case yes
        /// Unless the first bytes show another name.
        case yesIfShown
    }

    private func match(_ rule: PolicyRule, _ subject: Subject, _ embedded: IPAddress?) -> Match {
        switch rule.destination {
        case .any: .yes
        case .kind(let kind): kind == subject.kind ? .yes : .no
        case .network(let network):
            // An IPv4 network that is denied stays denied in IPv6's clothes; one that is allowed
            // does not become more.
            network.contains(subject.address)
                || rule.action == .deny && embedded.map(network.contains) ?? false ? .yes : .no
        case .name(let name): match(name, rule, subject)
        }
    }

    private func match(_ name: PolicyName, _ rule: PolicyRule, _ subject: Subject) -> Match {
        let pinned = subject.names.filter { name.matches($0.text) }
        let shows: Bool? =
            if case .name(let shown) = subject.shown { name.matches(shown) } else { nil }
        if rule.action == .deny {
            if let shows { return shows ? .yes : .no }
            guard !pinned.isEmpty else { return .no }
            // Another name of the same address may be the one that is meant.
            let isOnlyName = pinned.count == subject.names.count
            return subject.shown == .unknown && !isOnlyName ? .perhaps : .yes
        }
        // What shows a name without having resolved it here cannot wait for a person any more.
        if rule.action == .ask, shows == true { return .yes }
        let leads = pinned.contains {
            $0.isLocal || rule.leads(to: subject.address, subject.kind)
        }
        guard leads else { return .no }
        if let shows { return shows ? .yes : .no }
        switch subject.shown {
        case .unknown: return .yesIfShown
        case .hidden: return .no
        case .none, .name: return .yes
        }
    }

    private func covers(_ rule: PolicyRule, _ subject: Subject) -> Bool {
        if let transport = rule.transport, transport != subject.transport {
            guard transport == .udp, subject.transport == .quic else { return false }
        }
        if !rule.ports.isEmpty {
            guard subject.transport.hasPorts,
                rule.ports.contains(where: { $0.contains(subject.port) })
            else { return false }
        }
        return rule.guest.map { subject.guest.matches($0) } ?? true
    }

    // MARK: Names

    /// Decides whether a query for a name may leave.
    ///
    /// - Parameters:
    ///   - name: Normalized.
    ///   - guest: Who asks for it.
    /// - Returns: `allow` if some rule could allow a connection to what the name leads to. Rules
    ///   with addresses do not count, except for `any`, `public` and `private`: a policy that
    ///   allows one address must not let out whatever a guest writes into names.
    func decide(onName name: String, for guest: PolicyGuest) -> Decision {
        var candidates = others
        collect(name, into: &candidates)
        candidates.sort()
        for index in candidates {
            let rule = rules[index]
            guard rule.guest.map({ guest.matches($0) }) ?? true, isAbout(rule, name) else {
                continue
            }
            switch rule.action {
            case .deny:
                if rule.transport == .dns || rule.isUnrestricted && isWhole(rule) {
                    return Decision(action: .deny, rule: rule)
                }
            case .allow, .ask:
                return Decision(action: .allow, rule: rule)
            }
        }
        return Decision(action: fallback == .deny ? .deny : .allow)
    }

    private func isAbout(_ rule: PolicyRule, _ name: String) -> Bool {
        switch rule.destination {
        case .any: true
        case .kind(let kind): kind == .public || kind == .private
        case .network: false
        case .name(let pattern): pattern.matches(name)
        }
    }

    /// Whether nothing that a name leads to remains.
    private func isWhole(_ rule: PolicyRule) -> Bool {
        switch rule.destination {
        case .any, .name: true
        case .kind, .network: false
        }
    }

    /// Whether any rule could allow a connection to an address that a resolver answered.
    ///
    /// - Parameters:
    ///   - name: The name that was resolved, normalized.
    ///   - address: The answer.
    ///   - kind: The answer's kind.
    ///   - guest: Who receives the answer.
    /// - Returns: False for an answer that leads the guest nowhere.
    func mayLead(
        _ name: String,
        to address: IPAddress,
        _ kind: AddressKind,
        for guest: PolicyGuest
    ) -> Bool {
        var candidates = others
        collect(address, into: &candidates)
        collect(name, into: &candidates)
        candidates.sort()
        for index in candidates {
            let rule = rules[index]
            guard rule.transport != .dns, rule.guest.map({ guest.matches($0) }) ?? true else {
                continue
            }
            let isMeant =
                switch rule.destination {
                case .name(let pattern):
                    pattern.matches(name) && (rule.action == .deny || rule.leads(to: address, kind))
                case .any, .kind, .network: rule.destination.covers(address, kind)
                }
            guard isMeant else { continue }
            if rule.action != .deny { return true }
            if rule.isUnrestricted { return false }
        }
        return fallback != .deny
    }

    // MARK: The index

    private func collect(_ address: IPAddress, into candidates: inout [Int]) {
        for (index, entry) in lengths.enumerated() where entry.isIPv4 == address.isIPv4 {
            let prefix = AddressPrefix(address, prefixLength: entry.length)
            if let found = byNetwork[index][prefix] { candidates += found }
        }
    }

    private func collect(_ name: String, into candidates: inout [Int]) {
        if let found = byName[name] { candidates += found }
        guard !byAncestor.isEmpty else { return }
        for ancestor in PolicyName.ancestors(of: name) {
            if let found = byAncestor[ancestor] { candidates += found }
        }
    }
}

/// The server name in a connection's first bytes.
enum ShownName: Equatable, Sendable {
    /// They have not arrived.
    case unknown
    /// They are of a protocol that does not name its server.
    case none
    /// They should name it, but it cannot be read.
    case hidden
    /// In lower case without a final dot.
    case name(String)
}

/// The machine that a flow comes from.
struct PolicyGuest {
    let address: IPAddress
    let mac: MACAddress?
    /// The machine that currently has an address.
    let owner: (IPAddress) -> MACAddress?

    /// Whether a rule's guest is this one.
    func matches(_ guest: PolicyRule.Guest) -> Bool {
        switch guest {
        case .mac(let mac): mac == self.mac
        case .address(let address):
            address == self.address || mac != nil && owner(address) == mac
        }
    }
}
