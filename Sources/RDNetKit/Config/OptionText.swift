/// An option's text in usage messages and in the printed configuration.
extension Option where Settings: RoleSettings {
    /// `--mtu OCTETS`, `-m OCTETS`.
    var usageForm: String {
        (isShort ? "-" : "--") + name + (placeholder.map { " \($0)" } ?? "")
    }

    /// Whether the name is one letter, which is usually written after one hyphen.
    var isShort: Bool { name.utf8.count == 1 }

    /// The default, described in words if it is empty; nil for a false Boolean.
    var defaultText: String? {
        let values = values(Settings())
        if placeholder == nil, values == ["false"] { return nil }
        return values.isEmpty || values == [""] ? unset ?? "empty" : values.joined(separator: ", ")
    }
}

/// Text wrapped to a width.
enum TextLayout {
    /// Wraps a text at spaces.
    ///
    /// - Parameters:
    ///   - text: One paragraph.
    ///   - width: Characters per line; a longer word gets its own line.
    /// - Returns: The lines, at least one.
    static func lines(of text: String, width: Int) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + 1 + word.count > width {
                lines.append(line)
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
        }
        return lines + [line]
    }

    /// Two columns: a term, and its text beside or below it.
    static func row(_ term: String, _ text: String) -> String {
        let indent = 28
        let lines = lines(of: text, width: 79 - indent)
        let margin = String(repeating: " ", count: indent)
        let gap = indent - 2 - term.count
        let first =
            gap >= 2
            ? "  " + term + String(repeating: " ", count: gap) + (lines.first ?? "")
            : "  \(term)\n\(margin)\(lines.first ?? "")"
        return ([first] + lines.dropFirst().map { margin + $0 }).joined(separator: "\n") + "\n"
    }
}

extension Configuration {
    /// Every value with its source, in the form of an equivalent configuration file.
    var printed: String {
        var text = "# rdnet \(role): each value, and where it came from\n"
        let shared = options.indices.filter { options[$0].networkKey != nil }
        let own = options.indices.filter {
            options[$0].networkKey == nil && options[$0].reach != .commandLine
        }
        for (section, indices) in [("network", shared), (role, own)] where !indices.isEmpty {
            text += "\n[\(section)]\n"
            for index in indices { text += printedLines(index) }
        }
        return text
    }

    private func printedLines(_ index: Int) -> String {
        let option = options[index]
        let key = option.networkKey ?? option.name
        let values = option.values(settings)
        guard !values.isEmpty else {
            return Self.commented(
                "# \(key): \(option.unset ?? "none")",
                source(of: index, value: 0)
            )
        }
        return values.indices.map {
            Self.commented("\(key) = \(values[$0])", source(of: index, value: $0))
        }.joined()
    }

    private static func commented(_ text: String, _ source: ValueSource) -> String {
        text + String(repeating: " ", count: max(2, 44 - text.count)) + "# \(source)\n"
    }
}
