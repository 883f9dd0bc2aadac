/// What a role's work begins with.
struct RoleStart<Settings: RoleSettings> {
    let configuration: Configuration<Settings>
    let logger: Logger
    let surroundings: ProcessSurroundings

    /// What the role was told.
    var settings: Settings { configuration.settings }
    /// The words after the options.
    var operands: [String] { configuration.operands }

    /// Prints every value and where it came from.
    func printConfiguration() {
        surroundings.printOutput(configuration.printed)
    }
}

/// One of the program's jobs, as a value: its name, its options, its work.
struct Role: Sendable {
    /// What it answers to: the last part of argv[0], or the first argument.
    let name: String
    /// One phrase for `rdnet --help` and the manual.
    let summary: String
    /// The keys of the `[network]` section that it knows.
    let networkKeys: [String]
    /// Makes the list of its options in the manual's markup.
    let manual: @Sendable () -> String

    private let work: @Sendable ([String], RoleRegistry, ProcessSurroundings) -> ExitCode

    /// Makes a role.
    ///
    /// - Parameters:
    ///   - name: Lower case, with hyphens.
    ///   - summary: A phrase without a stop.
    ///   - operands: What may follow the options, for the usage text; empty when it is ignored.
    ///   - options: Its whole table.
    ///   - helpsOnError: Whether its usage text goes to standard error, as that of Go's programs
    ///     does.
    ///   - commands: What the first operand may be, each with a phrase for the usage text.
    ///   - hasMixedArguments: Whether options may also stand behind other words.
    ///   - body: Its work; what it throws is said in one sentence.
    init<Settings>(
        name: String,
        summary: String,
        operands: String,
        options: [Option<Settings>],
        helpsOnError: Bool = false,
        commands: [(form: String, help: String)] = [],
        hasMixedArguments: Bool = false,
        body: @escaping @Sendable (RoleStart<Settings>) throws(RoleFailure) -> ExitCode
    ) where Settings: RoleSettings {
        self.name = name
        self.summary = summary
        networkKeys = options.compactMap(\.networkKey)
        let usage: @Sendable () -> String = {
            Self.usage(name, summary, operands, commands, options)
        }
        manual = { ManualMarkup.list(of: options, role: name) }
        work = { arguments, registry, surroundings in
            let inputs = ConfigurationInputs(
                arguments: arguments,
                environment: surroundings.environment,
                readFile: surroundings.readFile,
                roles: registry.roles.map(\.name),
                networkKeys: registry.roles.flatMap(\.networkKeys),
                hasMixedArguments: hasMixedArguments
            )
            do {
                let configuration = try Configuration(role: name, options: options, inputs: inputs)
                guard configuration.asksForHelp else {
                    return Self.start(configuration, surroundings, body)
                }
                let say = helpsOnError ? surroundings.printError : surroundings.printOutput
                say(usage())
                return .success
            } catch {
                surroundings.printError("rdnet \(name): \(error)\n")
                return .misuse
            }
        }
    }

    /// Runs the role.
    ///
    /// - Parameters:
    ///   - arguments: Without the program's and the role's name.
    ///   - registry: Whose roles and keys a configuration file may speak of.
    ///   - surroundings: The process and the machine.
    /// - Returns: What to exit with.
    func run(
        _ arguments: [String],
        _ registry: RoleRegistry,
        _ surroundings: ProcessSurroundings
    ) -> ExitCode {
        work(arguments, registry, surroundings)
    }

    private static func start<Settings>(
        _ configuration: Configuration<Settings>,
        _ surroundings: ProcessSurroundings,
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
            let reason = "unable to open log file \(common.logFile): \(error.reason)"
            surroundings.printError("rdnet \(configuration.role): \(reason)\n")
            return .failure
        }
        let start = RoleStart(
            configuration: configuration,
            logger: logger,
            surroundings: surroundings
        )
        do {
            return try body(start)
        } catch {
            // With a log file, whoever reads it later was not there to see standard error.
            if !common.logFile.isEmpty { logger.log(.fatal, error.sentence) }
            surroundings.printError("rdnet \(configuration.role): \(error.sentence)\n")
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
        text += TextLayout.row("-h, --help", "print this text")
        return text + "\nThe manual is rdnet-\(name)(8).\n"
    }
}
