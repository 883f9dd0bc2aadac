/// The names in a hosts file (hosts(5)), as a guest should see them.
///
/// The host's own names often have a loopback address, as in `127.0.1.1 thismachine`. To a guest,
/// that address is the guest itself. A loopback address therefore becomes the host alias of its
/// family, through which the engine reaches the host's loopback. ::1 is left out if the network has
/// no IPv6. Only `localhost` and the names below it keep their addresses (RFC 6761, 6.3), because
/// they do mean the guest.
struct HostsTable: Equatable {
    private static let addressesPerName = 16
    static let nameLimit = 100_000
    private static let localhost = DNSName("localhost") ?? .root
    private static let localNames = Set(
        ["localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"].compactMap {
            DNSName($0)
        }
    )

    private var addresses: [DNSName: [IPAddress]] = [:]
    private var names: [IPAddress: DNSName] = [:]
    /// Whether the file has more than `nameLimit` names; the rest is ignored.
    private(set) var isCut = false

    init() {}

    /// Reads a hosts file; skips invalid lines.
    ///
    /// - Parameters:
    ///   - contents: The file.
    ///   - hostAlias: What 127.0.0.0/8 becomes.
    ///   - hostAliasIPv6: What ::1 becomes; nil leaves it out.
    init(parsing contents: [UInt8], hostAlias: IPAddress, hostAliasIPv6: IPAddress? = nil) {
        let lines = ByteOrderMark.skipped(in: contents)
        for line in lines.split(whereSeparator: { $0 == 0x0a || $0 == 0x0d }) {
            let text = line.prefix { $0 != 0x23 }
            let words = text.split { $0 == 0x20 || $0 == 0x09 }
            guard let first = words.first,
                let address = IPAddress(String(decoding: first, as: UTF8.self))
            else { continue }
            for word in words.dropFirst() {
                guard addresses.count < Self.nameLimit else {
                    isCut = true
                    return
                }
                if let name = DNSName(String(decoding: word, as: UTF8.self)) {
                    let alias = address.isIPv4 ? hostAlias : hostAliasIPv6
                    add(address.isLoopback ? alias : address, name)
                }
            }
        }
    }

    /// Adds an address as guests see it; nil for a name that exists without an address.
    private mutating func add(_ address: IPAddress?, _ name: DNSName) {
        if Self.isLocal(name) { return }
        var known = addresses[name, default: []]
        if let address, known.count < Self.addressesPerName, !known.contains(address) {
            known.append(address)
        }
        addresses[name] = known
        if let address, names[address] == nil { names[address] = name }
    }

    private static func isLocal(_ name: DNSName) -> Bool {
        localNames.contains(name) || name.offset(of: localhost) != nil
    }

    /// Returns the answer to a question about `localhost`, regardless of the file.
    ///
    /// - Parameter question: Any question.
    /// - Returns: The answer; nil for other names and addresses.
    static func localhostAnswer(to question: DNSQuestion) -> DNSLocalAnswer? {
        if isLocal(question.name) {
            return .addresses([.loopbackIPv4, .loopbackIPv6], for: question, zone: 0)
        }
        guard question.type == .ptr, let address = question.name.reverseAddress,
            address == .loopbackIPv4 || address == .loopbackIPv6
        else { return nil }
        return DNSLocalAnswer(code: .noError, records: [.pointer(localhost)], zone: 0)
    }

    /// Returns the answer to an address or reverse question about a name in the file.
    ///
    /// A name with addresses of only one family has none of the other, even if public servers know
    /// one.
    ///
    /// - Parameter question: Any question.
    /// - Returns: The answer; nil for other names and other types.
    func answer(to question: DNSQuestion) -> DNSLocalAnswer? {
        switch question.type {
        case .a, .aaaa, .any:
            return addresses[question.name].map { .addresses($0, for: question, zone: 0) }
        case .ptr:
            guard let address = question.name.reverseAddress, let name = names[address] else {
                return nil
            }
            return DNSLocalAnswer(code: .noError, records: [.pointer(name)], zone: 0)
        default:
            return nil
        }
    }
}

/// The host's hosts file, reloaded when it changes.
struct HostsFile {
    /// Limit on the bytes read from the file.
    static let limit = 4 << 20

    private let hostAlias: IPAddress
    private let hostAliasIPv6: IPAddress?
    private var file: FollowedFile
    private(set) var table = HostsTable()
    /// Whether the file is larger than `limit`; the rest is ignored.
    var isCut: Bool { file.isCut }

    init(path: String, hostAlias: IPAddress, hostAliasIPv6: IPAddress? = nil) {
        file = FollowedFile(path: path, limit: Self.limit)
        self.hostAlias = hostAlias
        self.hostAliasIPv6 = hostAliasIPv6
    }

    /// Reads the file if it has changed.
    ///
    /// - Parameter now: The caller's clock.
    /// - Returns: Whether it was read.
    mutating func refresh(now: Instant) -> Bool {
        guard let contents = file.contentsIfChanged(now: now) else { return false }
        table = HostsTable(
            parsing: contents,
            hostAlias: hostAlias,
            hostAliasIPv6: hostAliasIPv6
        )
        return true
    }
}
