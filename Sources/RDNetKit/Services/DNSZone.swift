/// An answer that the gateway gives from its own knowledge.
struct DNSLocalAnswer: Equatable {
    /// `noError`, or `nameError` for a name that does not exist.
    var code: DNSResponseCode
    /// The records; empty if the name exists without records of the requested type.
    var records: [DNSRecord]
    /// The offset of the zone in the question's name.
    var zone: Int

    /// Creates an answer with those of a name's addresses that match the question's type.
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

/// The names under one domain that the gateway answers for, in the form of gvproxy's API.
struct DNSZone: Equatable, Sendable {
    /// One name of a zone.
    struct Record: Equatable, Sendable {
        /// The name relative to the zone, such as `host`; empty if the record has only a pattern.
        let name: String
        /// Nil for a name that exists without an address.
        let address: IPAddress?
        /// Matches names relative to the zone, without a final dot; the record stands for all of
        /// them.
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

    /// Limit on records in a zone; when it is exceeded, the oldest are removed.
    static let recordLimit = 4096

    /// The domain as it was written; an empty one is the root, which contains every name.
    let name: String
    private(set) var records: [Record]
    /// The address of every name without a record.
    private(set) var defaultAddress: IPAddress?
    /// Nil if the domain is not a valid name, such as with an overlong label; it then matches
    /// nothing.
    fileprivate let domain: DNSName?

    init(name: String, records: [Record], defaultAddress: IPAddress? = nil) {
        self.name = name
        self.records = Array(records.prefix(Self.recordLimit))
        self.defaultAddress = defaultAddress
        domain = DNSName(name)
    }

    /// Merges a newer version of this zone: puts its records in front, and replaces the default.
    fileprivate mutating func merge(_ newer: DNSZone) {
        records = Array((newer.records + records).prefix(Self.recordLimit))
        defaultAddress = newer.defaultAddress
    }

    /// Returns the answer for a name in this zone, which always exists.
    ///
    /// The zone's own name exists without records. If its query were forwarded, the root would deny
    /// the name, and with it every name below it (RFC 8020). A name above a record's name also
    /// exists.
    ///
    /// - Parameters:
    ///   - question: A question about a name in the zone.
    ///   - offset: The offset of the zone in that name.
    ///   - twins: The IPv6 addresses of machines by their IPv4 addresses.
    /// - Returns: The answer; negative for a name without a record or an address of the type.
    fileprivate func answer(
        to question: DNSQuestion,
        zone offset: Int,
        _ twins: [IPAddress: IPAddress]
    ) -> DNSLocalAnswer {
        if offset == 0 { return apexAnswer(to: question) }
        let relative = question.name.prefix(before: offset)
        var (ipv4, ipv6): (IPAddress?, IPAddress?)
        var isRecorded = false
        for record in records where record.stands(for: relative) {
            isRecorded = true
            guard let address = record.address else { continue }
            // Take the first of each family: a newer record comes first and hides the older one.
            if address.isIPv4 { ipv4 = ipv4 ?? address } else { ipv6 = ipv6 ?? address }
        }
        if !isRecorded {
            ipv4 = defaultAddress.flatMap { $0.isIPv4 ? $0 : nil }
            ipv6 = defaultAddress.flatMap { $0.isIPv4 ? nil : $0 }
        }
        let known = [ipv4, ipv6 ?? ipv4.flatMap { twins[$0] }]
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

    /// The total cost of all patterns for a query, in steps per byte of its name.
    fileprivate var patternCost: Int {
        records.reduce(0) { $0 + ($1.pattern?.cost ?? 0) }
    }

    private func apexAnswer(to question: DNSQuestion) -> DNSLocalAnswer {
        let asked = question.type == .soa || question.type == .any
        return DNSLocalAnswer(code: .noError, records: asked ? [.authority(0)] : [], zone: 0)
    }
}

/// The gateway's zones, in the order of their priority.
struct DNSZones: Sendable {
    /// Limit on the number of zones.
    static let limit = 256
    /// Limit on the total cost of all patterns: a few milliseconds for the longest name.
    static let patternBudget = 16_384
    /// The reason why a zone is not added.
    static let fullSentence =
        "too many zones: the limit is \(limit), with \(patternBudget) instructions of their expressions"

    private(set) var all: [DNSZone]

    init(_ zones: [DNSZone] = []) {
        all = zones
    }

    /// The built-in zones: in each domain, names for the gateway's and the host's address.
    ///
    /// All comparable programs know these zones.
    static func builtIn(gateway: IPAddress, hostAlias: IPAddress) -> DNSZones {
        let records = [
            DNSZone.Record(name: "gateway", address: gateway),
            DNSZone.Record(name: "host", address: hostAlias),
        ]
        let names = ["rancher-desktop.internal.", "docker.internal.", "containers.internal."]
        return DNSZones(names.map { DNSZone(name: $0, records: records) })
    }

    /// Adds a zone, or merges it with the zone of the same name, as gvproxy does.
    ///
    /// An existing zone keeps its place. The new records go before its own, and the new default
    /// address, or none, replaces its own. A new zone goes to the end.
    ///
    /// - Parameter zone: The zone; its name is compared without regard to case and final dot.
    /// - Returns: Whether the zone was within the limits.
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

    /// The domain of the first zone, which contains the guests' host names.
    var firstDomain: DNSName? { all.first { $0.domain != .root }?.domain }

    /// Whether a record, as opposed to a default address, stands for a name.
    func hasRecord(of name: DNSName) -> Bool {
        for zone in all {
            guard let domain = zone.domain, let offset = name.offset(of: domain) else { continue }
            return offset == 0 || zone.hasRecord(of: name.prefix(before: offset))
        }
        return false
    }

    /// Whether a record gives a name an address.
    func leads(_ name: DNSName, to address: IPAddress) -> Bool {
        all.contains { zone in
            guard let domain = zone.domain, let offset = name.offset(of: domain), offset > 0 else {
                return false
            }
            let relative = name.prefix(before: offset)
            return zone.records.contains { $0.address == address && $0.stands(for: relative) }
        }
    }

    /// The names of the addresses in all records; an address with several names has the first.
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

    /// Answers from the first zone that contains the name.
    ///
    /// - Parameters:
    ///   - question: Any question.
    ///   - twins: The IPv6 addresses of machines by their IPv4 addresses: a name that has only the
    ///     IPv4 address of such a machine has its IPv6 address as well.
    /// - Returns: The answer; nil for names outside the zones.
    func answer(
        to question: DNSQuestion,
        adding twins: [IPAddress: IPAddress] = [:]
    ) -> DNSLocalAnswer? {
        for zone in all {
            if let domain = zone.domain, let offset = question.name.offset(of: domain) {
                return zone.answer(to: question, zone: offset, twins)
            }
        }
        return nil
    }
}
