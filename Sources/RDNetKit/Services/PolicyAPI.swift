/// What the API changes in an egress policy.
protocol PolicyControl: AnyObject {
    /// The policy; nil while guests may reach everything.
    var current: EgressPolicy? { get }
    /// The rules in order, each with where it came from.
    var sources: [(rule: PolicyRule, source: String)] { get }
    /// What happens where no rule matches.
    var fallback: PolicyRule.Action { get }

    /// Adds a rule before all others.
    func add(_ rule: PolicyRule) throws(PolicyChangeError)
    /// Removes a rule that was added at run time.
    func remove(_ rule: PolicyRule) throws(PolicyChangeError)
    /// Reads the policy file again.
    func reload() throws(PolicyChangeError)
}

/// Why a policy was not changed, in one sentence.
struct PolicyChangeError: Error, Equatable, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// The API of the egress policy, for the host only.
struct PolicyAPI {
    let control: any PolicyControl
    /// The wall clock's time of an instant.
    let wallTime: (Instant) -> WallTime
    let now: () -> Instant

    var routes: [HTTPRoute] {
        [
            HTTPRoute("/policy") { _, _ in .json(state) },
            HTTPRoute("/policy/check") { request, _ in check(URLQuery(request.head.query ?? "")) },
            HTTPRoute("/policy/log") { _, _ in
                .json(.array((control.current?.history.all ?? []).map(json)))
            },
            HTTPRoute("/policy/report") { _, _ in .json(report) },
            HTTPRoute("/policy/pending") { _, _ in .json(.array(questions)) },
            HTTPRoute(posting: "/policy/add", { try PolicyRule(reading: $0) }) { rule, _ in
                change { () throws(PolicyChangeError) in try control.add(rule) }
            },
            HTTPRoute(posting: "/policy/remove", { try PolicyRule(reading: $0) }) { rule, _ in
                change { () throws(PolicyChangeError) in try control.remove(rule) }
            },
            HTTPRoute(posting: "/policy/reload") { _, _ in
                change { () throws(PolicyChangeError) in try control.reload() }
            },
            HTTPRoute(posting: "/policy/answer", { try PolicyAnswer(reading: $0) }) { answer, _ in
                self.answer(answer)
            },
        ]
    }

    private func change(_ body: () throws(PolicyChangeError) -> Void) -> HTTPResponse {
        do {
            try body()
            return .empty
        } catch {
            return .error(400, error.description)
        }
    }

    private var state: JSON {
        guard let policy = control.current else {
            return .object([JSON.Member("on", .bool(false))])
        }
        let counts = PolicyRule.Action.allCases.map {
            JSON.Member($0.rawValue, .integer(policy.history.counts[$0] ?? 0))
        }
        return .object([
            JSON.Member("on", .bool(true)),
            JSON.Member("default", .string(control.fallback.rawValue)),
            JSON.Member("decisions", .object(counts)),
            JSON.Member("pinnedAddresses", .integer(UInt64(policy.pins.count))),
            JSON.Member(
                "rules",
                .array(
                    control.sources.map { rule, source in
                        .object([
                            JSON.Member("rule", .string(rule.description)),
                            JSON.Member("source", .string(source)),
                        ])
                    }
                )
            ),
        ])
    }

    // MARK: Decisions

    /// What would happen to a connection, without making it.
    private func check(_ query: URLQuery) -> HTTPResponse {
        let rule: PolicyRule
        do {
            rule = try PolicyRule(.allow, parsing: query["destination"] ?? "")
        } catch {
            return .error(400, "destination: \(error)")
        }
        guard let policy = control.current else {
            return .json(.object([JSON.Member("verdict", .string("allow"))]))
        }
        guard let subject = PolicyRuleSet.Subject(checking: rule, policy) else {
            return .error(400, "destination: expected a name or an address, with one port at most")
        }
        let decision = policy.rules.decide(subject)
        var members = [
            JSON.Member("verdict", .string(decision.action.rawValue)),
            JSON.Member("rule", .string(policy.text(of: decision))),
        ]
        if case .name(let name) = rule.destination {
            let decision = policy.rules.decide(onName: name.name, for: subject.guest)
            members.append(JSON.Member("dns", .string(decision.action.rawValue)))
        }
        return .json(.object(members))
    }

