/// An option's form, for the argument parser.
struct OptionForm {
    let name: String
    /// A Boolean takes a value only after `=`.
    let isBoolean: Bool
    let expected: String
}

/// A parsed command line.
struct ParsedArguments: Equatable {
    /// An option, by its index in the table, and its text.
    struct Assignment: Equatable {
        let option: Int
        let text: String
    }

    var assignments: [Assignment] = []
    /// The words from the one that stopped parsing.
    var operands: [String] = []
    /// Whether `-h`, `-help` or `--help` came before any error; parsing stops there.
    var asksForHelp = false
    /// Whether `--version` or `-V` came before any error, and is no option of the role; parsing
    /// stops there.
    var asksForVersion = false
}

/// The exact grammar of Go's `flag` package.
///
/// `-x` or `--x` with `=value` or, unless it is a Boolean, the next word. Parsing stops before the
/// first word without a hyphen, before a lone `-`, and after `--`. So `-debug false` means true
/// plus an operand.
enum ArgumentGrammar {
    /// Parses arguments.
    ///
    /// - Parameters:
    ///   - arguments: Without the program's and the role's name.
    ///   - forms: The table of options.
    ///   - isMixed: Whether options may follow other words, unlike in Go.
    ///   - accepts: Whether an option, by its index, accepts a text.
    /// - Returns: The parsed arguments, in order.
    /// - Throws: `ConfigurationError` for the first invalid word.
    static func parse(
        _ arguments: [String],
        _ forms: [OptionForm],
        isMixed: Bool = false,
        accepts: (Int, String) -> Bool
    ) throws(ConfigurationError) -> ParsedArguments {
        var parsed = ParsedArguments()
        var rest = arguments[...]
        while let word = rest.first {
            guard word.utf8.count > 1, word.hasPrefix("-") else {
                guard isMixed else { break }
                parsed.operands.append(word)
                rest = rest.dropFirst()
                continue
            }
            rest = rest.dropFirst()
            if word == "--" { break }
            let (name, attached) = try split(word)
            guard let option = forms.firstIndex(where: { $0.name == name }) else {
                guard name != "h", name != "help" else {
                    parsed.asksForHelp = true
                    return parsed
                }
                guard name != "V", name != "version" else {
                    parsed.asksForVersion = true
                    return parsed
                }
                let nearest = EditDistance.likely(for: name, in: forms.map(\.name))
                throw .unknownOption(name, nearest: nearest)
            }
            let form = forms[option]
            guard let text = attached ?? (form.isBoolean ? "true" : rest.popFirst()) else {
                throw .missingValue(option: name, expected: form.expected)
            }
            guard accepts(option, text) else {
                throw .invalidValue(
                    option: name,
                    value: text,
                    expected: form.expected,
                    source: .argument
                )
            }
            parsed.assignments.append(.init(option: option, text: text))
        }
        parsed.operands += rest
        return parsed
    }

    /// The name after one or two hyphens, and the text after the first `=`.
    private static func split(_ word: String) throws(ConfigurationError) -> (String, String?) {
        let octets = Array(word.utf8)
        let hyphen = UInt8(ascii: "-")
        let equals = UInt8(ascii: "=")
        let body = octets.dropFirst(octets[1] == hyphen ? 2 : 1)
        guard let first = body.first, first != hyphen, first != equals else {
            throw .malformedArgument(word)
        }
        guard let end = body.firstIndex(of: equals) else {
            return (String(decoding: body, as: UTF8.self), nil)
        }
        return (
            String(decoding: body[..<end], as: UTF8.self),
            String(decoding: body[(end + 1)...], as: UTF8.self)
        )
    }
}
