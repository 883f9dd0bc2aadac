/// Options in mdoc(7), the manual's markup.
enum ManualMarkup {
    /// A list of a role's options: name, value, what it does, default, variable, key.
    static func list<Settings: RoleSettings>(
        of options: [Option<Settings>],
        role: String
    ) -> String {
        var text = ".Bl -tag -width Ds\n"
        for option in options {
            text += ".It Fl Fl \(option.name)\(argument(option.placeholder))\n"
            text += sentences(capitalised(option.help) + ". " + option.reason)
            if option.isRepeatable { text += "May be given more than once.\n" }
            text += sentences("Default: \(option.defaultText ?? "false").")
            text += variables(option.variables(of: role))
            if let key = option.networkKey {
                text += "In the configuration file also\n.Ic \(escaped(key))\nin the\n"
                text += ".Ic [network]\nsection.\n"
            }
        }
        text += ".It Fl h , Fl Fl help\nPrint a short usage text and end.\n"
        return text + ".El\n"
    }

    /// Text as lines that are safe in markup, each sentence on a line of its own.
    static func sentences(_ text: String) -> String {
        var lines: [String] = []
        var sentence = ""
        for word in text.split(separator: " ") {
            // Only a capital after a stop begins a sentence: versions and addresses have stops too.
            if sentence.hasSuffix("."), word.first?.isUppercase == true {
                lines += TextLayout.lines(of: sentence, width: 78)
                sentence = ""
            }
            sentence += (sentence.isEmpty ? "" : " ") + word
        }
        lines += TextLayout.lines(of: sentence, width: 78)
        return lines.map { escaped($0) + "\n" }.joined()
    }

    /// Text in which nothing is taken for markup.
    static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            default: result.append(character)
            }
        }
        // A line that begins with a stop or an apostrophe is a request.
        return result.hasPrefix(".") || result.hasPrefix("'") ? "\\&" + result : result
    }

    private static func argument(_ placeholder: String?) -> String {
        guard let placeholder else { return "" }
        return " Ar " + escaped(placeholder)
    }

    private static func variables(_ names: [String]) -> String {
        guard !names.isEmpty else { return "" }
        let list = names.map { ".Ev \($0)" }.joined(separator: "\nor, stronger,\n")
        return "Environment:\n\(list) .\n"
    }

    /// Text as the beginning of a sentence.
    static func capitalised(_ text: String) -> String {
        text.prefix(1).uppercased() + text.dropFirst()
    }
}
