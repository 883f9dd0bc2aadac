/// The content of a policy file: ordered rules, and what happens where none matches.
///
/// The syntax is that of rdnet.conf, with the sections `[policy]` and `[rules]`, or JSON with the
/// same words.
struct PolicyDocument: Equatable, Sendable {
    var rules: [PolicyRule] = []
    var fallback = PolicyRule.Action.deny
    /// Whether TLS may hide its server's name from the policy.
    var acceptsEncryptedHello = false
    /// How long a connection waits for a person, in seconds.
    var patience = 30

    /// No connection beyond the gateway.
    static let offline = PolicyDocument()
    /// The Internet, and nothing of the host's own networks.
    static let `public` = PolicyDocument(rules: [PolicyRule(.allow, .kind(.public))])

    /// The range of `ask-timeout`, in seconds.
    static let patienceRange = 1...600

    /// Parses a file.
    ///
    /// - Parameters:
    ///   - path: Only for errors.
    ///   - text: The content.
    /// - Throws: `PolicyDocumentError` with the place of the first mistake.
    init(path: String, text: String) throws(PolicyDocumentError) {
        let start = text.utf8.first { $0 != 0x20 && $0 != 0x0a && $0 != 0x0d && $0 != 0x09 }
        if start == UInt8(ascii: "{") {
            try readJSON(text, path)
        } else {
            try readSections(text, path)
        }
    }

    private init(rules: [PolicyRule] = []) {
        self.rules = rules
    }

    // MARK: Sections

    private mutating func readSections(
        _ text: String,
        _ path: String
    ) throws(PolicyDocumentError) {
        let file: ConfigurationFile
        do {
            file = try ConfigurationFile(path: path, text: text)
        } catch {
            throw PolicyDocumentError("\(error)")
        }
        for section in file.sections where !["policy", "rules"].contains(section.name) {
            throw PolicyDocumentError(
                "\(path):\(section.line): [\(section.name)] is not a section of a policy; expected "
                    + "[policy] or [rules]"
            )
        }
        // By bytes, as the file's lines are counted: to Swift, CR LF is one character.
        let lines = Array(text.utf8).split(separator: 0x0a, omittingEmptySubsequences: false)
        for entry in file.entries {
            let column = Self.column(of: entry.value, in: lines[entry.line - 1])
            let place = "\(path):\(entry.line)"
            if entry.section == "policy" {
                try set(entry.key, entry.value, "\(place): ")
            } else {
                try add(entry.key, entry.value, after: column, place)
            }
        }
    }

    /// Counted from 0, in bytes.
    private static func column(of value: String, in line: ArraySlice<UInt8>) -> Int {
        guard let equals = line.firstIndex(of: UInt8(ascii: "=")) else { return 0 }
        let space = line[(equals + 1)...].prefix { $0 == 0x20 || $0 == 0x09 }.count
        return equals - line.startIndex + 1 + space
    }

    private mutating func add(
        _ word: String,
        _ rule: String,
        after column: Int,
        _ place: String
    ) throws(PolicyDocumentError) {
        guard let action = PolicyRule.Action(rawValue: word) else {
            throw PolicyDocumentError(
                "\(place): [rules] has no key \(word); expected allow, deny or ask"
            )
        }
        try makeRoom(place)
        do {
            rules.append(try PolicyRule(action, parsing: rule))
        } catch {
            throw PolicyDocumentError("\(place): \(error.shifted(by: column))")
        }
    }

    private func makeRoom(_ place: String) throws(PolicyDocumentError) {
        guard rules.count < PolicyRuleSet.maximumRules else {
            throw PolicyDocumentError(
                "\(place): a policy has at most \(PolicyRuleSet.maximumRules) rules"
            )
        }
    }

    private mutating func set(
        _ key: String,
        _ value: String,
        _ place: String
    ) throws(PolicyDocumentError) {
        switch key {
        case "default":
            guard let action = PolicyRule.Action(rawValue: value) else {
                throw .invalid(place, key, value, "allow, deny or ask")
            }
            fallback = action
        case "encrypted-hello":
            guard let action = PolicyRule.Action(rawValue: value), action != .ask else {
                throw .invalid(place, key, value, "allow or deny")
            }
            acceptsEncryptedHello = action == .allow
        case "ask-timeout":
            guard let seconds = Int(value), Self.patienceRange.contains(seconds) else {
                throw .invalid(place, key, value, "1 to 600 seconds")
            }
            patience = seconds
        default:
            throw PolicyDocumentError(
                "\(place)a policy has no key \(key); expected default, encrypted-hello or "
                    + "ask-timeout"
            )
        }
    }

    // MARK: JSON

    private mutating func readJSON(_ text: String, _ path: String) throws(PolicyDocumentError) {
        let document: JSON
        do {
            document = try JSONParser.parse(
                Array(text.utf8),
                maximumValues: PolicyRuleSet.maximumRules + 16
            )
        } catch {
            throw PolicyDocumentError("\(path): \(error)")
        }
        guard case .object(let members) = document else {
            throw PolicyDocumentError("\(path): expected a JSON object")
        }
        for member in members {
            switch (member.name, member.value) {
            case ("rules", .array(let elements)):
                for (index, element) in elements.enumerated() {
                    try add(element, "\(path): rule \(index + 1)")
                }
            case ("rules", _):
                throw .invalid("\(path): ", "rules", member.value.kind, "an array of strings")
            case (_, .string(let value)), (_, .number(let value)):
                try set(member.name, value, "\(path): ")
            default:
                throw .invalid("\(path): ", member.name, member.value.kind, "a string")
            }
        }
    }

    private mutating func add(_ element: JSON, _ place: String) throws(PolicyDocumentError) {
        guard case .string(let text) = element else {
            throw PolicyDocumentError("\(place): expected a string, not a \(element.kind)")
        }
        try makeRoom(place)
        do {
            rules.append(try PolicyRule(text))
        } catch {
            throw PolicyDocumentError("\(place): \(error)")
        }
    }
}

/// Why a file is not a policy, in one sentence.
struct PolicyDocumentError: Error, Equatable, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }

    fileprivate static func invalid(
        _ place: String,
        _ key: String,
        _ value: String,
        _ expected: String
    ) -> PolicyDocumentError {
        PolicyDocumentError("\(place)\(key): \"\(value)\" is not valid; expected \(expected)")
    }
}

extension PolicyRuleError {
    /// The same error in a longer line.
    fileprivate func shifted(by count: Int) -> PolicyRuleError {
        PolicyRuleError(column: column + count, text: text, expected: expected)
    }
}
