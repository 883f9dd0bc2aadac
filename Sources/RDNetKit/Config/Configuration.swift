/// A role's settings: its own, and those that every role has.
protocol RoleSettings: Sendable {
    /// All defaults.
    init()
    /// What every role can be told.
    var common: CommonSettings { get set }
    /// Two settings that are good alone and not together; nil when there is none.
    var conflict: SettingsConflict? { get }
}

/// A value that the other settings make impossible.
struct SettingsConflict: Equatable {
    let option: String
    /// The option's value, as text.
    let value: String
    let expected: String
}

/// A configuration file, as far as it could be read.
enum FileContents {
    case text(String)
    case absent
    /// A sentence that names the file and says why.
    case unreadable(String)
}

/// What a configuration is made from: everything that is not the option table.
struct ConfigurationInputs {
    /// Without the program's and the role's name.
    var arguments: [String]
    /// A variable's value.
    var environment: (String) -> String?
    var readFile: (String) -> FileContents
    /// Every role's name: each may have a section in the file.
    var roles: [String]
    /// The keys of `[network]` that any role knows.
    var networkKeys: [String]
    /// Whether options may also stand behind other words.
    var hasMixedArguments = false
}

/// A role's settings with their sources: default < file < environment < arguments.
///
/// A repeatable option's values come from the strongest source that has any: sources do not mix. In the file the
/// role's own section is stronger than `[network]`, and the role's own variable stronger than the shared one.
struct Configuration<Settings: RoleSettings> {
    /// The role's name.
    let role: String
    let options: [Option<Settings>]
    private(set) var settings = Settings()
    /// The words after the options.
    let operands: [String]
    /// Where each option's values came from, one source a value; empty for a default.
    private(set) var sources: [[ValueSource]]
    /// Whether the usage text was asked for; then nothing but the arguments was looked at.
    let asksForHelp: Bool

    /// Puts a configuration together.
    ///
    /// - Parameters:
    ///   - role: The role's name.
    ///   - options: The role's whole table.
    ///   - inputs: Where values come from.
    /// - Throws: `ConfigurationError` at the first thing that is wrong.
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
        if asksForHelp { return }
        try takeFile(scratch, parsed, inputs)
        try takeEnvironment(inputs.environment)
        try take(parsed.assignments.map { ($0.option, $0.text, .argument) })
        try checkConflict()
    }

    /// Where a value came from.
    ///
    /// - Parameters:
    ///   - option: The option's place in the table.
    ///   - value: The value's place in the option's list.
    /// - Returns: The source.
    func source(of option: Int, value: Int) -> ValueSource {
        sources[option].indices.contains(value) ? sources[option][value] : .defaultValue
    }

    private typealias Value = (option: Int, text: String, source: ValueSource)

    /// Takes one source's values; an option that has any there loses the weaker ones.
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
        let path = scratch.common.configurationFile
        switch inputs.readFile(path) {
        case .text(let text):
            let file = try ConfigurationFile(path: path, text: text)
            try checkNames(file, inputs)
            try take(values(file, section: "network") { $0.networkKey })
            try take(values(file, section: role) { $0.reach == .commandLine ? nil : $0.name })
        case .absent:
            // By another role's own --config another kind of file is named.
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
                // No repeatable option's value has a space in it, so a list needs no quoting.
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
    /// What the argument grammar needs to know.
    var form: OptionForm {
        OptionForm(name: name, isBoolean: placeholder == nil, expected: expected)
    }
}
