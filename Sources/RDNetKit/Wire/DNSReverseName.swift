extension DNSName {
    private static let ipv4Reverse = DNSName("in-addr.arpa") ?? .root
    private static let ipv6Reverse = DNSName("ip6.arpa") ?? .root

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
