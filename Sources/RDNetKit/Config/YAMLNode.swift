/// One value of a YAML document and the line on which it starts.
struct YAMLNode: Equatable {
    indirect enum Value: Equatable {
        case scalar(String, isQuoted: Bool)
        case sequence([YAMLNode])
        case mapping([YAMLEntry])
    }

    var value: Value
    /// Counted from 1.
    var line: Int

    /// A missing value.
    static func null(line: Int) -> YAMLNode {
        YAMLNode(value: .scalar("", isQuoted: false), line: line)
    }
}

/// A key of a mapping and its value.
struct YAMLEntry: Equatable {
    var key: String
    var value: YAMLNode
    /// The key's line.
    var line: Int
}

/// An error in a YAML document and its line.
struct YAMLError: Error, Equatable, CustomStringConvertible {
    var line: Int
    var reason: String

    /// Starts like the errors of Go's parser.
    var description: String { "yaml: line \(line): \(reason)" }
}

extension YAMLNode {
    /// Whether it is null (YAML 1.2.2, 10.3.2).
    var isNull: Bool {
        guard case .scalar(let text, isQuoted: false) = value else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(text)
    }

    /// The kind of value, for errors.
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

    /// The text of a scalar; empty for null.
    func text(_ name: String) throws(YAMLError) -> String {
        if isNull { return "" }
        guard case .scalar(let text, _) = value else { throw mismatch(name, "a text") }
        return text
    }

    /// A Boolean in any spelling of YAML 1.1 or 1.2.
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

    /// An integer; nil for null.
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

    /// The members of a list; empty for null.
    func list(_ name: String) throws(YAMLError) -> [YAMLNode] {
        if isNull { return [] }
        guard case .sequence(let members) = value else { throw mismatch(name, "a list") }
        return members
    }

    /// The entries of a map; empty for null.
    func map(_ name: String) throws(YAMLError) -> [YAMLEntry] {
        if isNull { return [] }
        guard case .mapping(let entries) = value else { throw mismatch(name, "a map") }
        return entries
    }
}
