/// One setting that a person can make.
///
/// An argument, an environment variable, a key of the file, a paragraph of the manual: all four come from this
/// one value.
struct Option<Settings>: Sendable {
    /// Where an option can be set besides the command line.
    enum Reach: Equatable, Sendable {
        /// Nowhere: it is about this one command line.
        case commandLine
        /// In the role's section, and by the role's own variable.
        case role
        /// As `role`, and for all roles at once by a variable without the role's name.
        case everyRole
        /// As `everyRole`, and in the `[network]` section, under a key on which all roles agree.
        case network(key: String)
    }

    let name: String
    let reach: Reach
    /// Whether each occurrence adds a value; else the last one wins.
    let isRepeatable: Bool
    /// What stands for the value; nil for a truth value, which needs none.
    let placeholder: String?
    /// What a good value is.
    let expected: String
    /// One phrase for `--help`.
    let help: String
    /// The manual's further sentences: what it does to what, and why the default is what it is.
    let reason: String
    /// What an empty default means; nil where a default always has text.
    let unset: String?
    /// Sets or adds a value; false when the text is not one.
    let assign: @Sendable (String, inout Settings) -> Bool
    /// Forgets the values of a source that a stronger one replaces.
    let clear: @Sendable (inout Settings) -> Void
    /// The values as text; empty when a repeatable option has none.
    let values: @Sendable (Settings) -> [String]

    /// An option with one value.
    init<Value>(
        _ name: String,
        _ path: any WritableKeyPath<Settings, Value> & Sendable,
        _ syntax: ValueSyntax<Value>,
        reach: Reach = .role,
        unset: String? = nil,
        help: String,
        reason: String
    ) {
        self.name = name
        self.reach = reach
        isRepeatable = false
        placeholder = syntax.placeholder
        expected = syntax.expected
        self.help = help
        self.reason = reason
        self.unset = unset
        assign = { text, settings in
            guard let value = syntax.parse(text) else { return false }
            settings[keyPath: path] = value
            return true
        }
        clear = { _ in }
        values = { [syntax.text($0[keyPath: path])] }
    }

    /// An option with any number of values.
    init<Value>(
        _ name: String,
        repeating path: any WritableKeyPath<Settings, [Value]> & Sendable,
        _ syntax: ValueSyntax<Value>,
        reach: Reach = .role,
        unset: String,
        help: String,
        reason: String
    ) {
        self.name = name
        self.reach = reach
        isRepeatable = true
        placeholder = syntax.placeholder
        expected = syntax.expected
        self.help = help
        self.reason = reason
        self.unset = unset
        assign = { text, settings in
            guard let value = syntax.parse(text) else { return false }
            settings[keyPath: path].append(value)
            return true
        }
        clear = { $0[keyPath: path] = [] }
        values = { $0[keyPath: path].map(syntax.text) }
    }

    private init<Inner>(
        _ inner: Option<Inner>,
        within path: any WritableKeyPath<Settings, Inner> & Sendable
    ) {
        name = inner.name
        reach =
            switch inner.reach {
            case .commandLine: .commandLine
            case .role: .role
            case .everyRole: .everyRole
            case .network(let key): .network(key: key)
            }
        isRepeatable = inner.isRepeatable
        placeholder = inner.placeholder
        expected = inner.expected
        help = inner.help
        reason = inner.reason
        unset = inner.unset
        assign = { inner.assign($0, &$1[keyPath: path]) }
        clear = { inner.clear(&$0[keyPath: path]) }
        values = { inner.values($0[keyPath: path]) }
    }

    /// The same option for settings that contain this one's.
    func within<Outer>(_ path: any WritableKeyPath<Outer, Settings> & Sendable) -> Option<Outer> {
        Option<Outer>(self, within: path)
    }

    /// The name on which all roles agree, for `[network]` and the shared variable.
    var sharedName: String? {
        switch reach {
        case .commandLine, .role: nil
        case .everyRole: name
        case .network(let key): key
        }
    }

    /// The key in the `[network]` section.
    var networkKey: String? {
        if case .network(let key) = reach { key } else { nil }
    }

    /// The environment variables that set it, the weaker first.
    func variables(of role: String) -> [String] {
        guard reach != .commandLine else { return [] }
        let own = Self.variable("\(role)-\(name)")
        return sharedName.map { [Self.variable($0), own] } ?? [own]
    }

    /// `RDNET_` and the name in capitals, with underscores for hyphens.
    private static func variable(_ name: String) -> String {
        "RDNET_" + String(name.map { $0 == "-" ? "_" : Character($0.uppercased()) })
    }
}
