extension DNSName {
    private static let ipv4Reverse = DNSName("in-addr.arpa") ?? .root
    private static let ipv6Reverse = DNSName("ip6.arpa") ?? .root

    /// The reverse name of an address, or of the network that its first parts name.
    ///
    /// - Parameters:
    ///   - address: Either family.
    ///   - parts: How many octets of an IPv4 address count, or half octets of an IPv6 address.
    init(reverseOf address: IPAddress, parts: Int) {
        let octets = address.octets
        let all =
            address.isIPv4
            ? octets.map { String($0) }
            : octets.flatMap { [String($0 >> 4, radix: 16), String($0 & 15, radix: 16)] }
        let labels = all.prefix(parts).reversed() + [address.isIPv4 ? "in-addr" : "ip6", "arpa"]
        self = DNSName(labels.joined(separator: ".")) ?? .root
    }

    /// Whether it is a reverse name of numbers alone, but too short for an address.
    var isShortReverseName: Bool {
        if offset(of: Self.ipv4Reverse) != nil {
            let parts = labels.dropLast(2)
            return parts.count < 4
                && parts.allSatisfy { part in
                    part.allSatisfy { (0x30...0x39).contains($0) }
                }
        }
        let parts = labels.dropLast(2)
        return offset(of: Self.ipv6Reverse) != nil && parts.count < 32
            && parts.allSatisfy { $0.count == 1 && Self.nibble($0[$0.startIndex]) != nil }
    }

    /// The address that a complete reverse name denotes (RFC 1035, 3.5; RFC 3596, 2.5).
    ///
    /// Nil for every other name, including one with fewer labels.
    var reverseAddress: IPAddress? {
        if offset(of: Self.ipv4Reverse) != nil {
            let parts = labels.dropLast(2).reversed().map { String(decoding: $0, as: UTF8.self) }
            return parts.count == 4 ? IPAddress(parts.joined(separator: ".")) : nil
        }
        guard offset(of: Self.ipv6Reverse) != nil else { return nil }
        let nibbles = labels.dropLast(2).reversed().compactMap { label in
            label.count == 1 ? Self.nibble(label[label.startIndex]) : nil
        }
        guard nibbles.count == 32, labels.count == 34 else { return nil }
        return IPAddress(
            high: nibbles[..<16].reduce(0) { $0 << 4 | $1 },
            low: nibbles[16...].reduce(0) { $0 << 4 | $1 }
        )
    }

    private static func nibble(_ digit: UInt8) -> UInt64? {
        switch digit.foldedASCII {
        case 0x30...0x39: UInt64(digit) - 0x30
        case 0x61...0x66: UInt64(digit.foldedASCII) - 0x61 + 10
        default: nil
        }
    }
}
