/// An address and the number of its leading bits that count: one address, a network, or everything.
///
/// See RFC 4632, 3.1, and RFC 4291, 2.3.
struct AddressPrefix: Hashable, Sendable, CustomStringConvertible {
    let address: IPAddress
    /// 0 to 32 for IPv4, 0 to 128 for IPv6.
    let prefixLength: Int

    /// Parses `10.0.0.0/8` or `fd00::/8`; an address alone has all its bits.
    init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let address = IPAddress(parts[0]) else { return nil }
        let maximum = address.isIPv4 ? 32 : 128
        self.address = address
        guard parts.count == 2 else {
            prefixLength = maximum
            return
        }
        guard let length = parts[1].decimal(upTo: UInt64(maximum)) else { return nil }
        prefixLength = Int(length)
    }

    /// Creates the prefix of an address.
    ///
    /// - Parameters:
    ///   - address: Its bits after the prefix are dropped.
    ///   - prefixLength: 0 to 32 for IPv4, 0 to 128 for IPv6.
    init(_ address: IPAddress, prefixLength: Int) {
        // IPv4 addresses are the last 32 of 128 bits here.
        let length = address.isIPv4 ? prefixLength + 96 : prefixLength
        self.address = address.masked(toPrefixLength: length)
        self.prefixLength = prefixLength
    }

    /// Creates the prefix that has one address only.
    static func single(_ address: IPAddress) -> AddressPrefix {
        AddressPrefix(address, prefixLength: address.isIPv4 ? 32 : 128)
    }

    /// Whether it has one address only.
    var isSingleAddress: Bool { prefixLength == (address.isIPv4 ? 32 : 128) }

    /// Whether an address of the same family begins with the prefix.
    func contains(_ other: IPAddress) -> Bool {
        guard other.isIPv4 == address.isIPv4 else { return false }
        // IPv4 addresses are the last 32 of 128 bits here.
        let length = address.isIPv4 ? prefixLength + 96 : prefixLength
        return Self.leading(min(length, 64), address.high ^ other.high) == 0
            && Self.leading(max(length - 64, 0), address.low ^ other.low) == 0
    }

    private static func leading(_ count: Int, _ bits: UInt64) -> UInt64 {
        // Swift's shift by the whole width or more leaves 0.
        bits >> UInt64(64 - count)
    }

    /// `127.0.0.0/8`; a single address has no length.
    var description: String {
        prefixLength == (address.isIPv4 ? 32 : 128) ? "\(address)" : "\(address)/\(prefixLength)"
    }
}
