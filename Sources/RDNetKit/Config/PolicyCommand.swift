/// What `ctl policy` does.
enum PolicyCommand: Equatable {
    case show
    /// A destination in a rule's form.
    case check(String)
    case add(PolicyRule)
    case remove(PolicyRule)
    case answer(Int, isAllowed: Bool)
    case reload
    case log
    case report
    case pending
    case watch

    /// The forms of the command, without its first word, and a phrase about each.
    static let forms = [
        (form: "show", help: "list the rules and the number of decisions"),
        (form: "check DESTINATION", help: "say what would happen to a connection"),
        (form: "allow RULE|N", help: "add a rule before all others, or allow connection N"),
        (form: "deny RULE|N", help: "add a rule before all others, or deny connection N"),
        (form: "remove allow|deny|ask RULE", help: "remove a rule that was added"),
        (form: "reload", help: "read the policy file again"),
        (form: "log", help: "list the latest decisions"),
        (form: "report", help: "list the rules that the traffic so far would need"),
        (form: "pending", help: "list the connections that wait for an answer"),
        (form: "watch", help: "list them as they arrive"),
    ]

    /// Parses the words after `policy`; without a word, it is `show`.
    ///
    /// - Throws: `ControlCommandError` with what was expected.
    init(_ words: [String]) throws(ControlCommandError) {
        let rest = words.dropFirst().joined(separator: " ")
        switch (words.first ?? "show", rest.isEmpty) {
        case ("show", true): self = .show
        case ("reload", true): self = .reload
        case ("log", true): self = .log
        case ("report", true): self = .report
        case ("pending", true): self = .pending
        case ("watch", true): self = .watch
        case ("check", false): self = .check(rest)
        case ("allow", false), ("deny", false):
            if let number = Int(rest), number > 0 {
                self = .answer(number, isAllowed: words[0] == "allow")
            } else {
                self = .add(try Self.rule(words[...]))
            }
        case ("remove", false): self = .remove(try Self.rule(words.dropFirst()))
        default:
            throw .malformed(
                (["policy"] + words).joined(separator: " "),
                expected: "policy " + Self.forms.map(\.form).joined(separator: ", ")
            )
        }
    }

    private static func rule(
        _ words: ArraySlice<String>
    ) throws(ControlCommandError) -> PolicyRule {
        do {
            return try PolicyRule(words.joined(separator: " "))
        } catch {
            throw .badRule(error)
        }
    }
}
