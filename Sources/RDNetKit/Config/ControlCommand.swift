/// A command of `ctl`.
enum ControlCommand: Equatable {
    case forwards
    case expose(local: String, remote: String)
    case unexpose(local: String)
    case leases
    case names
    case resolvers
    /// A name that contains a dot, and its IPv4 address.
    case addName(String, IPAddress)
    case stats
    case flows
    case links
    /// What happens from now on; every kind if none is named.
    case events([EventKind])
    case top
    case doctor
    /// Nil to query the level.
    case logLevel(LogLevel?)
    /// Nil to query the state.
    case capture(isOn: Bool?)
    /// To the standard output.
    case captureStream
    case tunnel(Endpoint)
    case policy(PolicyCommand)

    /// A command's word, its operands and how to parse them.
    private struct Form {
        let word: String
        let operands: String
        let help: String
        let parse: @Sendable ([String]) -> ControlCommand?
    }

    /// A command without operands.
    private static func bare(_ word: String, _ command: ControlCommand, help: String) -> Form {
        Form(word: word, operands: "", help: help) { $0.isEmpty ? command : nil }
    }

    private static let forms = [
        bare("forwards", .forwards, help: "list the forwarded ports"),
        Form(
            word: "expose",
            operands: " LOCAL REMOTE",
            help: "forward a port of the host to a guest"
        ) {
            $0.count == 2 ? .expose(local: $0[0], remote: $0[1]) : nil
        },
        Form(word: "unexpose", operands: " LOCAL", help: "remove a forward") {
            $0.count == 1 ? .unexpose(local: $0[0]) : nil
        },
        bare("leases", .leases, help: "list addresses and their MAC addresses"),
        Form(
            word: "names",
            operands: " [add NAME ADDRESS]",
            help: "list the local DNS zones, or add a name",
            parse: names
        ),
        bare("dns", .resolvers, help: "list the host's DNS servers and how they answer"),
        bare("stats", .stats, help: "show the counters"),
        bare("flows", .flows, help: "list connections, UDP flows and pings of guests"),
        bare("links", .links, help: "list the links of guests with their counters"),
        bare("top", .top, help: "watch connections, links, drops and questions on a terminal"),
        Form(
            word: "events",
            operands: " [link|lease|forward|flow|drop|policy ...]",
            help: "print what happens as JSON, one line for each event",
            parse: events
        ),
        Form(
            word: "capture",
            operands: " [on|off|-]",
            help: "show or switch the capture of frames to a file, or write them to a pipe",
            parse: capture
        ),
        bare("doctor", .doctor, help: "look for what is wrong, and say what to do"),
        Form(
            word: "log-level",
            operands: " [LEVEL]",
            help: "show or change the lowest level that is logged",
            parse: logLevel
        ),
        Form(
            word: "tunnel",
            operands: " ADDRESS:PORT",
            help: "connect standard input and output to a guest's TCP port"
        ) { words in
            guard words.count == 1, let guest = Endpoint(words[0]) else { return nil }
            return .tunnel(guest)
        },
    ]
    /// The word whose operands are commands of their own.
    private static let policy = "policy"

    /// Every command with its operands and a phrase about it.
    static var all: [(form: String, help: String)] {
        forms.map { ($0.word + $0.operands, $0.help) }
            + PolicyCommand.forms.map { ("\(policy) \($0.form)", $0.help) }
    }

    /// The first words of all commands.
    fileprivate static var words: [String] { forms.map(\.word) + [policy] }

    /// Parses a command.
    ///
    /// - Parameter words: The role's operands.
    /// - Throws: `ControlCommandError` with what was expected.
    init(_ words: [String]) throws(ControlCommandError) {
        guard let word = words.first else { throw .missing }
        if word == Self.policy {
            self = .policy(try PolicyCommand(Array(words.dropFirst())))
            return
        }
        guard let form = Self.forms.first(where: { $0.word == word }) else {
            throw .unknown(
                word,
                nearest: EditDistance.likely(for: word, in: Self.words)
            )
        }
        guard let command = form.parse(Array(words.dropFirst())) else {
            throw .malformed(words.joined(separator: " "), expected: form.word + form.operands)
        }
        self = command
    }

    private static func events(_ words: [String]) -> ControlCommand? {
        let kinds = words.compactMap { EventKind(rawValue: $0) }
        return kinds.count == words.count ? .events(kinds) : nil
    }

    private static func names(_ words: [String]) -> ControlCommand? {
        if words.isEmpty { return .names }
        guard words.count == 3, words[0] == "add",
            let name = ValueSyntax<String>.domain.parse(words[1]), name.contains("."),
            let address = IPAddress(words[2])
        else { return nil }
        return .addName(name, address)
    }

    private static func logLevel(_ words: [String]) -> ControlCommand? {
        guard let word = words.first else { return .logLevel(nil) }
        guard words.count == 1, let level = ValueSyntax<LogLevel>.logLevel.parse(word) else {
            return nil
        }
        return .logLevel(level)
    }

    private static func capture(_ words: [String]) -> ControlCommand? {
        switch words {
        case []: .capture(isOn: nil)
        case ["on"]: .capture(isOn: true)
        case ["off"]: .capture(isOn: false)
        case ["-"]: .captureStream
        default: nil
        }
    }
}

/// An invalid command.
enum ControlCommandError: Error, Equatable, CustomStringConvertible {
    case missing
    case unknown(String, nearest: String?)
    case malformed(String, expected: String)
    case badRule(PolicyRuleError)

    /// One sentence.
    var description: String {
        switch self {
        case .missing: "no command given; expected \(Self.words)"
        case .unknown(let word, let nearest):
            "unknown command \"\(word)\"; "
                + (nearest.map { "did you mean \($0)?" } ?? "expected \(Self.words)")
        case .malformed(let words, let expected):
            "\"\(words)\" is not valid; expected \(expected)"
        case .badRule(let error): "rule: \(error)"
        }
    }

    private static var words: String {
        let words = ControlCommand.words
        return words.dropLast().joined(separator: ", ") + " or " + (words.last ?? "")
    }
}
