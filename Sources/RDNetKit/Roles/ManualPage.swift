/// A manual page with handwritten prose and lists that are generated from the program's values.
///
/// A list starts after the comment line `.\" rdnet: options of ROLE`, `.\" rdnet: roles`, `.\"
/// rdnet: counters` or `.\" rdnet: keys of network`, and ends before `.\" rdnet: end`.
struct ManualPage {
    private static let mark = ".\\\" rdnet: "

    let registry: RoleRegistry

    /// Returns the page with the lists between the comment lines regenerated.
    func renewed(_ page: String) -> String {
        var lines: [Substring] = []
        var isSkipping = false
        for line in page.split(separator: "\n", omittingEmptySubsequences: false) {
            let subject = String(line).removingPrefix(Self.mark)
            if subject == "end" { isSkipping = false }
            if !isSkipping { lines.append(line) }
            if let subject, let list = list(of: subject) {
                lines += list.split(separator: "\n")
                isSkipping = true
            }
        }
        return lines.joined(separator: "\n")
    }

    private func list(of subject: String) -> String? {
        if subject == "roles" { return roleList }
        if subject == "counters" { return counterList }
        if subject == "keys of network" { return keyList }
        return registry.roles.first { subject == "options of \($0.name)" }?.manual()
    }

    private var roleList: String {
        var text = ".Bl -tag -width Ds\n"
        for role in registry.roles {
            text += ".It Ic \(ManualMarkup.escaped(role.name))\n"
            text += ManualMarkup.sentences(ManualMarkup.capitalized(role.summary) + ".")
            text += "See\n.Xr rdnet-\(role.name) 8 .\n"
        }
        return text + ".El\n"
    }

    /// Every key of `[network]`, and the roles that support it.
    private var keyList: String {
        var keys: [String] = []
        for key in registry.roles.flatMap(\.networkKeys) where !keys.contains(key) {
            keys.append(key)
        }
        var text = ".Bl -tag -width Ds\n"
        for key in keys {
            let names = registry.roles.filter { $0.networkKeys.contains(key) }.map(\.name)
            text += ".It Ic \(ManualMarkup.escaped(key))\nKnown to\n"
            text +=
                names.map { ".Ic \(ManualMarkup.escaped($0))" }.joined(separator: " ,\n") + " .\n"
        }
        return text + ".El\n"
    }
    /// Every metric with its label, and its name in `/stats`.
    private var counterList: String {
        var text = ".Bl -tag -width Ds\n"
        var previous: MetricFamily?
        let fixed = NetworkStatistics().statistics.samples.map { $0.family }
        for family in fixed + ResolverUse.metrics.map(\.family) where family != previous {
            previous = family
            let label = family.label.map { "{\($0)}" } ?? ""
            text += ".It Ic \(family.name)\(label) , \(family.path)\n"
            text += ManualMarkup.sentences(family.help)
        }
        return text + ".El\n"
    }
}
