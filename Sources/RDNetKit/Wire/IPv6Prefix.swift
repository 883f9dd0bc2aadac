/// The network that a gateway and its guests share in IPv6 (RFC 4291, 2.5): a prefix and its
/// numbered addresses.
///
/// Guest number N has the address prefix::N, where N is the number of its IPv4 address in its
/// subnet: 192.168.127.16 and fdc0:a87f::10 are the same guest.
struct IPv6Prefix: Hashable, Sendable {
    /// fdc0:a87f::/64: the bytes of 192.168.127 (c0.a8.7f) in a unique local prefix (RFC 4193).
    static let standard = IPv6Prefix(
        checked: IPAddress(high: 0xfdc0_a87f_0000_0000, low: 0),
        prefixLength: 64
    )
    /// fd00::/64, the prefix of libslirp's networks.
    static let slirp = IPv6Prefix(
        checked: IPAddress(high: 0xfd00_0000_0000_0000, low: 0),
        prefixLength: 64
    )
    /// The prefix length of stateless address autoconfiguration on Ethernet (RFC 2464, 4).
    static let autoconfigured = 64
    /// The permitted prefix lengths.
    ///
    /// No Ethernet has a network larger than /64 (RFC 4291, 2.5.4), and the remaining bits must
    /// hold the number of every guest of the largest IPv4 subnet, which is a /8.
    static let prefixLengths = 64...104

    /// The address with the number 0, which is the subnet-router anycast address (RFC 4291, 2.6.1).
    let network: IPAddress
    /// 64 to 104.
    let prefixLength: Int

    private init(checked network: IPAddress, prefixLength: Int) {
        self.network = network
        self.prefixLength = prefixLength
    }

    /// Creates a prefix.
    ///
    /// - Parameters:
    ///   - network: A unicast address without bits after the prefix.
    ///   - prefixLength: 64 to 104.
    /// - Throws: `IPv6PrefixError`.
    init(network: IPAddress, prefixLength: Int) throws(IPv6PrefixError) {
        guard !network.isIPv4 else { throw .isIPv4 }
        if prefixLength < Self.prefixLengths.lowerBound { throw .tooLarge(prefixLength) }
        if prefixLength > Self.prefixLengths.upperBound { throw .tooSmall(prefixLength) }
        let prefix = IPv6Prefix(
            checked: network.masked(toPrefixLength: prefixLength),
            prefixLength: prefixLength
        )
        guard prefix.network == network else { throw .hostBits(prefix) }
        // ::/64 contains the loopback address and the one that is no address.
        guard !network.isMulticast, !network.isLinkLocal, network.high != 0 else {
            throw .notForGuests
        }
        self = prefix
    }

    /// Creates the prefix with the digits of an IPv4 subnet: 192.168.127.0/24 leads to
    /// fdc0:a87f::/64, which is unique local (RFC 4193).
    init(derivedFrom subnet: Subnet) {
        let digits = subnet.network.low & 0xffff_ffff
        self.init(
            checked: IPAddress(high: 0xfd << 56 | digits << 24, low: 0),
            prefixLength: Self.autoconfigured
        )
    }

    /// Parses `fdc0:a87f::/64`.
    init(_ text: some StringProtocol) throws(IPv6PrefixError) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let network = IPAddress(parts[0]), (1...3).contains(parts[1].count),
            parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = Int(parts[1]),
            length <= 128
        else { throw .notAPrefix }
        try self.init(network: network, prefixLength: length)
    }

    /// Whether guests can form their own addresses (RFC 4862, 5.5.3).
    var allowsAutoconfiguration: Bool { prefixLength == Self.autoconfigured }

    func contains(_ other: IPAddress) -> Bool {
        !other.isIPv4 && other.masked(toPrefixLength: prefixLength) == network
    }

    /// The address with a number below 2^24, as those of an IPv4 subnet are; 0 is the network's.
    func address(_ number: Int) -> IPAddress {
        IPAddress(high: network.high, low: network.low | UInt64(number & 0xff_ffff))
    }

    /// The number of an address; nil if it is outside of the prefix or has no number, as an
    /// autoconfigured address.
    func number(of address: IPAddress) -> Int? {
        let number = address.low ^ network.low
        return address.high == network.high && number <= 0xff_ffff ? Int(number) : nil
    }

    /// The address of the guest that has an IPv4 address; nil if that is outside of its subnet.
    func address(matching ipv4: IPAddress, in subnet: Subnet) -> IPAddress? {
        subnet.number(of: ipv4).map(address)
    }

    /// The IPv4 address of the guest that has a numbered address; nil for any other address.
    func ipv4(matching address: IPAddress, in subnet: Subnet) -> IPAddress? {
        guard let number = number(of: address), number < subnet.size else { return nil }
        return subnet.address(number)
    }
}

extension IPv6Prefix: CustomStringConvertible {
    /// `fdc0:a87f::/64`, with the address in canonical form (RFC 5952).
    var description: String { "\(network)/\(prefixLength)" }
}

/// Why a prefix is not usable; the description says what was expected instead.
enum IPv6PrefixError: Error, Equatable, CustomStringConvertible {
    /// Not an IPv6 address and a prefix length.
    case notAPrefix
    /// An IPv4 address.
    case isIPv4
    /// A prefix length below 64.
    case tooLarge(Int)
    /// A prefix length above 104.
    case tooSmall(Int)
    /// The address has bits after the prefix; this is the prefix without them.
    case hostBits(IPv6Prefix)
    /// Multicast, link-local or loopback.
    case notForGuests

    var description: String {
        let lengths = IPv6Prefix.prefixLengths
        switch self {
        case .notAPrefix:
            return "an IPv6 prefix like \(IPv6Prefix.standard)"
        case .isIPv4:
            return "an IPv6 prefix like \(IPv6Prefix.standard), not an IPv4 subnet"
        case .tooLarge(let length):
            return "a /\(lengths.lowerBound), because a /\(length) is larger than one network"
        case .tooSmall(let length):
            return "/\(lengths.lowerBound) to /\(lengths.upperBound), because a /\(length) has no "
                + "room for the numbers of the guests"
        case .hostBits(let prefix):
            return "\(prefix), without bits after the prefix"
        case .notForGuests:
            return "a unicast prefix for guests, like \(IPv6Prefix.standard)"
        }
    }
}

extension Subnet {
    /// The number of an address, from 0 for the network's own; nil if it is outside.
    func number(of address: IPAddress) -> Int? {
        contains(address) ? Int(truncatingIfNeeded: address.low - network.low) : nil
    }
}
