/// Accessors for documents whose form may differ from what was expected.
extension JSON {
    /// An array's elements; empty for any other value.
    var elements: [JSON] {
        if case .array(let elements) = self { elements } else { [] }
    }

    /// An object's members; empty for any other value.
    var members: [Member] {
        if case .object(let members) = self { members } else { [] }
    }

    /// The text of a string, number or Boolean; empty for any other value.
    var text: String {
        switch self {
        case .string(let text), .number(let text): text
        case .bool(let value): "\(value)"
        case .null, .array, .object: ""
        }
    }

    /// Returns a member's text; empty if the member does not exist.
    func text(_ name: String) -> String {
        member(name)?.text ?? ""
    }
}
