/// Keeps a network's egress policy: its file, the rules added at run time, and the record of its
/// decisions.
///
/// Until `open` has read the file, the policy denies everything.
final class PolicyKeeper: PolicyControl {
    /// Limit on the rules that are added at run time.
    private static let maximumAdded = 4_096
    /// The source of rules from options, as `ctl policy show` names it.
    private static let optionSource = "command line"

    private let settings: PolicySettings
    private let engine: PacketEngine
    private let dns: DNSService
    private let log: Logger
    private let readFile: (String) -> FileContents
    private let policy: EgressPolicy
    private var document: PolicyDocument
    /// Newest first.
    private var added: [PolicyRule] = []
    /// Where decisions are recorded; nil for nowhere.
    private var audit: Logger?
    /// Called for each decision, with its number if it is a question.
    var noted: (PolicyRecord, _ question: Int?) -> Void = { _, _ in }

    /// Creates the policy that the settings name, without its file.
    init(
        _ settings: PolicySettings,
        _ engine: PacketEngine,
        _ dns: DNSService,
        log: Logger,
        readFile: @escaping (String) -> FileContents = PolicyKeeper.readFile
    ) {
        self.settings = settings
        self.engine = engine
        self.dns = dns
        self.log = log
        self.readFile = readFile
        document = settings.preset ?? .offline
        policy = EgressPolicy(PolicyRuleSet([], otherwise: .deny), loop: engine.loop)
        policy.owner = { [unowned engine] in engine.ethernet.neighbors.mac(of: $0) }
        policy.hostAddress = { [unowned engine] address in
            guard case .host(let host) = engine.plan.destination(of: address) else {
                return address
            }
            return host
        }
        policy.decided = { [unowned self] in record($0) }
        policy.changed = { [unowned engine] in engine.enforcePolicy() }
        if settings.isOn { start() }
    }

    /// Reads a file, in the sandbox by way of the broker.
    private static func readFile(_ path: String) -> FileContents {
        guard let broker = FileBroker.current else {
            return ProcessSurroundings.system.readFile(path)
        }
        do {
            let octets = try TextFile.read(try broker.open(path), named: path)
            guard let octets else {
                return .unreadable("\(path): larger than \(TextFile.limit) bytes")
            }
            return .text(String(decoding: octets, as: UTF8.self))
        } catch {
            return .unreadable("\(path): \(error)")
        }
    }

    private func start() {
        engine.network.admission.policy = policy
        dns.policy = policy
    }

    /// Reads the policy file and opens the audit file.
    ///
    /// - Throws: `RoleFailure` that names the option.
    func open() throws(RoleFailure) {
        do {
            try openAudit()
            if settings.hasFile { document = try read() }
        } catch {
            throw RoleFailure("policy \(error)")
        }
        apply()
    }

    private func openAudit() throws(PolicyChangeError) {
        do {
            switch settings.audit {
            case .nowhere: return
            case .file(let path): try record(in: .file(path, appending: true))
            case .descriptor(let number):
                if audit != nil { return }
                guard OwnedDescriptor.claimInherited(number) else {
                    throw PolicyChangeError("fd:\(number): the program was started without it")
                }
                try record(in: .inherited(number))
            case .systemLog:
                if audit != nil { return }
                let log = try SystemLog()
                record(in: log.write, lossCause: { log.lossCause })
            }
        } catch {
            throw PolicyChangeError("audit \(error)")
        }
    }

    private func record(in file: LogDestination) {
        record(in: file.write, lossCause: { file.lossCause })
    }

    private func record(
        in sink: @escaping (ArraySlice<UInt8>) -> Int,
        lossCause: @escaping () -> String
    ) {
        audit = Logger(format: .json, clock: WallClock.now, sink: sink, lossCause: lossCause)
        policy.ended = { [unowned self] in record($0) }
    }

