/// The start parameters of a role's work.
struct RoleStart<Settings: RoleSettings> {
    let configuration: Configuration<Settings>
    let logger: Logger
    let surroundings: ProcessSurroundings

    /// The role's settings.
    var settings: Settings { configuration.settings }
    /// The words after the options.
    var operands: [String] { configuration.operands }

    /// Prints every value and its source.
    func printConfiguration() {
        surroundings.printOutput(configuration.printed)
    }
}

/// One of the program's roles as a value: its name, its options, its work.
struct Role: Sendable {
    /// The name, matched with the last part of argv[0] or with the first argument.
    let name: String
    /// Other names by which programs start the role.
    let aliases: [String]
    /// One phrase for `rdnet --help` and the manual.
    let summary: String
    /// The supported keys of the `[network]` section.
    let networkKeys: [String]
    /// Returns the list of its options in the manual's markup.
    let manual: @Sendable () -> String
    /// Returns the environment variables that it reads.
    let variables: @Sendable () -> [String]
    /// What a shell needs to complete its command line.
    let completion: Completion.Program

    private let work: @Sendable ([String], RoleRegistry, ProcessSurroundings) -> ExitCode
    private let check: @Sendable (String, RoleRegistry, ProcessSurroundings) -> ConfigurationError?

    /// Creates a role.
    ///
    /// - Parameters:
    ///   - name: Lower case, with hyphens.
    ///   - aliases: Other names.
    ///   - summary: A phrase without a full stop.
    ///   - operands: The words that may follow the options, for the usage text; empty if they are
    ///     ignored.
    ///   - options: All of its options.
    ///   - helpsOnError: Whether the usage text goes to standard error, as with Go's programs.
    ///   - commands: The possible first operands, each with a phrase for the usage text.
    ///   - hasMixedArguments: Whether options may also follow other words.
    ///   - arranging: Rewrites the words of another program's command line.
    ///   - failed: Also receives the sentence of an error.
    ///   - body: The role's work; an error is reported in one sentence.
    init<Settings>(
        name: String,
        aliases: [String] = [],
        summary: String,
        operands: String,
        options: [Option<Settings>],
        helpsOnError: Bool = false,
        commands: [(form: String, help: String)] = [],
        hasMixedArguments: Bool = false,
        arranging: @escaping @Sendable ([String]) -> [String] = { $0 },
        failed: @escaping @Sendable (String) -> Void = { _ in },
        body: @escaping @Sendable (RoleStart<Settings>) throws(RoleFailure) -> ExitCode
    ) where Settings: RoleSettings {
        self.name = name
        self.aliases = aliases
        self.summary = summary
        networkKeys = options.compactMap(\.networkKey)
        variables = { options.flatMap { $0.variables(of: name) } }
        let usage: @Sendable () -> String = {
            Self.usage(name, summary, operands, commands, options)
        }
        completion = Completion.Program(
            name: name,
            summary: summary,
            options: options.map(\.completion),
            commands: Self.firstWords(commands)
        )
        manual = { ManualMarkup.list(of: options, role: name) }
        work = { arguments, registry, surroundings in
            let report = { (sentence: String) in
                surroundings.printError("rdnet \(name): \(sentence.printableLines)\n")
                failed(sentence)
            }
            var inputs = registry.inputs(surroundings)
            inputs.arguments = arranging(arguments)
            inputs.hasMixedArguments = hasMixedArguments
            do {
                let configuration = try Configuration(role: name, options: options, inputs: inputs)
                if configuration.asksForVersion {
                    surroundings.printOutput(RoleRegistry.versionLine(surroundings))
                    return .success
                }
                guard configuration.asksForHelp else {
                    let unknown = registry.unknownVariables(surroundings)
                    return Self.start(configuration, unknown, surroundings, report, body)
                }
                let say = helpsOnError ? surroundings.printError : surroundings.printOutput
                say(usage())
                return .success
            } catch {
                report("\(error)")
                return .misuse
            }
        }
        check = { file, registry, surroundings in
            var inputs = registry.inputs(surroundings)
            inputs.environment = { _ in nil }
            inputs.configurationFile = file
            do throws(ConfigurationError) {
                _ = try Configuration(role: name, options: options, inputs: inputs)
                return nil
            } catch {
                // What only the command line can say, such as a required option, is not the file's.
                if case .invalidValue(_, _, _, .defaultValue) = error { return nil }
                return error
            }
        }
    }

