/// One query of a guest under an egress policy: whether it may leave, and which answers may come
/// back.
struct NameScreen {
    private let policy: EgressPolicy
    private let query: DNSQuery
    private let guest: IPAddress

    /// Creates the screen of a query.
    ///
    /// - Parameters:
    ///   - policy: What the guest may resolve.
    ///   - query: The query.
    ///   - guest: Its sender.
    init(_ policy: EgressPolicy, _ query: DNSQuery, for guest: IPAddress) {
        self.policy = policy
        self.query = query
        self.guest = guest
    }

    private var name: DNSName { query.question.name }

    /// Records an answer that rdnet gives itself.
    func pin(_ answer: DNSLocalAnswer) {
        for case .address(let address) in answer.records {
            policy.pin(address, to: name, isLocal: true, timeToLive: 0, for: guest)
        }
    }

    /// The answer to a query that must not leave; nil if it may.
    var refusal: [UInt8]? {
        guard let rule = policy.refusal(of: name, for: guest) else { return nil }
        return query.failure(
            .refused,
            because: DNSExtendedError(code: DNSExtendedError.blocked, text: rule)
        )
    }

    /// A resolver's answer as the guest may have it.
    ///
    /// - Parameter answer: A message that answers the query.
    /// - Returns: The same message, whose addresses are the guest's to connect to from now on;
    ///   REFUSED, if the name is an alias of one that a rule denies; or NXDOMAIN, if an address is
    ///   not public and no rule could allow it.
    func screened(_ answer: [UInt8]) -> [UInt8] {
        let found: [Found]
        let aliases: Set<DNSName>
        do {
            (found, aliases) = try content(of: answer)
        } catch {
            return query.failure(.serverFailure)
        }
        for alias in aliases where alias != name {
            guard let rule = policy.denial(of: alias, for: guest) else { continue }
            return query.failure(
                .refused,
                because: DNSExtendedError(code: DNSExtendedError.blocked, text: rule)
            )
        }
        if let bad = found.first(where: { !policy.mayLead(name, to: $0.address, for: guest) }) {
            policy.withhold(name, leadingTo: bad.address, from: guest)
            let text = "\(bad.address) is \(EgressPolicy.kind(of: bad.address).rawValue)"
            return query.failure(
                .nameError,
                because: DNSExtendedError(code: DNSExtendedError.filtered, text: text)
            )
        }
        for item in found where item.belongs {
            policy.pin(
                item.address,
                to: name,
                isLocal: false,
                timeToLive: item.timeToLive,
                for: guest
            )
        }
        return answer
    }

    /// An address in an answer.
    private struct Found {
        let address: IPAddress
        let timeToLive: UInt32
        /// Whether the query's name leads to it, through aliases or not.
        let belongs: Bool
    }

    /// The addresses in an answer, and the names that lead to them.
    private func content(
        of answer: [UInt8]
    ) throws(PacketError) -> (addresses: [Found], names: Set<DNSName>) {
        let message = answer.span.bytes
        let header = try DNSHeader(reading: message)
        // Records that are not read here could hide an address.
        guard header.answers <= DNSResourceRecord.limit else { throw .notThisFormat }
        let records = try DNSResourceRecord.records(in: message)
        var owners: Set<DNSName> = [name]
        var found: [Found] = []
        for record in records where record.section == .answer {
            switch record.type {
            case .cname where owners.contains(record.name):
                var offset = record.value.lowerBound
                owners.insert(try DNSName(reading: message, at: &offset))
            case .a, .aaaa:
                guard let address = record.address(in: message) else {
                    throw .notThisFormat
                }
                found.append(
                    Found(
                        address: address,
                        timeToLive: record.timeToLive,
                        belongs: owners.contains(record.name)
                    )
                )
            default: break
            }
        }
        return (found, owners)
    }
}