    private func json(_ record: PolicyRecord) -> JSON {
        .object(
            [JSON.Member("time", .string(wallTime(record.time).rfc3339))]
                + record.fields.map { JSON.Member($0.key, .string($0.value)) }
                + [JSON.Member("count", .integer(UInt64(record.count)))]
        )
    }

    private var report: JSON {
        let history = control.current?.history
        return .object([
            JSON.Member(
                "rules",
                .array(
                    (history?.allDemands ?? []).map { demand in
                        .object([
                            JSON.Member("rule", .string(demand.rule)),
                            JSON.Member("count", .integer(UInt64(demand.count))),
                            JSON.Member("verdict", .string(demand.verdict.rawValue)),
                        ])
                    }
                )
            ),
            JSON.Member("isCut", .bool(history?.isCut ?? false)),
        ])
    }

    // MARK: Questions

    private var questions: [JSON] {
        let now = now()
        return (control.current?.questions.open ?? []).map { question in
            let rest = max((question.deadline - now).components.seconds, 0)
            return .object(
                [JSON.Member("number", .integer(UInt64(question.number)))]
                    + question.record.fields.map { JSON.Member($0.key, .string($0.value)) }
                    + [question.process.map { JSON.Member("process", .string($0)) }].compactMap(
                        \.self
                    )
                    + [JSON.Member("secondsLeft", .integer(UInt64(rest)))]
            )
        }
    }

    private func answer(_ answer: PolicyAnswer) -> HTTPResponse {
        let record = control.current?.questions.answer(answer.number, isAllowed: answer.isAllowed)
        guard let record else {
            return .error(404, "there is no open question \(answer.number)")
        }
        guard answer.isAlways else { return .empty }
        return change { () throws(PolicyChangeError) in
            do {
                let text = "\(record.transport.rawValue) \(record.target) guest=\(record.guest)"
                try control.add(PolicyRule(answer.isAllowed ? .allow : .deny, parsing: text))
            } catch let error as PolicyRuleError {
                throw PolicyChangeError("\(error)")
            } catch let error as PolicyChangeError {
                throw error
            } catch {
                throw PolicyChangeError("\(error)")
            }
        }
    }
}

/// An answer to an open question: `{"number":3,"allow":true,"always":false}`.
private struct PolicyAnswer {
    let number: Int
    let isAllowed: Bool
    let isAlways: Bool

    init(reading document: JSON) throws(PolicyChangeError) {
        guard case .number(let digits) = document.member("number"), let number = Int(digits),
            case .bool(let isAllowed) = document.member("allow")
        else { throw PolicyChangeError("expected {\"number\": N, \"allow\": true or false}") }
        self.number = number
        self.isAllowed = isAllowed
        isAlways = document.member("always") == .bool(true)
    }
}

extension PolicyRule {
    /// Reads `{"rule":"allow tcp api.example.com:443"}`.
    fileprivate init(reading document: JSON) throws {
        guard case .string(let text) = document.member("rule") else {
            throw PolicyChangeError("expected {\"rule\": \"allow DESTINATION\"}")
        }
        self = try PolicyRule(text)
    }
}

extension PolicyRuleSet.Subject {
    /// The flow that a destination in a rule's form stands for; nil for a destination of many.
    ///
    /// A name counts as one that the guest has resolved to a public address.
    fileprivate init?(checking rule: PolicyRule, _ policy: EgressPolicy) {
        guard rule.transport != .dns, rule.ports.count <= 1,
            rule.ports.allSatisfy({ $0.count == 1 })
        else { return nil }
        let guest: PolicyGuest
        switch rule.guest {
        case .address(let address):
            guest = PolicyGuest(address: address, mac: policy.owner(address), owner: policy.owner)
        case .mac(let mac): guest = PolicyGuest(address: .anyIPv4, mac: mac, owner: policy.owner)
        case .none: guest = PolicyGuest(address: .anyIPv4, mac: nil, owner: policy.owner)
        }
        self.init(
            guest: guest,
            transport: rule.transport ?? .tcp,
            address: .anyIPv6,
            port: rule.ports.first?.lowerBound ?? 0,
            kind: .public
        )
        switch rule.destination {
        case .network(let network):
            guard network.isSingleAddress else { return nil }
            address = policy.hostAddress(network.address)
            kind = EgressPolicy.kind(of: address)
        case .name(let name) where !name.isWildcard:
            names = [NamePins.Name(text: name.name, isLocal: false)]
            shown = .name(name.name)
        case .any, .kind, .name: return nil
        }
    }
}
