/// An IP address of either family in 16 bytes: IPv6 directly, IPv4 as `::ffff:a.b.c.d` (RFC 4291,
/// 2.5.5.2).
struct IPAddress: Hashable, Sendable {
    /// The first and the last eight octets, host order.
    let high: UInt64
    let low: UInt64

    private static let mappedPrefix: UInt64 = 0xffff_0000_0000

    static let anyIPv4 = IPAddress(ipv4: 0)
    static let loopbackIPv4 = IPAddress(ipv4: 0x7f00_0001)
    static let loopbackIPv6 = IPAddress(high: 0, low: 1)
    static let broadcastIPv4 = IPAddress(ipv4: 0xffff_ffff)
    static let anyIPv6 = IPAddress(high: 0, low: 0)

    @inline(__always)
    init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// An IPv4 address from its 32 bits, host order.
    @inline(__always)
    init(ipv4: UInt32) {
        high = 0
        low = Self.mappedPrefix | UInt64(ipv4)
    }

    /// Parses dotted-quad IPv4, or IPv6 text (RFC 4291, 2.2) without zone.
    init?(_ text: some StringProtocol) {
        if let ipv4 = Self.parseIPv4(text) {
            self.init(ipv4: ipv4)
        } else if let groups = Self.parseIPv6(text) {
            let high = groups[0..<4].reduce(0) { $0 << 16 | UInt64($1) }
            let low = groups[4..<8].reduce(0) { $0 << 16 | UInt64($1) }
            self.init(high: high, low: low)
        } else {
            return nil
        }
    }

    @inline(__always)
    var isIPv4: Bool { high == 0 && low >> 32 == 0xffff }

    /// The 32 bits of an IPv4 address in host order; nil for IPv6.
    @inline(__always)
    var ipv4: UInt32? { isIPv4 ? UInt32(truncatingIfNeeded: low) : nil }

    /// Whether it is 127.0.0.0/8 or ::1.
    var isLoopback: Bool {
        if let ipv4 { return ipv4 >> 24 == 127 }
        return high == 0 && low == 1
    }

    /// 127.0.0.1 for ::1, and the other way round; nil for any other address.
    var otherLoopback: IPAddress? {
        switch self {
        case .loopbackIPv4: .loopbackIPv6
        case .loopbackIPv6: .loopbackIPv4
        default: nil
        }
    }

    /// Whether it is a group (224.0.0.0/4, ff00::/8).
    var isMulticast: Bool {
        if let ipv4 { return ipv4 >> 28 == 14 }
        return high >> 56 == 0xff
    }

    /// Whether it is 169.254.0.0/16 (RFC 3927) or fe80::/10.
    var isLinkLocal: Bool {
        if let ipv4 { return ipv4 >> 16 == 0xa9fe }
        return high >> 54 == 0x3fa
    }

    /// Whether it is 0.0.0.0 or ::.
    var isUnspecified: Bool { self == .anyIPv4 || self == .anyIPv6 }

    /// The address's octets in wire order: 4 or 16.
    var octets: [UInt8] {
        ipv4?.bigEndianOctets ?? ipv6Octets
    }

    /// The 16 bytes of the address in an IPv6 packet, also of a mapped IPv4 address.
    var ipv6Octets: [UInt8] { high.bigEndianOctets + low.bigEndianOctets }

    private static func parseIPv4(_ text: some StringProtocol) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            // A leading zero is refused: inet_aton reads it as octal, people as decimal.
            guard part.utf8.allSatisfy({ (48...57).contains($0) }), part.utf8.count <= 3,
                part == "0" || !part.hasPrefix("0"), let octet = UInt8(part)
            else { return nil }
            value = value << 8 | UInt32(octet)
        }
        return value
    }

    private static func parseIPv6(_ text: some StringProtocol) -> [UInt16]? {
        let halves = splitAtDoubleColon(text)
        guard let left = parseGroups(halves.left) else { return nil }
        guard let rightText = halves.right else { return left.count == 8 ? left : nil }
        guard let right = parseGroups(rightText), left.count + right.count < 8 else { return nil }
        return left + Array(repeating: 0, count: 8 - left.count - right.count) + right
    }

    private static func splitAtDoubleColon(
        _ text: some StringProtocol
    ) -> (left: String, right: String?) {
        let characters = Array(text.utf8)
        for index in characters.indices.dropLast()
        where characters[index] == 0x3a && characters[index + 1] == 0x3a {
            let left = String(decoding: characters[..<index], as: UTF8.self)
            let right = String(decoding: characters[(index + 2)...], as: UTF8.self)
            return (left, right)
        }
        return (String(text), nil)
    }

    private static func parseGroups(_ text: String) -> [UInt16]? {
        if text.isEmpty { return [] }
        var groups: [UInt16] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if index == parts.count - 1, part.contains(".") {
                guard let ipv4 = parseIPv4(part) else { return nil }
                groups += [UInt16(ipv4 >> 16), UInt16(truncatingIfNeeded: ipv4)]
            } else {
                guard (1...4).contains(part.utf8.count), !part.hasPrefix("+"),
                    let group = UInt16(part, radix: 16)
                else { return nil }
                groups.append(group)
            }
        }
        return groups.count <= 8 ? groups : nil
    }
}

