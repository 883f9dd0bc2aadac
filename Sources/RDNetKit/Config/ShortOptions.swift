/// The command line of programs that use getopt_long(3): words of several short options, and values
/// attached to them.
enum ShortOptions {
    /// Separates short options and their values, so that `ArgumentGrammar` understands them.
    ///
    /// - Parameters:
    ///   - arguments: The words; those after `--` stay as they are.
    ///   - valued: The short options with a value.
    ///   - plain: The short options without one.
    /// - Returns: `-c -e 3` for `-ce3`; other words are unchanged.
    static func separated(
        _ arguments: [String],
        valued: String,
        plain: String
    ) -> [String] {
        var words: [String] = []
        var rest = arguments[...]
        while let word = rest.popFirst() {
            if word == "--" { return words + [word] + rest }
            words += separated(word, valued, plain) ?? [word]
        }
        return words
    }

    /// Separates short options and their values up to the first word that is no option.
    ///
    /// The words from there on may be another program's command line.
    ///
    /// - Parameters:
    ///   - arguments: The words.
    ///   - valued: The short options with a value.
    ///   - plain: The short options without one.
    ///   - valuedNames: The names of all options with a value.
    /// - Returns: `-c -e 3 ls -la` for `-ce3 ls -la`.
    static func separatedBeforeOperands(
        _ arguments: [String],
        valued: String,
        plain: String,
        valuedNames: Set<String>
    ) -> [String] {
        var words: [String] = []
        var rest = arguments[...]
        while let word = rest.first, word.hasPrefix("-"), word != "-", word != "--" {
            rest.removeFirst()
            let parts = separated(word, valued, plain) ?? [word]
            words += parts
            // The last part is a value, or contains one, unless it is the name of an option.
            let name = String((parts.last ?? "").drop { $0 == "-" })
            let isName = parts.last?.hasPrefix("-") ?? false
            if isName, valuedNames.contains(name), let value = rest.popFirst() {
                words.append(value)
            }
        }
        return words + rest
    }

    private static func separated(
        _ word: String,
        _ valued: String,
        _ plain: String
    ) -> [String]? {
        guard word.hasPrefix("-"), !word.hasPrefix("--"), word.count > 2 else { return nil }
        var words: [String] = []
        var rest = word.dropFirst()
        while let option = rest.popFirst() {
            words.append("-\(option)")
            if valued.contains(option) {
                return rest.isEmpty ? words : words + [String(rest)]
            }
            // Not a group of short options: a long one with a single hyphen, or a mistake.
            guard plain.contains(option) else { return nil }
        }
        return words
    }
}
