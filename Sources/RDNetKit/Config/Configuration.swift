/// A role's settings: its own and the common ones.
protocol RoleSettings: Sendable {
    /// Creates the defaults.
    init()
    /// The settings that every role has.
    var common: CommonSettings { get set }
    /// A pair of settings that are valid alone but not together; nil if there is none.
    var conflict: SettingsConflict? { get }
}

/// A value that conflicts with other settings.
struct SettingsConflict: Equatable {
    let option: String
    /// The option's value, as text.
    let value: String
    let expected: String
}

/// The result of reading a configuration file.
enum FileContents {
    case text(String)
    case absent
    /// A sentence with the file and the reason.
    case unreadable(String)
}

/// The inputs of a configuration, apart from the option table.
struct ConfigurationInputs {
    /// Without the program's and the role's names.
    var arguments: [String]
    /// Looks up a variable.
    var environment: (String) -> String?
    var readFile: (String) -> FileContents
    /// The names of all roles, each of which may have a section in the file.
    var roles: [String]
    /// The keys of `[network]` that at least one role knows.
    var networkKeys: [String]
    /// The configuration file; nil for the one that the options name.
    var configurationFile: String?
    /// Whether options may follow other words.
    var hasMixedArguments = false
}

/// A role's settings with their sources: default < file < environment < arguments.
///
/// A repeatable option takes all its values from the strongest source that has any. In the file the
/// role's section overrides `[network]`, and the role's own variable overrides the shared one.
struct Configuration<Settings: RoleSettings> {
    /// The role's name.
    let role: String
    let options: [Option<Settings>]
    private(set) var settings = Settings()
    /// The words after the options.
    let operands: [String]
    /// The source of each option's values, one per value; empty for a default.
    private(set) var sources: [[ValueSource]]
    /// Whether help was requested; then only the arguments were read.
    let asksForHelp: Bool
    /// Whether the program's version was requested; then only the arguments were read.
    let asksForVersion: Bool

    /// Assembles a configuration.
    ///
    /// - Parameters:
    ///   - role: The role's name.
    ///   - options: The role's complete table.
    ///   - inputs: The sources of values.
    /// - Throws: `ConfigurationError` for the first error.
    init(
        role: String,
        options: [Option<Settings>],
        inputs: ConfigurationInputs
    ) throws(ConfigurationError) {
        self.role = role
        self.options = options
        sources = Array(repeating: [], count: options.count)
        var scratch = Settings()
        let parsed = try ArgumentGrammar.parse(
            inputs.arguments,
            options.map(\.form),
            isMixed: inputs.hasMixedArguments
        ) { options[$0].assign($1, &scratch) }
        operands = parsed.operands
        asksForHelp = parsed.asksForHelp
        asksForVersion = parsed.asksForVersion
        if asksForHelp || asksForVersion { return }
        try takeFile(scratch, parsed, inputs)
        try takeEnvironment(inputs.environment)
        try take(parsed.assignments.map { ($0.option, $0.text, .argument) })
        try checkConflict()
    }

    /// The source of a value.
    ///
    /// - Parameters:
    ///   - option: The option's index in the table.
    ///   - value: The value's index in the option's list.
    /// - Returns: The source.
    func source(of option: Int, value: Int) -> ValueSource {
        sources[option].indices.contains(value) ? sources[option][value] : .defaultValue
    }

    private typealias Value = (option: Int, text: String, source: ValueSource)

    /// Applies one source's values; they replace those of weaker sources.
    private mutating func take(_ values: [Value]) throws(ConfigurationError) {
        for option in Set(values.map(\.option)) {
            options[option].clear(&settings)
            sources[option] = []
        }
        for (index, text, source) in values {
            let option = options[index]
            guard option.assign(text, &settings) else {
                throw .invalidValue(
                    option: option.name,
                    value: text,
                    expected: option.expected,
                    source: source
                )
            }
            if !option.isRepeatable { sources[index] = [] }
            sources[index].append(source)
        }
    }

    // MARK: File

    private mutating func takeFile(
        _ scratch: Settings,
        _ parsed: ParsedArguments,
        _ inputs: ConfigurationInputs
    ) throws(ConfigurationError) {
        let path = inputs.configurationFile ?? scratch.common.configurationFile
        switch inputs.readFile(path) {
        case .text(let text):
            let file = try ConfigurationFile(path: path, text: text)
            try checkNames(file, inputs)
            try take(values(file, section: "network") { $0.networkKey })
            try take(values(file, section: role) { $0.reach == .commandLine ? nil : $0.name })
        case .absent:
            // Another role's own --config names a different kind of file.
            let isNamed = parsed.assignments.contains {
                options[$0.option].name == "config" && options[$0.option].values(scratch) == [path]
            }
            if isNamed { throw .unreadableFile("\(path): no such configuration file") }
        case .unreadable(let reason):
            throw .unreadableFile(reason)
        }
    }

    private func values(
        _ file: ConfigurationFile,
        section: String,
        key: (Option<Settings>) -> String?
    ) -> [Value] {
        file.entries.filter { $0.section == section }.compactMap { entry in
            options.firstIndex { key($0) == entry.key }.map { option in
                (option, entry.value, file.source(entry.line))
            }
        }
    }

    private func checkNames(
        _ file: ConfigurationFile,
        _ inputs: ConfigurationInputs
    ) throws(ConfigurationError) {
        let sections = ["network"] + inputs.roles
        for section in file.sections where !sections.contains(section.name) {
            let nearest = EditDistance.likely(for: section.name, in: sections)
            throw .unknownSection(section.name, nearest: nearest, source: file.source(section.line))
        }
        let own = options.filter { $0.reach != .commandLine }.map(\.name)
        let keys = ["network": inputs.networkKeys, role: own]
        for entry in file.entries {
            guard let known = keys[entry.section], !known.contains(entry.key) else { continue }
            throw .unknownKey(
                entry.key,
                section: entry.section,
                nearest: EditDistance.likely(for: entry.key, in: known),
                source: file.source(entry.line)
            )
        }
    }

    // MARK: Environment

    private mutating func takeEnvironment(
        _ environment: (String) -> String?
    ) throws(ConfigurationError) {
        for (index, option) in options.enumerated() {
            for variable in option.variables(of: role) {
                guard let text = environment(variable) else { continue }
                // Values of repeatable options contain no spaces, so a list needs no quoting.
                let texts =
                    option.isRepeatable
                    ? text.split { $0.isWhitespace }.map { String($0) } : [text]
                try take(texts.map { (index, $0, .environment(variable)) })
            }
        }
    }

    // MARK: Conflicts

    private func checkConflict() throws(ConfigurationError) {
        guard let conflict = settings.conflict,
            let option = options.firstIndex(where: { $0.name == conflict.option })
        else { return }
        let place = options[option].values(settings).firstIndex(of: conflict.value) ?? 0
        throw .invalidValue(
            option: conflict.option,
            value: conflict.value,
            expected: conflict.expected,
            source: source(of: option, value: place)
        )
    }
}

extension Option {
    /// The form of an option for the argument grammar.
    var form: OptionForm {
        OptionForm(name: name, isBoolean: placeholder == nil, expected: expected)
    }
}
