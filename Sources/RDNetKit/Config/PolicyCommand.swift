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

    /// Parses the words after `policy`; nil if they are none of the forms.
    ///
    /// Without a word, `show`.
    init?(_ words: [String]) {
        guard let first = words.first else {
            self = .show
            return
        }
        let rest = words.dropFirst().joined(separator: " ")
        let plain: [String: PolicyCommand] = [
            "show": .show, "reload": .reload, "log": .log, "report": .report, "pending": .pending,
            "watch": .watch,
        ]
        if let command = plain[first] {
            guard rest.isEmpty else { return nil }
            self = command
            return
        }
        switch first {
        case "check" where !rest.isEmpty:
            self = .check(rest)
        case "allow", "deny":
            if let number = Int(rest), number > 0 {
                self = .answer(number, isAllowed: first == "allow")
            } else {
                guard let rule = Self.rule(words) else { return nil }
                self = .add(rule)
            }
        case "remove":
            guard let rule = Self.rule(Array(words.dropFirst())) else { return nil }
            self = .remove(rule)
        default: return nil
        }
    }

    private static func rule(_ words: [String]) -> PolicyRule? {
        do {
            return try PolicyRule(words.joined(separator: " "))
        } catch {
            return nil
        }
    }
}
