/// One value of a YAML document, with the line it begins in.
struct YAMLNode: Equatable {
    indirect enum Value: Equatable {
        case scalar(String, isQuoted: Bool)
        case sequence([YAMLNode])
        case mapping([YAMLEntry])
    }

    var value: Value
    /// Counted from 1.
    var line: Int

    /// Nothing where a value could be.
    static func null(line: Int) -> YAMLNode {
        YAMLNode(value: .scalar("", isQuoted: false), line: line)
    }
}

/// A key of a mapping and what it leads to.
struct YAMLEntry: Equatable {
    var key: String
    var value: YAMLNode
    /// The key's.
    var line: Int
}

/// What is wrong with a YAML document, and where.
struct YAMLError: Error, Equatable, CustomStringConvertible {
    var line: Int
    var reason: String

    /// The sentence that Go's parser begins too.
    var description: String { "yaml: line \(line): \(reason)" }
}

extension YAMLNode {
    /// Whether it is one of the words for nothing (YAML 1.2.2, 10.3.2).
    var isNull: Bool {
        guard case .scalar(let text, isQuoted: false) = value else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(text)
    }

    /// What a kind of value is called in an error.
    private var kind: String {
        switch value {
        case .scalar: "a value"
        case .sequence: "a list"
        case .mapping: "a map"
        }
    }

    private func mismatch(_ name: String, _ expected: String) -> YAMLError {
        YAMLError(line: line, reason: "\(name): expected \(expected), found \(kind)")
    }

    /// The text of a scalar; empty for nothing.
    func text(_ name: String) throws(YAMLError) -> String {
        if isNull { return "" }
        guard case .scalar(let text, _) = value else { throw mismatch(name, "a text") }
        return text
    }

    /// A truth value in any of the words that YAML has had for it.
    func boolean(_ name: String) throws(YAMLError) -> Bool {
        switch try text(name).lowercased() {
        case "true", "yes", "on": return true
        case "", "false", "no", "off": return false
        case let text:
            throw YAMLError(
                line: line,
                reason: "\(name): expected true or false, found \"\(text)\""
            )
        }
    }

    /// A whole number; nil for nothing.
    func integer(_ name: String) throws(YAMLError) -> Int? {
        let text = try text(name)
        if text.isEmpty { return nil }
        guard let number = GoSyntax.integer(text) else {
            throw YAMLError(
                line: line,
                reason: "\(name): expected a whole number, found \"\(text)\""
            )
        }
        return number
    }

    /// The members of a list; none for nothing.
    func list(_ name: String) throws(YAMLError) -> [YAMLNode] {
        if isNull { return [] }
        guard case .sequence(let members) = value else { throw mismatch(name, "a list") }
        return members
    }

    /// The entries of a map; none for nothing.
    func map(_ name: String) throws(YAMLError) -> [YAMLEntry] {
        if isNull { return [] }
        guard case .mapping(let entries) = value else { throw mismatch(name, "a map") }
        return entries
    }
}
