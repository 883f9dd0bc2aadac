/// One decision of an egress policy.
struct PolicyRecord: Equatable {
    var time: Instant
    var guest: IPAddress
    var transport: PolicyRule.Transport
    /// As the guest sees it; nil for a query.
    var remote: Endpoint?
    /// The kind of the destination on the host's network.
    var kind = AddressKind.public
    /// The address in an answer that the guest must not learn.
    var withheld: IPAddress?
    /// The server's name, as far as it is known.
    var name: String?
    /// Whether the guest's bytes should have named the server and did not.
    var hidesName = false
    var verdict: PolicyRule.Action
    /// The rule that decided; nil for the default.
    var rule: PolicyRule?
    /// The default at that time.
    var fallback: PolicyRule.Action
    /// How often the same was decided in a row.
    var count = 1

    /// The destination as a rule would name it: by name if there is one.
    var target: String {
        guard let remote else { return name ?? "" }
        let place = name ?? "\(remote.address)"
        guard transport.hasPorts else { return place }
        return place.contains(":") ? "[\(place)]:\(remote.port)" : "\(place):\(remote.port)"
    }

    /// The rule that decided, or `default deny`.
    var ruleText: String {
        withheld == nil ? PolicyRecord.text(of: rule, otherwise: fallback) : "no rule allows it"
    }

    /// A rule as people read it, or `default deny`.
    static func text(of rule: PolicyRule?, otherwise fallback: PolicyRule.Action) -> String {
        rule?.description ?? "default \(fallback.rawValue)"
    }

    /// The rule that would allow this.
    var neededRule: String {
        if let withheld { return "allow \(target) address=\(withheld)" }
        // A name may lead to public addresses only, unless its rule says otherwise.
        let addresses = name == nil || kind == .public ? "" : " address=\(kind.rawValue)"
        return "allow \(transport.rawValue) \(target)\(addresses)"
    }

    /// What the needed rule is about, in a form that costs no text.
    fileprivate var demand: Demanded {
        Demanded(
            transport: transport,
            name: name,
            address: name == nil ? remote?.address : withheld,
            port: transport.hasPorts ? remote?.port ?? 0 : 0
        )
    }

    fileprivate struct Demanded: Hashable {
        let transport: PolicyRule.Transport
        let name: String?
        let address: IPAddress?
        let port: UInt16
    }

    /// What it says, in reading order.
    var fields: [(key: String, value: String)] {
        var fields = [("guest", "\(guest)"), ("protocol", transport.rawValue)]
        if let remote {
            let place = transport.hasPorts ? "\(remote)" : "\(remote.address)"
            fields.append(("destination", place))
        }
        if let name { fields.append(("name", name)) }
        if let withheld { fields.append(("reason", "the name leads to \(withheld)")) }
        if hidesName { fields.append(("reason", "the connection hides its server's name")) }
        return fields + [("verdict", verdict.rawValue), ("rule", ruleText)]
    }

    /// Whether another record says the same of a later time.
    fileprivate func isRepeated(by other: PolicyRecord) -> Bool {
        guest == other.guest && transport == other.transport && remote == other.remote
            && name == other.name && withheld == other.withheld && hidesName == other.hidesName
            && verdict == other.verdict
            && rule == other.rule && fallback == other.fallback
    }
}

/// The latest decisions, and everything that guests have wanted to reach.
final class PolicyHistory {
    /// Limit on remembered decisions.
    static let maximumRecords = 1_000
    /// Limit on the destinations in a report.
    static let maximumTargets = 4_096

    /// A destination that guests have wanted to reach.
    struct Demand {
        let rule: String
        var count: Int
        var verdict: PolicyRule.Action
    }

    private var records: [PolicyRecord] = []
    private var oldest = 0
    private var demands: [PolicyRecord.Demanded: Demand] = [:]
    /// Whether the report lacks destinations, because there were too many.
    private(set) var isCut = false
    private(set) var counts: [PolicyRule.Action: UInt64] = [:]

    /// Adds a decision.
    func add(_ record: PolicyRecord) {
        counts[record.verdict, default: 0] += 1
        note(record)
        let last = records.isEmpty ? nil : (oldest + records.count - 1) % records.count
        if let last, records[last].isRepeated(by: record) {
            records[last].count += 1
            records[last].time = record.time
            return
        }
        if records.count < Self.maximumRecords {
            records.append(record)
        } else {
            records[oldest] = record
            oldest = (oldest + 1) % records.count
        }
    }

    private func note(_ record: PolicyRecord) {
        let key = record.demand
        if demands[key] == nil {
            guard demands.count < Self.maximumTargets else {
                isCut = true
                return
            }
            demands[key] = Demand(rule: record.neededRule, count: 0, verdict: record.verdict)
        }
        demands[key]?.count += 1
        demands[key]?.verdict = record.verdict
    }

    /// The decisions, oldest first.
    var all: [PolicyRecord] { Array(records[oldest...] + records[..<oldest]) }

    /// What guests have wanted, the most frequent first.
    var allDemands: [Demand] {
        demands.values.sorted { ($1.count, $0.rule) < ($0.count, $1.rule) }
    }
}
