/// All roles, and the selection among them.
struct RoleRegistry: Sendable {
    static let version = "0.1.0"

    let roles: [Role]

    /// The program's roles.
    static let standard = RoleRegistry(roles: [
        .hostSwitch, .vmSwitch, .networkSetup, .wslProxy, .up, .gvProxy,
        .gvForwarder, .portProxy, .portFS, .portForwarder, .slirp4netns, .pasta, .vpnkit, .ctl,
        .extcap,
    ])

    /// Runs the role or command that the arguments select.
    ///
    /// - Parameters:
    ///   - arguments: The program's own name first.
    ///   - surroundings: The process and the machine.
    /// - Returns: The exit status.
    func run(_ arguments: [String], _ surroundings: ProcessSurroundings) -> ExitCode {
        let called = arguments.first?.split(separator: "/").last.map { String($0) } ?? ""
        var rest = Array(arguments.dropFirst())
        if let role = role(named: called) { return role.run(rest, self, surroundings) }
        guard let word = rest.first else {
            surroundings.printOutput(overview)
            return .success
        }
        rest.removeFirst()
        if let role = role(named: word) { return role.run(rest, self, surroundings) }
        return runOwn(word, rest, surroundings)
    }

    private func role(named name: String) -> Role? {
        roles.first { $0.name == name || $0.aliases.contains(name) }
    }

    /// Runs a command of the program itself, without a role.
    private func runOwn(
        _ word: String,
        _ rest: [String],
        _ surroundings: ProcessSurroundings
    ) -> ExitCode {
        switch word {
        case "help":
            guard let name = rest.first else { return runOwn("--help", [], surroundings) }
            guard let role = role(named: name) else { return runOwn(name, [], surroundings) }
            return role.run(["--help"], self, surroundings)
        case "doctor":
            guard let ctl = role(named: "ctl") else { return .misuse }
            return ctl.run(["doctor"] + rest, self, surroundings)
        case "-h", "-help", "--help":
            surroundings.printOutput(overview)
        case "--list":
            surroundings.printOutput(roles.map { $0.name + "\n" }.joined())
        case "-V", "-version", "--version":
            surroundings.printOutput(Self.versionLine(surroundings))
        case "--install":
            return Installation.run(roles.map(\.name), rest, surroundings)
        case "--install-extcap":
            return ExtcapInstallation.run(rest, surroundings)
        case "--completion":
            return printCompletion(rest, surroundings)
        case "--check-config":
            return checkConfiguration(rest, surroundings)
        case "--man":
            return printManual(rest, surroundings)
        default:
            let names = roles.map(\.name) + ["help", "doctor"]
            let options = Self.options.map(\.text)
            let isOption = word.hasPrefix("-")
            let nearest = EditDistance.nearest(to: word, in: isOption ? options : names)
            let kind = isOption ? "option" : "role"
            surroundings.printError(
                "rdnet: unknown \(kind) \"\(word)\"; the nearest is \(nearest ?? "--help"), "
                    + "and rdnet --help shows all\n"
            )
            return .misuse
        }
        return .success
    }

    /// The program's version and the commit that it was built from.
    static func versionLine(_ surroundings: ProcessSurroundings) -> String {
        let commit = surroundings.commit
        return "rdnet \(version)" + (commit.isEmpty ? "" : " (commit \(commit))") + "\n"
    }

    private var overview: String {
        var text = """
            Usage: rdnet ROLE [OPTION ...]
                   ROLE [OPTION ...]    through a link of that name
                   rdnet help [ROLE]
                   rdnet doctor         looks for what is wrong in a running network
                   rdnet --list | --version | --install [-a] [-s] DIRECTORY
                   rdnet --install-extcap [DIRECTORY]    for Wireshark
                   rdnet --completion bash | zsh | fish
                   rdnet --check-config FILE

            All of a desktop virtual machine's user-space networking in one program.

            Roles:

            """
        let width = roles.map(\.name.count).max() ?? 0
        for role in roles {
            let gap = String(repeating: " ", count: width - role.name.count + 2)
            text += "  \(role.name)\(gap)\(role.summary)\n"
        }
        return text + "\nrdnet ROLE --help shows a role's options; the manual is rdnet(8).\n"
    }

