/// What the gateway knows about a question without asking anybody.
struct DNSLocalAnswer: Equatable {
    /// `noError`, or `nameError` for a name that does not exist.
    var code: DNSResponseCode
    /// Empty for a name that exists without records of the type asked for.
    var records: [DNSRecord]
    /// Where the zone starts in the question's name.
    var zone: Int

    /// Those of a name's addresses that a question asks for.
    static func addresses(
        _ addresses: [IPAddress],
        for question: DNSQuestion,
        zone: Int
    ) -> DNSLocalAnswer {
        let wanted = addresses.filter { address in
            question.type == .any || question.type == (address.isIPv4 ? .a : .aaaa)
        }
        return DNSLocalAnswer(code: .noError, records: wanted.map { .address($0) }, zone: zone)
    }
}

/// Names under one domain that the gateway answers for, as gvproxy's API shapes them.
struct DNSZone: Equatable, Sendable {
    /// One name of a zone.
    struct Record: Equatable, Sendable {
        /// Relative to the zone: `host`; empty where there is a pattern alone.
        let name: String
        /// Nil for a name that exists without an address.
        let address: IPAddress?
        /// Stands for every name, relative to the zone and without a final dot, that it matches.
        let pattern: NamePattern?
        fileprivate let domain: DNSName?

        init(name: String, address: IPAddress?, pattern: NamePattern? = nil) {
            self.name = name
            self.address = address
            self.pattern = pattern
            domain = DNSName(name)
        }

        fileprivate func stands(for name: DNSName) -> Bool {
            domain == name || pattern?.matches(name.description.utf8.dropLast()) ?? false
        }
    }

    /// How many records a zone keeps; the oldest go first.
    static let recordLimit = 4096

    /// The domain as it was written; an empty one is the root, which holds every name.
    let name: String
    private(set) var records: [Record]
    /// The address of every name without a record.
    private(set) var defaultAddress: IPAddress?
    /// Nil when the name is none, such as with a label too long: it matches nothing.
    fileprivate let domain: DNSName?

    init(name: String, records: [Record], defaultAddress: IPAddress? = nil) {
        self.name = name
        self.records = Array(records.prefix(Self.recordLimit))
        self.defaultAddress = defaultAddress
        domain = DNSName(name)
    }

    /// Takes over another version of this zone: its records go in front, its default replaces this
    /// one's.
    fileprivate mutating func merge(_ newer: DNSZone) {
        records = Array((newer.records + records).prefix(Self.recordLimit))
        defaultAddress = newer.defaultAddress
    }

    /// The answer for a name in this zone; always one.
    ///
    /// The zone's own name exists, without records: passed on, it would come back from the root as
    /// one that does not exist, and with it nothing below it (RFC 8020). So does a name above a
    /// record's.
    ///
    /// - Parameters:
    ///   - question: Of a name in the zone.
    ///   - offset: Where the zone starts in that name.
    /// - Returns: Negative for a name without a record or an address of the type.
    fileprivate func answer(to question: DNSQuestion, zone offset: Int) -> DNSLocalAnswer {
        if offset == 0 { return apexAnswer(to: question) }
        let relative = question.name.prefix(before: offset)
        var (ipv4, ipv6): (IPAddress?, IPAddress?)
        var isRecorded = false
        for record in records where record.stands(for: relative) {
            isRecorded = true
            guard let address = record.address else { continue }
            // The first of each family: a record added later stands in front and hides the older.
            if address.isIPv4 { ipv4 = ipv4 ?? address } else { ipv6 = ipv6 ?? address }
        }
        let known = isRecorded ? [ipv4, ipv6] : [defaultAddress]
        let exists =
            isRecorded || defaultAddress != nil
            || records.contains { $0.domain?.offset(of: relative) != nil }
        guard exists else { return DNSLocalAnswer(code: .nameError, records: [], zone: offset) }
        return .addresses(known.compactMap(\.self), for: question, zone: offset)
    }

    /// Whether a record stands for a relative name.
    fileprivate func hasRecord(of relative: DNSName) -> Bool {
        records.contains { $0.stands(for: relative) }
    }

    /// What all patterns together cost a question, in steps for each octet of its name.
    fileprivate var patternCost: Int {
        records.reduce(0) { $0 + ($1.pattern?.cost ?? 0) }
    }

    private func apexAnswer(to question: DNSQuestion) -> DNSLocalAnswer {
        let asked = question.type == .soa || question.type == .any
        return DNSLocalAnswer(code: .noError, records: asked ? [.authority(0)] : [], zone: 0)
    }
}

/// The gateway's zones, in the order in which they are asked.
struct DNSZones: Sendable {
    /// How many zones there may be.
    static let limit = 256
    /// What the patterns of all zones may cost together: some milliseconds for the longest name.
    static let patternBudget = 16_384
    /// Why a zone is not added.
    static let fullSentence =
        "too many zones: the limit is \(limit), with \(patternBudget) instructions of their expressions"

    private(set) var all: [DNSZone]

    init(_ zones: [DNSZone] = []) {
        all = zones
    }

    /// The zones that every peer of ours knows: two names for the gateway's and the host's address
    /// each.
    static func builtIn(gateway: IPAddress, hostAlias: IPAddress) -> DNSZones {
        let records = [
            DNSZone.Record(name: "gateway", address: gateway),
            DNSZone.Record(name: "host", address: hostAlias),
        ]
        let names = ["rancher-desktop.internal.", "docker.internal.", "containers.internal."]
        return DNSZones(names.map { DNSZone(name: $0, records: records) })
    }

    /// Adds a zone, or merges it with the one of the same name, as gvproxy does.
    ///
    /// A known zone keeps its place, gets the new records in front of its own, and the new default
    /// address or none; a new zone goes to the end.
    ///
    /// - Parameter zone: Its name is compared without regard to case and final dot.
    /// - Returns: Whether there was room.
    mutating func add(_ zone: DNSZone) -> Bool {
        let cost = all.reduce(zone.patternCost) { $0 + $1.patternCost }
        guard cost <= Self.patternBudget else { return false }
        let known = all.firstIndex {
            $0.name == zone.name || ($0.domain != nil && $0.domain == zone.domain)
        }
        if let known {
            all[known].merge(zone)
        } else if all.count < Self.limit {
            all.append(zone)
        } else {
            return false
        }
        return true
    }

    /// The domain of the first zone, in which guests' host names are.
    var firstDomain: DNSName? { all.first { $0.domain != .root }?.domain }

    /// Whether a record, and no default address, stands for a name.
    func hasRecord(of name: DNSName) -> Bool {
        for zone in all {
            guard let domain = zone.domain, let offset = name.offset(of: domain) else { continue }
            return offset == 0 || zone.hasRecord(of: name.prefix(before: offset))
        }
        return false
    }

    /// The names of the addresses in all records; of several, the first.
    var namesByAddress: [IPAddress: DNSName] {
        var names: [IPAddress: DNSName] = [:]
        for zone in all {
            guard let domain = zone.domain else { continue }
            for record in zone.records where !record.name.isEmpty {
                guard let address = record.address, names[address] == nil else { continue }
                names[address] = record.domain?.below(domain)
            }
        }
        return names
    }

    /// The answer of the first zone that the name is in; nil when it is in none.
    func answer(to question: DNSQuestion) -> DNSLocalAnswer? {
        for zone in all {
            if let domain = zone.domain, let offset = question.name.offset(of: domain) {
                return zone.answer(to: question, zone: offset)
            }
        }
        return nil
    }
}