    /// The first words of the commands, each with the phrase of its first form.
    private static func firstWords(
        _ commands: [(form: String, help: String)]
    ) -> [(word: String, help: String)] {
        var words: [(word: String, help: String)] = []
        for command in commands {
            let word = String(command.form.prefix { $0 != " " })
            if !words.contains(where: { $0.word == word }) { words.append((word, command.help)) }
        }
        return words
    }

    /// Runs the role.
    ///
    /// - Parameters:
    ///   - arguments: Without the names of the program and the role.
    ///   - registry: The roles and keys that a configuration file may contain.
    ///   - surroundings: The process and the machine.
    /// - Returns: The exit status.
    func run(
        _ arguments: [String],
        _ registry: RoleRegistry,
        _ surroundings: ProcessSurroundings
    ) -> ExitCode {
        work(arguments, registry, surroundings)
    }

    /// Checks a configuration file.
    ///
    /// - Parameters:
    ///   - file: The file's path.
    ///   - registry: The roles and keys that it may contain.
    ///   - surroundings: The process and the machine.
    /// - Returns: What is wrong with the file for the role; nil if nothing is.
    func fault(
        inFile file: String,
        _ registry: RoleRegistry,
        _ surroundings: ProcessSurroundings
    ) -> ConfigurationError? {
        check(file, registry, surroundings)
    }

    private static func start<Settings>(
        _ configuration: Configuration<Settings>,
        _ unknown: [RoleRegistry.UnknownVariable],
        _ surroundings: ProcessSurroundings,
        _ report: (String) -> Void,
        _ body: (RoleStart<Settings>) throws(RoleFailure) -> ExitCode
    ) -> ExitCode {
        let common = configuration.settings.common
        if common.printsConfiguration {
            surroundings.printOutput(configuration.printed)
            return .success
        }
        let logger: Logger
        do {
            logger = try surroundings.makeLogger(common)
        } catch {
            report("unable to open log file \(common.logFile): \(error.reason)")
            return .failure
        }
        for variable in unknown {
            logger.warning(
                "environment variable is not used",
                ["variable": variable.name, "nearest": variable.nearest]
            )
        }
        let start = RoleStart(
            configuration: configuration,
            logger: logger,
            surroundings: surroundings
        )
        do {
            return try body(start)
        } catch {
            // The failure also goes to the log file, because its reader may not see standard error.
            if !common.logFile.isEmpty { logger.log(.fatal, error.sentence) }
            report(error.sentence)
            return error.status
        }
    }

    private static func usage<Settings>(
        _ name: String,
        _ summary: String,
        _ operands: String,
        _ commands: [(form: String, help: String)],
        _ options: [Option<Settings>]
    ) -> String where Settings: RoleSettings {
        let tail = operands.isEmpty ? "" : " \(operands)"
        var text = "Usage: rdnet \(name) [OPTION ...]\(tail)\n\n\(name): \(summary)\n"
        if !commands.isEmpty { text += "\nCommands:\n" }
        for command in commands { text += TextLayout.row(command.form, command.help) }
        text += "\nOptions:\n"
        for option in options {
            var notes = option.isRepeatable ? ["repeatable"] : []
            if let value = option.defaultText { notes.append("default: \(value)") }
            let note = notes.isEmpty ? "" : " (\(notes.joined(separator: "; ")))"
            text += TextLayout.row(option.usageForm, option.help + note)
        }
        if !options.contains(where: { $0.name == "version" }) {
            text += TextLayout.row("-V, --version", "print the version and exit")
        }
        text += TextLayout.row("-h, --help", "print this text")
        return text + "\nThe manual is rdnet-\(name)(8).\n"
    }
}