    private func read() throws(PolicyChangeError) -> PolicyDocument {
        let path = settings.document
        switch readFile(path) {
        case .text(let text):
            do {
                return try PolicyDocument(path: path, text: text)
            } catch {
                throw PolicyChangeError("\(error)")
            }
        case .absent:
            throw PolicyChangeError(
                "\(path): no such file; expected a file, offline or public"
            )
        case .unreadable(let reason):
            throw PolicyChangeError(reason)
        }
    }

    private func apply() {
        policy.acceptsEncryptedHello = document.acceptsEncryptedHello
        policy.questions.patience = .seconds(document.patience)
        let rules = sources.map { $0.rule.seenFromHost(policy.hostAddress) }
        policy.replace(PolicyRuleSet(rules, otherwise: fallback))
    }

    private func record(_ record: PolicyRecord) {
        policy.history.add(record)
        var question: Int?
        if record.verdict == .ask {
            let number = policy.questions.open.last?.number ?? 0
            question = number
            log.warning(
                "connection waits for an answer",
                ["guest": "\(record.guest)", "target": record.target, "question": "\(number)"]
            )
        }
        noted(record, question)
        audit?.log(.info, "egress", fields: record.fields)
        log.log(.debug, "egress decision", fields: record.fields)
    }

    private func record(_ flow: FlowRecord) {
        var fields = [
            ("guest", "\(flow.guest.address)"),
            ("protocol", flow.transport == IPProtocol.tcp ? "tcp" : "udp"),
        ]
        if let remote = flow.remote { fields.append(("destination", "\(remote)")) }
        if let name = flow.name { fields.append(("name", name)) }
        let milliseconds = (engine.loop.now - flow.traffic.start).wholeNanoseconds / 1_000_000
        fields += [
            ("bytesToHost", "\(flow.traffic.octetsToHost)"),
            ("bytesToGuest", "\(flow.traffic.octetsToGuest)"), ("milliseconds", "\(milliseconds)"),
        ]
        audit?.log(.info, "flow ended", fields: fields)
    }

    /// Opens the audit file again, after another program has renamed it, and reads the policy file.
    func hangUp() {
        guard settings.isOn else { return }
        do {
            try openAudit()
        } catch {
            log.error("decisions are recorded as before", ["error": "\(error)"])
        }
        guard settings.hasFile else { return }
        do {
            try reload()
        } catch {
            // The log has it.
        }
    }

    /// Denies what waits for an answer.
    func stop() {
        policy.questions.stop()
    }

    // MARK: Control

    var current: EgressPolicy? { engine.network.admission.policy }

    var fallback: PolicyRule.Action { document.fallback }

    var sources: [(rule: PolicyRule, source: String)] {
        let source = settings.document
        return added.map { ($0, "added at run time") }
            + settings.rules.map { ($0, Self.optionSource) } + document.rules.map { ($0, source) }
    }

    func add(_ rule: PolicyRule) throws(PolicyChangeError) {
        guard added.count < Self.maximumAdded else {
            throw PolicyChangeError("\(Self.maximumAdded) rules have been added, the maximum")
        }
        added.removeAll { $0 == rule }
        added.insert(rule, at: 0)
        log.info("policy rule added", ["rule": "\(rule)"])
        if current == nil { start() }
        apply()
    }

    func remove(_ rule: PolicyRule) throws(PolicyChangeError) {
        guard added.contains(rule) else {
            throw PolicyChangeError("no rule added at run time is \"\(rule)\"")
        }
        added.removeAll { $0 == rule }
        log.info("policy rule removed", ["rule": "\(rule)"])
        apply()
    }

    func reload() throws(PolicyChangeError) {
        guard settings.hasFile else {
            throw PolicyChangeError("there is no policy file to read again")
        }
        do {
            document = try read()
        } catch {
            log.error("the egress policy stays as it was", ["error": "\(error)"])
            throw error
        }
        log.info(
            "policy file read",
            ["file": settings.document, "rules": "\(document.rules.count)"]
        )
        apply()
    }
}
