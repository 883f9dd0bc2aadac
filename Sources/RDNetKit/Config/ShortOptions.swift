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