    /// The options of the program itself.
    private static let options = [
        Completion.Word(text: "--help", placeholder: nil, help: "print the usage text"),
        Completion.Word(text: "--list", placeholder: nil, help: "list the roles"),
        Completion.Word(text: "--version", placeholder: nil, help: "print the version"),
        Completion.Word(
            text: "--install",
            placeholder: "DIRECTORY",
            help: "install links for the roles"
        ),
        Completion.Word(
            text: "--install-extcap",
            placeholder: nil,
            help: "show running networks in Wireshark"
        ),
        Completion.Word(
            text: "--completion",
            placeholder: "SHELL",
            help: "print the completion script of a shell"
        ),
        Completion.Word(
            text: "--check-config",
            placeholder: "FILE",
            help: "check a configuration file for all roles"
        ),
    ]

    /// `--completion SHELL`: prints the script.
    private func printCompletion(
        _ words: [String],
        _ surroundings: ProcessSurroundings
    ) -> ExitCode {
        guard words.count == 1, let shell = words.first.flatMap({ Completion.Shell(rawValue: $0) })
        else {
            let given = words.isEmpty ? "" : ": \"\(words.joined(separator: " "))\" is not valid"
            surroundings.printError(
                "rdnet: --completion\(given); expected bash, zsh or fish\n".printableLines
            )
            return .misuse
        }
        surroundings.printOutput(
            Completion.script(for: shell, roles.map(\.completion), own: Self.options)
        )
        return .success
    }

    /// `--check-config FILE`: checks every section and key with the roles that use them.
    private func checkConfiguration(
        _ words: [String],
        _ surroundings: ProcessSurroundings
    ) -> ExitCode {
        guard words.count == 1, let path = words.first else {
            surroundings.printError("rdnet: --check-config needs one file\n")
            return .misuse
        }
        guard case .text = surroundings.readFile(path) else {
            surroundings.printError("rdnet: \(path) cannot be read\n".printableLines)
            return .failure
        }
        var faults: [ConfigurationError] = []
        for role in roles {
            if let fault = role.fault(inFile: path, self, surroundings), !faults.contains(fault) {
                faults.append(fault)
            }
        }
        for fault in faults { surroundings.printError("rdnet: \(fault)\n".printableLines) }
        guard faults.isEmpty else { return .misuse }
        surroundings.printOutput("\(path) is valid\n".printableLines)
        return .success
    }

    /// What every role's configuration is read from, but for the arguments.
    func inputs(_ surroundings: ProcessSurroundings) -> ConfigurationInputs {
        ConfigurationInputs(
            arguments: [],
            environment: surroundings.environment,
            readFile: surroundings.readFile,
            roles: roles.map(\.name),
            networkKeys: roles.flatMap(\.networkKeys)
        )
    }

    /// An environment variable that looks like one of the program's.
    struct UnknownVariable {
        let name: String
        /// The most similar variable of a role; empty if none is.
        let nearest: String
    }

    /// Variables that no option has: one process of the program sets them for another.
    private static let internalVariables = [LinkSupply.variable, ResolverFile.processVariable]
    private static let maximumUnknownVariables = 10

    /// The variables that start with `RDNET_` and that nobody reads: probably typing errors.
    func unknownVariables(_ surroundings: ProcessSurroundings) -> [UnknownVariable] {
        let names = surroundings.environmentNames().filter { $0.hasPrefix("RDNET_") }
        if names.isEmpty { return [] }
        let known = Set(roles.flatMap { $0.variables() } + Self.internalVariables)
        return names.filter { !known.contains($0) }.prefix(Self.maximumUnknownVariables).map {
            UnknownVariable(
                name: $0,
                nearest: EditDistance.likely(for: $0, in: known.sorted()) ?? ""
            )
        }
    }

    /// `--man FILE`: prints the manual page with its generated parts regenerated.
    private func printManual(_ words: [String], _ surroundings: ProcessSurroundings) -> ExitCode {
        guard words.count == 1, let path = words.first else {
            surroundings.printError("rdnet: --man needs one manual page's file\n")
            return .misuse
        }
        guard case .text(let page) = surroundings.readFile(path) else {
            surroundings.printError("rdnet: \(path) cannot be read\n")
            return .failure
        }
        surroundings.printOutput(ManualPage(registry: self).renewed(page))
        return .success
    }
}
