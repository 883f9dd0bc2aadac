/// What guests may reach, as the owner of the network wrote it down.
///
/// How it works: `Admission` asks for a decision on each new flow to the host's network, the DNS
/// service for each query that would leave and for each answer that comes back. Answers pin their
/// addresses to the name for the guest that receives them, and name rules match by these pins. If a
/// decision depends on the name that a connection itself shows, the flow asks again once it has
/// read the name. Every decision is recorded.
///
/// Nothing here fails open: without a matching rule the default decides, without an answer `ask`
/// means no, and a full table forgets what it would have allowed.
final class EgressPolicy {
    /// Who asked for what; everything that a decision depends on.
    struct Request {
        var transport: PolicyRule.Transport
        var guest: IPAddress
        /// As the guest sees it.
        var remote: Endpoint
        /// The same on the host's network.
        var host: Endpoint
    }

    private let loop: EventLoop
    /// The machine that has an address; set by the engine.
    var owner: (IPAddress) -> MACAddress? = { _ in nil }
    /// The address on the host's network that guests see as another one, such as the host's
    /// loopback behind its alias; set by the owner.
    var hostAddress: (IPAddress) -> IPAddress = { $0 }
    /// Called for each decision.
    var decided: (PolicyRecord) -> Void = { _ in }
    /// Called for each flow to the host's network that is over; nil if nobody keeps records.
    var ended: ((FlowRecord) -> Void)?
    /// Called after each change of the rules.
    var changed: () -> Void = {}
    private(set) var rules: PolicyRuleSet
    /// Whether a TLS hello with an encrypted part counts as one whose name can be read.
    var acceptsEncryptedHello: Bool
    private(set) var pins = NamePins()
    /// Incremented with every change of the rules.
    private(set) var generation = 0
    let questions: PolicyQuestions
    let history = PolicyHistory()
    /// Whether QUIC must be told apart from other datagrams.
    private(set) var distinguishesQUIC: Bool

    /// Creates a policy.
    ///
    /// - Parameters:
    ///   - rules: See `replace`.
    ///   - acceptsEncryptedHello: Whether TLS may hide its server's name.
    ///   - loop: Whose clock counts.
    init(
        _ rules: PolicyRuleSet,
        acceptsEncryptedHello: Bool = false,
        loop: EventLoop
    ) {
        self.rules = rules
        self.acceptsEncryptedHello = acceptsEncryptedHello
        self.loop = loop
        distinguishesQUIC = rules.distinguishesQUIC
        questions = PolicyQuestions(loop: loop)
    }

    /// Replaces the rules; flows that they no longer allow end.
    func replace(_ rules: PolicyRuleSet) {
        self.rules = rules
        distinguishesQUIC = rules.distinguishesQUIC
        generation += 1
        questions.restart()
        changed()
    }

    // MARK: Flows

    /// Decides about a new flow, and records the decision.
    func decide(_ request: Request) -> Verdict {
        decide(request, identity(of: request.remote.address, for: request.guest))
    }

    /// Decides about a new flow to a server of which this is known, and records the decision.
    ///
    /// - Parameters:
    ///   - request: The flow.
    ///   - identity: What is known of its server.
    ///   - isFinal: False if the caller asks again, with the server's name, where a name decides.
    /// - Returns: The verdict.
    func decide(
        _ request: Request,
        _ identity: ServerIdentity,
        isFinal: Bool = true
    ) -> Verdict {
        let decision = decision(on: request, identity)
        let record = record(decision, request, identity)
        switch decision.action {
        case .deny:
            decided(record)
            return .refuse(.policy)
        case .allow:
            if isFinal || !decision.needsName { decided(record) }
            return allowed(request, decision)
        case .ask:
            return ask(request, decision, record)
        }
    }

    private func allowed(_ request: Request, _ decision: PolicyRuleSet.Decision) -> Verdict {
        decision.needsName ? .examine(request.host) : .host(request.host)
    }

    private func ask(
        _ request: Request,
        _ decision: PolicyRuleSet.Decision,
        _ record: PolicyRecord
    ) -> Verdict {
        let awaited = AwaitedVerdict()
        let answer = questions.ask(record) { [weak self] outcome in
            guard let self else { return }
            if outcome == .moot { return awaited.arrived(decide(request)) }
            var record = record
            record.verdict = outcome == .allowed ? .allow : .deny
            decided(record)
            let isAllowed = outcome == .allowed
            awaited.arrived(isAllowed ? allowed(request, decision) : .refuse(.policy))
        }
        switch answer {
        case .none:
            decided(record)
            return .wait(awaited)
        case .some(let isAllowed):
            var record = record
            record.verdict = isAllowed ? .allow : .deny
            decided(record)
            return isAllowed ? allowed(request, decision) : .refuse(.policy)
        }
    }

    /// Decides about a flow whose first bytes have been read, or whose rules have changed.
    ///
    /// - Parameters:
    ///   - request: The flow.
    ///   - identity: What is known of its server.
    ///   - isNews: Whether to record the decision even if it is to allow.
    /// - Returns: Whether the flow may go on.
    func stillAllows(_ request: Request, _ identity: ServerIdentity, isNews: Bool) -> Bool {
        let decision = decision(on: request, identity)
        let record = record(decision, request, identity)
        let isAllowed =
            switch decision.action {
            case .allow: true
            case .deny: false
            // Nobody can be asked about bytes that are on their way, and a flow that earlier rules
            // or an earlier answer allowed goes on.
            case .ask: questions.answer(to: record) ?? !isNews
            }
        if isNews || !isAllowed {
            var record = record
            record.verdict = isAllowed ? .allow : .deny
            decided(record)
        }
        return isAllowed
    }

