/// One option of a role.
///
/// The argument, the environment variable, the key in the file and the manual's paragraph all come
/// from this one value.
struct Option<Settings>: Sendable {
    /// Where an option can be set, other than the command line.
    enum Reach: Equatable, Sendable {
        /// Nowhere: it concerns only this command line.
        case commandLine
        /// In the role's section and in the role's own variable.
        case role
        /// Like `role`, and for all roles in a variable without the role's name.
        case everyRole
        /// Like `everyRole`, and in the `[network]` section under a key that all roles share.
        case network(key: String)
    }

    private(set) var name: String
    private(set) var reach: Reach
    /// Whether each occurrence adds a value; otherwise the last one wins.
    let isRepeatable: Bool
    /// The placeholder for the value; nil for a Boolean, which needs none.
    let placeholder: String?
    /// A description of a valid value, for errors.
    let expected: String
    /// A phrase for `--help`.
    private(set) var help: String
    /// More sentences for the manual: details, when to use it, and the reason for the default.
    private(set) var reason: String
    /// The meaning of an empty default; nil if the default is never empty.
    let unset: String?
    /// Sets or adds a value; false if the text is invalid.
    let assign: @Sendable (String, inout Settings) -> Bool
    /// Clears the values from a weaker source.
    let clear: @Sendable (inout Settings) -> Void
    /// The values as text; empty if a repeatable option has none.
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

    /// The same option under another name; its reason is in the original's paragraph.
    func renamed(_ name: String, help: String) -> Option {
        var copy = self
        copy.name = name
        copy.reach = .commandLine
        copy.help = help
        copy.reason = ""
        return copy
    }

    /// An option and its short name.
    static func pair(_ name: String, _ option: Option) -> [Option] {
        [option, option.renamed(name, help: "short for --\(option.name)")]
    }

    /// The same option for settings that contain these settings.
    func within<Outer>(_ path: any WritableKeyPath<Outer, Settings> & Sendable) -> Option<Outer> {
        Option<Outer>(self, within: path)
    }

    /// The name that all roles share, for `[network]` and the shared variable.
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

    /// The environment variables that set it, the weaker one first.
    func variables(of role: String) -> [String] {
        guard reach != .commandLine else { return [] }
        let own = Self.variable("\(role)-\(name)")
        return sharedName.map { [Self.variable($0), own] } ?? [own]
    }

    /// `RDNET_` plus the name in upper case, with underscores for hyphens.
    private static func variable(_ name: String) -> String {
        "RDNET_" + String(name.map { $0 == "-" ? "_" : Character($0.uppercased()) })
    }
}
