/// What `ctl` is told to do, in words.
enum ControlCommand: Equatable {
    case forwards
    case expose(local: String, remote: String)
    case unexpose(local: String)
    case leases
    case names
    case stats
    case flows
    case links
    /// Nil to ask for its state.
    case capture(isOn: Bool?)
    case tunnel(Endpoint)

    /// A command's first word, what follows it, and what that must be.
    private struct Form {
        let word: String
        let operands: String
        let parse: @Sendable ([String]) -> ControlCommand?
    }

    private static let forms = [
        Form(word: "forwards", operands: "") { $0.isEmpty ? .forwards : nil },
        Form(word: "expose", operands: " LOCAL REMOTE") {
            $0.count == 2 ? .expose(local: $0[0], remote: $0[1]) : nil
        },
        Form(word: "unexpose", operands: " LOCAL") {
            $0.count == 1 ? .unexpose(local: $0[0]) : nil
        },
        Form(word: "leases", operands: "") { $0.isEmpty ? .leases : nil },
        Form(word: "names", operands: "") { $0.isEmpty ? .names : nil },
        Form(word: "stats", operands: "") { $0.isEmpty ? .stats : nil },
        Form(word: "flows", operands: "") { $0.isEmpty ? .flows : nil },
        Form(word: "links", operands: "") { $0.isEmpty ? .links : nil },
        Form(word: "capture", operands: " [on|off]", parse: capture),
        Form(word: "tunnel", operands: " ADDRESS:PORT") { words in
            guard words.count == 1, let guest = Endpoint(words[0]), guest.address.isIPv4 else {
                return nil
            }
            return .tunnel(guest)
        },
    ]

    /// Every command with its operands.
    static var usage: String {
        forms.map { $0.word + $0.operands }.joined(separator: ", ")
    }

    /// Understands a command.
    ///
    /// - Parameter words: The role's operands.
    /// - Throws: `ControlCommandError` with what was expected.
    init(_ words: [String]) throws(ControlCommandError) {
        guard let word = words.first else { throw .missing }
        guard let form = Self.forms.first(where: { $0.word == word }) else {
            throw .unknown(
                word,
                nearest: EditDistance.likely(for: word, in: Self.forms.map(\.word))
            )
        }
        guard let command = form.parse(Array(words.dropFirst())) else {
            throw .malformed(words.joined(separator: " "), expected: form.word + form.operands)
        }
        self = command
    }

    private static func capture(_ words: [String]) -> ControlCommand? {
        switch words {
        case []: .capture(isOn: nil)
        case ["on"]: .capture(isOn: true)
        case ["off"]: .capture(isOn: false)
        default: nil
        }
    }
}

/// Words that are no command of `ctl`.
enum ControlCommandError: Error, Equatable, CustomStringConvertible {
    case missing
    case unknown(String, nearest: String?)
    case malformed(String, expected: String)

    /// One sentence.
    var description: String {
        switch self {
        case .missing: "there is no command; expected one of: \(ControlCommand.usage)"
        case .unknown(let word, let nearest):
            "there is no command \"\(word)\"; "
                + (nearest.map { "did you mean \($0)?" }
                    ?? "expected one of: \(ControlCommand.usage)")
        case .malformed(let words, let expected):
            "\"\(words)\" is not valid; expected \(expected)"
        }
    }
}
