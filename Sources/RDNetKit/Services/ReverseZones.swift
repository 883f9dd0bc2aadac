/// The reverse zones that the gateway answers itself, because no other server can know them (RFC
/// 6303).
///
/// They are the virtual network's own zones, and those of addresses that mean something different
/// on every machine or link: "this network", loopback, link-local, documentation and broadcast.
/// Queries about the other private networks of RFC 1918 and RFC 4193 go to the host's resolvers,
/// which know the company's names in them.
struct ReverseZones: Sendable {
    private static let arpa = DNSName("arpa") ?? .root
    private static let everywhere = [
        "0.in-addr.arpa", "127.in-addr.arpa", "254.169.in-addr.arpa", "2.0.192.in-addr.arpa",
        "100.51.198.in-addr.arpa", "113.0.203.in-addr.arpa", "255.in-addr.arpa",
        "8.e.f.ip6.arpa", "9.e.f.ip6.arpa", "a.e.f.ip6.arpa", "b.e.f.ip6.arpa",
        "8.b.d.0.1.0.0.2.ip6.arpa",
    ]

    private let zones: Set<DNSName>

    /// Creates the zones of a virtual network, and those of every network.
    ///
    /// - Parameters:
    ///   - subnet: The virtual network, split at a byte boundary: 192.168.0.0/20 has 16 zones of
    ///     three bytes. A network with a prefix of more than 24 bits shares its three-byte zone
    ///     with others, so each of its addresses is a zone.
    ///   - prefix: The network's IPv6 prefix, if it has one, split at a half byte.
    init(subnet: Subnet, prefix: IPv6Prefix? = nil) {
        let parts = subnet.prefixLength > 24 ? 4 : (subnet.prefixLength + 7) / 8
        let step = 1 << (8 * (4 - parts))
        var zones = Set(Self.everywhere.compactMap { DNSName($0) })
        for number in stride(from: 0, to: subnet.size, by: step) {
            zones.insert(DNSName(reverseOf: subnet.address(number), parts: parts))
        }
        for address in [IPAddress.anyIPv6, .loopbackIPv6] {
            zones.insert(DNSName(reverseOf: address, parts: 32))
        }
        if let prefix { zones.formUnion(Self.zones(of: prefix)) }
        self.zones = zones
    }

    private static func zones(of prefix: IPv6Prefix) -> [DNSName] {
        let parts = (prefix.prefixLength + 3) / 4
        // Half bytes after the first 16 are in the lower half of the address.
        let shift = UInt64(128 - 4 * parts)
        return (0..<UInt64(1) << UInt64(4 * parts - prefix.prefixLength)).map { number in
            let low = prefix.network.low | number << shift
            let first = IPAddress(high: prefix.network.high, low: low)
            return DNSName(reverseOf: first, parts: parts)
        }
    }

    /// Returns the offset of the zone in a name; nil if the name is in none of these zones.
    private func offset(in name: DNSName) -> Int? {
        guard name.offset(of: Self.arpa) != nil else { return nil }
        var offset = 0
        while name.octets[offset] != 0 {
            if zones.contains(name.suffix(from: offset)) { return offset }
            offset += 1 + Int(name.octets[offset])
        }
        return nil
    }

    /// Returns the answer to a question about a name in one of these zones.
    ///
    /// - Parameters:
    ///   - question: Any question.
    ///   - name: Returns the name of an address, if it has one.
    /// - Returns: The answer; nil for names outside these zones.
    func answer(
        to question: DNSQuestion,
        naming name: (IPAddress) -> DNSName?
    ) -> DNSLocalAnswer? {
        guard let offset = offset(in: question.name) else { return nil }
        if let address = question.name.reverseAddress, let known = name(address) {
            let isWanted = question.type == .ptr || question.type == .any
            let records = isWanted ? [DNSRecord.pointer(known)] : []
            return DNSLocalAnswer(code: .noError, records: records, zone: offset)
        }
        if offset == 0, question.type == .soa || question.type == .any {
            return DNSLocalAnswer(code: .noError, records: [.authority(0)], zone: 0)
        }
        // The zone exists, and so do the names between the zone and an address (RFC 8020).
        let code: DNSResponseCode =
            offset == 0 || question.name.isShortReverseName ? .noError : .nameError
        return DNSLocalAnswer(code: code, records: [], zone: offset)
    }
}