extension IPAddress: CustomStringConvertible {
    /// Dotted quad, or IPv6 in the canonical form of RFC 5952.
    var description: String {
        if isIPv4 { return octets.map { String($0) }.joined(separator: ".") }
        let groups = octets.indices.filter { $0 % 2 == 0 }.map {
            UInt16(octets[$0]) << 8 | UInt16(octets[$0 + 1])
        }
        guard let gap = Self.longestZeroRun(groups) else {
            return groups.map { String($0, radix: 16) }.joined(separator: ":")
        }
        let left = groups[..<gap.lowerBound].map { String($0, radix: 16) }.joined(separator: ":")
        let right = groups[gap.upperBound...].map { String($0, radix: 16) }.joined(separator: ":")
        return left + "::" + right
    }

    /// The first longest run of two or more zero groups (RFC 5952, 4.2.2 and 4.2.3).
    private static func longestZeroRun(_ groups: [UInt16]) -> Range<Int>? {
        var best: Range<Int>?
        var start = 0
        while start < groups.count {
            var end = start
            while end < groups.count, groups[end] == 0 { end += 1 }
            if end - start > max(best?.count ?? 0, 1) { best = start..<end }
            start = max(end, start + 1)
        }
        return best
    }
}

/// A transport address: where a datagram or connection starts or ends.
struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    var address: IPAddress
    var port: UInt16
    /// The number of the interface on whose link an IPv6 address is meant; 0 where none is needed
    /// (ipv6(7)).
    var scope: UInt32 = 0

    /// `192.168.127.2:80`, `[::1]:80`, `[fe80::1%2]:80`.
    var description: String {
        if address.isIPv4 { return "\(address):\(port)" }
        return scope == 0 ? "[\(address)]:\(port)" : "[\(address)%\(scope)]:\(port)"
    }
}

/// An IPv4 network in CIDR notation (RFC 4632), with its interface address kept as written.
struct Subnet: Hashable, Sendable, CustomStringConvertible {
    /// The address as written, including host bits.
    let address: IPAddress
    /// Prefix length, 8 to 30: a smaller network has no room for a gateway and a guest.
    let prefixLength: Int

    /// 192.168.127.0/24: the network that every peer product assumes.
    static let standard = Subnet(checked: IPAddress(ipv4: 0xc0a8_7f00), prefixLength: 24)

    private init(checked address: IPAddress, prefixLength: Int) {
        self.address = address
        self.prefixLength = prefixLength
    }

    /// Creates a network; nil unless the address is IPv4 and the prefix length 8 to 30.
    init?(address: IPAddress, prefixLength: Int) {
        guard address.isIPv4, (8...30).contains(prefixLength) else { return nil }
        self.address = address
        self.prefixLength = prefixLength
    }

    /// Parses `192.168.127.0/24`.
    init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(parts[0]),
            parts[1].utf8.allSatisfy({ (48...57).contains($0) }), let prefixLength = Int(parts[1])
        else { return nil }
        self.init(address: address, prefixLength: prefixLength)
    }

    private var bits: UInt32 { UInt32(truncatingIfNeeded: address.low) }

    var mask: IPAddress { IPAddress(ipv4: maskBits) }
    private var maskBits: UInt32 { UInt32.max << (32 - UInt32(prefixLength)) }

    /// The network's own address (all host bits zero).
    var network: IPAddress { IPAddress(ipv4: bits & maskBits) }
    /// The directed broadcast address (all host bits one).
    var broadcast: IPAddress { IPAddress(ipv4: bits | ~maskBits) }
    /// The number of addresses including network and broadcast.
    var size: Int { 1 << (32 - prefixLength) }

    /// The address with a number, from 0 for the network's own.
    func address(_ number: Int) -> IPAddress {
        IPAddress(ipv4: (bits & maskBits) &+ UInt32(truncatingIfNeeded: number))
    }

    /// The address at an index; 1 is the first usable, -2 the last usable.
    func host(_ number: Int) -> IPAddress {
        address(number >= 0 ? number : size + number)
    }

    func contains(_ other: IPAddress) -> Bool {
        guard let ipv4 = other.ipv4 else { return false }
        return ipv4 & maskBits == bits & maskBits
    }

    /// Whether some address lies in both.
    func overlaps(_ other: Subnet) -> Bool {
        contains(other.network) || other.contains(network)
    }

    var description: String { "\(address)/\(prefixLength)" }
}
