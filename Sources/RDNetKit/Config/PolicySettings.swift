/// What a network's owner wants guests to reach.
struct PolicySettings: Equatable, Sendable {
    /// The path of the policy file, or `offline` or `public`; empty for none.
    var document = ""
    /// The rules of the command line, in their order; they precede those of the file.
    private(set) var rules: [PolicyRule] = []
    /// Where every decision is recorded.
    var audit = AuditDestination.nowhere

    /// Whether there is a policy.
    var isOn: Bool { !document.isEmpty || !rules.isEmpty }

    /// Whether the policy is in a file.
    var hasFile: Bool { !document.isEmpty && preset == nil }

    /// The policy behind a word; nil for a path.
    var preset: PolicyDocument? {
        switch document {
        case "": PolicyDocument.offline.allowing(!rules.contains { $0.action != .deny })
        case "offline": .offline
        case "public": .public
        default: nil
        }
    }

    fileprivate var allowed: [PolicyRule] {
        get { rules.filter { $0.action == .allow } }
        set { replace(.allow, by: newValue) }
    }

    fileprivate var denied: [PolicyRule] {
        get { rules.filter { $0.action == .deny } }
        set { replace(.deny, by: newValue) }
    }

    /// Replaces the rules of one action, and keeps the order of both.
    private mutating func replace(_ action: PolicyRule.Action, by new: [PolicyRule]) {
        let old = rules.filter { $0.action == action }
        if new.starts(with: old) {
            rules += new.dropFirst(old.count)
        } else {
            rules.removeAll { $0.action == action }
            rules += new
        }
    }
}

extension PolicyDocument {
    /// The same document with another default.
    fileprivate func allowing(_ isAllowed: Bool) -> PolicyDocument {
        var document = self
        document.fallback = isAllowed ? .allow : .deny
        return document
    }
}

extension Option<PolicySettings> {
    /// The options of a policy, for every role that provides a network.
    static let policy = [
        Option(
            "policy",
            \.document,
            .anything("FILE|offline|public"),
            unset: "none: guests reach whatever the host reaches",
            help: "limit what guests may reach: a file of rules, offline or public",
            reason: """
                With offline, guests reach nothing beyond the gateway. With public they reach the \
                Internet, but not the host, private networks or a cloud's metadata. \
                rdnet-policy(5) describes the file. A policy also sets --isolate and --guest-api none \
                unless these options are given, because other guests and published ports are ways \
                around it.
                """
        ),
        Option(
            "allow",
            repeating: \.allowed,
            .rule(.allow),
            unset: "none",
            help: "let guests reach a destination, such as tcp api.example.com:443",
            reason: """
                A rule of rdnet-policy(5) without its first word. Rules of the command line precede \
                those of --policy, in their order. What no rule matches is denied.
                """
        ),
        Option(
            "deny",
            repeating: \.denied,
            .rule(.deny),
            unset: "none",
            help: "keep guests from a destination, such as *.ads.example or private",
            reason: "With --deny alone, everything else stays allowed."
        ),
        Option(
            "audit",
            \.audit,
            .audit,
            unset: "none",
            help: "record decisions of the policy, and ended flows, as lines of JSON",
            reason: """
                They go to the end of a file, to a descriptor that the program was started with \
                (fd:3), or to the machine's log (syslog). One object a decision: time, guest, \
                protocol, destination, name, verdict and rule. One object a flow that ended: its \
                bytes in both directions and its duration. Writing never waits; the next object \
                that fits says how many are missing.
                """
        ),
    ]
}

extension ValueSyntax where Value == PolicyRule {
    /// A rule without its action.
    fileprivate static func rule(_ action: PolicyRule.Action) -> ValueSyntax {
        ValueSyntax(
            placeholder: "RULE",
            expected: "[tcp|udp|icmp|quic|dns] DESTINATION[:PORTS] [guest=ADDRESS]",
            parse: { text in
                do {
                    return try PolicyRule(action, parsing: text)
                } catch {
                    return nil
                }
            },
            text: { String($0.description.dropFirst(action.rawValue.count + 1)) }
        )
    }
}
