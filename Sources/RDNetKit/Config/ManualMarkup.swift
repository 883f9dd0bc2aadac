/// Options in mdoc(7), the manual's markup.
enum ManualMarkup {
    /// The list of a role's options: name, value, description, default, variable, key.
    static func list<Settings: RoleSettings>(
        of options: [Option<Settings>],
        role: String
    ) -> String {
        var text = ".Bl -tag -width Ds\n"
        for option in options {
            let hyphens = option.isShort ? "Fl" : "Fl Fl"
            text += ".It \(hyphens) \(option.name)\(argument(option.placeholder))\n"
            text += sentences(capitalized(option.help) + ". " + option.reason)
            if option.isRepeatable { text += "May be given more than once.\n" }
            text += sentences("Default: \(option.defaultText ?? "false").")
            text += variables(option.variables(of: role))
            if let key = option.networkKey {
                text += "In the configuration file, also\n.Ic \(escaped(key))\nin section\n"
                text += ".Ic [network] .\n"
            }
        }
        if !options.contains(where: { $0.name == "version" }) {
            text += ".It Fl V , Fl Fl version\nPrint the version and exit.\n"
        }
        text += ".It Fl h , Fl Fl help\nPrint a short usage text and end.\n"
        return text + ".El\n"
    }

    /// Text escaped for markup, one sentence per line.
    static func sentences(_ text: String) -> String {
        var lines: [String] = []
        var sentence = ""
        for word in text.split(separator: " ") {
            // Only an upper-case letter after a period starts a sentence: versions and addresses
            // contain periods too.
            if sentence.hasSuffix("."), word.first?.isUppercase == true {
                lines += TextLayout.lines(of: sentence, width: 78)
                sentence = ""
            }
            sentence += (sentence.isEmpty ? "" : " ") + word
        }
        lines += TextLayout.lines(of: sentence, width: 78)
        return lines.map { escaped($0) + "\n" }.joined()
    }

    /// Text escaped so that nothing in it is markup.
    static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            default: result.append(character)
            }
        }
        // A leading period or apostrophe would be a macro.
        return result.hasPrefix(".") || result.hasPrefix("'") ? "\\&" + result : result
    }

    private static func argument(_ placeholder: String?) -> String {
        guard let placeholder else { return "" }
        return " Ar " + escaped(placeholder)
    }

    private static func variables(_ names: [String]) -> String {
        guard !names.isEmpty else { return "" }
        let list = names.map { ".Ev \($0)" }.joined(separator: " ,\noverridden by\n")
        return "Environment:\n\(list) .\n"
    }

    /// Text with a capital first letter.
    static func capitalized(_ text: String) -> String {
        text.prefix(1).uppercased() + text.dropFirst()
    }
}
