/// Why a text is not a rule.
struct PolicyRuleError: Error, Equatable, CustomStringConvertible {
    /// Counted from 1, in bytes.
    let column: Int
    let text: String
    let expected: String

    /// Without the file and the line.
    var description: String {
        text.isEmpty
            ? "column \(column): the rule ends here; expected \(expected)"
            : "column \(column): \"\(text)\" is not valid; expected \(expected)"
    }
}

extension PolicyRule {
    /// Parses a rule with its action, such as `allow tcp api.example.com:443`.
    ///
    /// - Throws: `PolicyRuleError` for the first word that is wrong.
    init(_ text: some StringProtocol) throws(PolicyRuleError) {
        var words = RuleWords(text)
        let action = words.next()
        guard let action, let known = Action(rawValue: action.text) else {
            throw words.error(action, expected: "allow, deny or ask")
        }
        self = try words.rule(known)
    }

    /// Parses a rule whose action is known, such as `tcp api.example.com:443`.
    ///
    /// - Throws: `PolicyRuleError` for the first word that is wrong.
    init(_ action: Action, parsing text: some StringProtocol) throws(PolicyRuleError) {
        var words = RuleWords(text)
        self = try words.rule(action)
    }
}

/// The words of a rule.
private struct RuleWords {
    struct Word {
        let text: String
        let column: Int
    }

    private static let destination = """
        a destination: a name, *.name, an address or a prefix such as 10.0.0.0/8, public, private, \
        host, metadata or any, with :PORTS if only some ports are meant
        """
    private static let maximumPorts = 64

    private var words: [Word]
    private let end: Int

    init(_ text: some StringProtocol) {
        let octets = Array(text.utf8)
        end = octets.count + 1
        words = octets.split { $0 == 0x20 || $0 == 0x09 }.map {
            Word(text: String(decoding: $0, as: UTF8.self), column: $0.startIndex + 1)
        }
        words.reverse()
    }

    mutating func next() -> Word? { words.popLast() }

    func error(_ word: Word?, expected: String) -> PolicyRuleError {
        PolicyRuleError(column: word?.column ?? end, text: word?.text ?? "", expected: expected)
    }

    mutating func rule(_ action: PolicyRule.Action) throws(PolicyRuleError) -> PolicyRule {
        var word = next()
        let transport = word.flatMap { PolicyRule.Transport(rawValue: $0.text) }
        if transport != nil { word = next() }
        guard let word else { throw error(nil, expected: Self.destination) }
        var rule = try destination(word, action)
        rule.transport = transport
        try check(rule, word)
        while let word = next() { try attribute(word, of: &rule) }
        return rule
    }

    private func destination(
        _ word: Word,
        _ action: PolicyRule.Action
    ) throws(PolicyRuleError) -> PolicyRule {
        // An IPv6 prefix has colons of its own, so ports follow it only in brackets.
        if let prefix = Self.network(word.text) { return PolicyRule(action, .network(prefix)) }
        var (place, portText) = (word.text[...], Substring?.none)
        if let colon = word.text.lastIndex(of: ":") {
            place = word.text[..<colon]
            portText = word.text[word.text.index(after: colon)...]
        }
        if place.hasPrefix("["), place.hasSuffix("]") { place = place.dropFirst().dropLast() }
        guard let destination = Self.destination(place) else {
            throw error(word, expected: Self.destination)
        }
        var rule = PolicyRule(action, destination)
        if let portText {
            guard let ports = Self.ports(portText) else {
                let column = word.column + word.text.utf8.count - portText.utf8.count
                throw PolicyRuleError(
                    column: column,
                    text: String(portText),
                    expected: "ports such as 443, 80,443 or 8000-8100"
                )
            }
            rule.ports = ports
        }
        return rule
    }

    private static func destination(_ text: some StringProtocol) -> PolicyRule.Destination? {
        if text == "any" || text == "*" { return .any }
        if let kind = AddressKind(rawValue: String(text)) { return .kind(kind) }
        if let prefix = network(text) { return .network(prefix) }
        // What looks like an address but is none is a mistake, and no top-level domain is a number.
        let isNumber = text.split(separator: ".").last?.utf8.allSatisfy {
            (0x30...0x39).contains($0)
        }
        guard isNumber == false else { return nil }
        return PolicyName(text).map { .name($0) }
    }

    /// An address or prefix without bits after the prefix.
    private static func network(_ text: some StringProtocol) -> AddressPrefix? {
        guard let prefix = AddressPrefix(text) else { return nil }
        let masked = AddressPrefix(prefix.address, prefixLength: prefix.prefixLength)
        return masked == prefix ? prefix : nil
    }

    private static func ports(_ text: some StringProtocol) -> [ClosedRange<UInt16>]? {
        var ports: [ClosedRange<UInt16>] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false)
            guard (1...2).contains(ends.count), ports.count < maximumPorts,
                let first = ends[0].decimal(upTo: 65_535), first > 0,
                let last = ends[ends.count - 1].decimal(upTo: 65_535), first <= last
            else { return nil }
            ports.append(UInt16(first)...UInt16(last))
        }
        return ports
    }

    private func check(_ rule: PolicyRule, _ word: Word) throws(PolicyRuleError) {
        if let transport = rule.transport, !transport.hasPorts, !rule.ports.isEmpty {
            throw error(word, expected: "a destination without ports after \(transport.rawValue)")
        }
        guard rule.transport == .dns else { return }
        switch rule.destination {
        case .any, .name: break
        case .kind, .network: throw error(word, expected: "a name, *.name or any after dns")
        }
        if rule.action == .ask { throw error(word, expected: "allow or deny before dns") }
    }

    private func attribute(_ word: Word, of rule: inout PolicyRule) throws(PolicyRuleError) {
        let parts = word.text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        switch parts.first {
        case "guest" where parts.count == 2:
            if let address = IPAddress(parts[1]) {
                rule.guest = .address(address)
            } else if let mac = MACAddress(String(parts[1])) {
                rule.guest = .mac(mac)
            } else {
                throw error(word, expected: "guest=ADDRESS or guest=MAC")
            }
        case "address" where parts.count == 2:
            rule.addresses = try addresses(parts[1], word, of: rule)
        default:
            throw error(word, expected: "guest=ADDRESS, guest=MAC, or address=PREFIX after a name")
        }
    }

    private func addresses(
        _ text: Substring,
        _ word: Word,
        of rule: PolicyRule
    ) throws(PolicyRuleError) -> [PolicyRule.Destination] {
        guard case .name = rule.destination else {
            throw error(word, expected: "address= only after a name")
        }
        var addresses: [PolicyRule.Destination] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let destination = Self.destination(part), addresses.count < Self.maximumPorts
            else { throw error(word, expected: "address=any, a kind or a prefix") }
            if case .name = destination {
                throw error(word, expected: "address=any, a kind or a prefix")
            }
            addresses.append(destination)
        }
        return addresses
    }
}