    /// What is known of the server at an address.
    ///
    /// - Parameters:
    ///   - address: As the guest sees it.
    ///   - guest: The guest.
    /// - Returns: The names that this guest has resolved to it.
    func identity(of address: IPAddress, for guest: IPAddress) -> ServerIdentity {
        let names = owner(guest).map { pins.names(of: address, for: $0, now: loop.now) }
        return ServerIdentity(names: names ?? [])
    }

    /// What the rules say, without consequences.
    func decision(
        on request: Request,
        _ identity: ServerIdentity
    ) -> PolicyRuleSet.Decision {
        rules.decide(
            PolicyRuleSet.Subject(
                guest: guest(at: request.guest),
                transport: request.transport,
                address: request.host.address,
                port: request.host.port,
                kind: Self.kind(of: request.host.address),
                names: identity.names,
                // A ping has no bytes that could name anything.
                shown: request.transport == .icmp ? .none : identity.shown
            )
        )
    }

    /// The kind of an address; that of an interface of this machine is `host`.
    static func kind(of address: IPAddress) -> AddressKind {
        let kind = AddressKind.of(address)
        // Without a clear answer of the kernel it may be one of ours.
        return kind != .host && !Socket.isForeign(address) ? .host : kind
    }

    private func guest(at address: IPAddress) -> PolicyGuest {
        PolicyGuest(address: address, mac: owner(address), owner: owner)
    }

    private func record(
        _ decision: PolicyRuleSet.Decision,
        _ request: Request,
        _ identity: ServerIdentity
    ) -> PolicyRecord {
        PolicyRecord(
            time: loop.now,
            guest: request.guest,
            transport: request.transport,
            remote: request.remote,
            kind: Self.kind(of: request.host.address),
            name: identity.name,
            hidesName: identity.shown == .hidden,
            verdict: decision.action,
            rule: decision.rule,
            fallback: rules.fallback
        )
    }

    /// The rule that decided, or `default deny`.
    func text(of decision: PolicyRuleSet.Decision) -> String {
        PolicyRecord.text(of: decision.rule, otherwise: rules.fallback)
    }

    // MARK: Names

    /// Decides whether a guest's query may leave for a resolver.
    ///
    /// - Parameters:
    ///   - name: The name in the query.
    ///   - guest: Who sent it.
    /// - Returns: The rule that forbids it, as text; nil if it may leave.
    func refusal(of name: DNSName, for guest: IPAddress) -> String? {
        let text = name.policyName
        // Only rules without names are about the root, and about what is no host name.
        let decision = rules.decide(onName: text ?? "", for: self.guest(at: guest))
        guard decision.action == .deny else { return nil }
        return deny(text ?? name.description, decision, to: guest)
    }

    /// Decides whether an answer may lead a guest's query to another name.
    ///
    /// - Parameters:
    ///   - alias: A name that the answer leads to.
    ///   - guest: Who receives it.
    /// - Returns: The rule that names and denies it, as text; nil if there is none.
    func denial(of alias: DNSName, for guest: IPAddress) -> String? {
        guard let text = alias.policyName else { return nil }
        let decision = rules.decide(onName: text, for: self.guest(at: guest))
        // A name that no rule allows is no reason: most names are aliases of a CDN's.
        guard decision.action == .deny, case .name = decision.rule?.destination else { return nil }
        return deny(text, decision, to: guest)
    }

    private func deny(
        _ name: String,
        _ decision: PolicyRuleSet.Decision,
        to guest: IPAddress
    ) -> String {
        decided(denial(of: name, decision.rule, to: guest))
        return text(of: decision)
    }

    private func denial(
        of name: String,
        _ rule: PolicyRule?,
        to guest: IPAddress
    ) -> PolicyRecord {
        PolicyRecord(
            time: loop.now,
            guest: guest,
            transport: .dns,
            remote: nil,
            name: name,
            verdict: .deny,
            rule: rule,
            fallback: rules.fallback
        )
    }

    /// Records that an answer is withheld because `mayLead` forbids one of its addresses.
    func withhold(_ name: DNSName, leadingTo address: IPAddress, from guest: IPAddress) {
        var record = denial(of: name.policyName ?? name.description, nil, to: guest)
        record.withheld = address
        decided(record)
    }

    /// Whether an answer of a resolver may reach a guest.
    ///
    /// - Parameters:
    ///   - name: The name in the query.
    ///   - address: One of the answers.
    ///   - guest: Who receives it.
    /// - Returns: False for an address that is not public, unless a rule could allow connections
    ///   to it (DNS rebinding).
    func mayLead(_ name: DNSName, to address: IPAddress, for guest: IPAddress) -> Bool {
        let kind = Self.kind(of: address)
        if kind == .public { return true }
        return rules.mayLead(
            name.policyName ?? "",
            to: address,
            kind,
            for: self.guest(at: guest)
        )
    }

    /// Records an answer that a guest receives.
    ///
    /// - Parameters:
    ///   - address: As the guest will see it.
    ///   - name: The name in the query.
    ///   - isLocal: Whether the answer is rdnet's own.
    ///   - timeToLive: In seconds.
    ///   - guest: The guest.
    func pin(
        _ address: IPAddress,
        to name: DNSName,
        isLocal: Bool,
        timeToLive: UInt32,
        for guest: IPAddress
    ) {
        guard let text = name.policyName, let mac = owner(guest) else { return }
        pins.pin(
            address,
            to: NamePins.Name(text: text, isLocal: isLocal),
            timeToLive: timeToLive,
            for: mac,
            now: loop.now
        )
    }
}
