/// The part of the Internet that an address belongs to, as egress rules see it.
enum AddressKind: String, CaseIterable, Sendable {
    /// Globally routable, and not an address of this machine.
    case `public`
    /// Private, shared, link-local, reserved or documentation space (RFC 6890).
    case `private`
    /// Where clouds serve a machine's credentials.
    case metadata
    /// The machine that rdnet runs on: loopback, and every address of its interfaces.
    case host

    /// Classifies an address by its bits alone.
    ///
    /// - Parameter address: On the host's network.
    /// - Returns: `host` for loopback addresses only; the caller knows the interfaces' addresses.
    static func of(_ address: IPAddress) -> AddressKind {
        if let ipv4 = address.ipv4 { return of(ipv4) }
        if let embedded = address.embeddedIPv4 {
            // Whoever relays for such an address connects to the IPv4 address.
            let kind = of(embedded)
            if kind != .public { return kind }
        }
        if address.isLoopback { return .host }
        if metadataNetworks.contains(where: { $0.contains(address) }) { return .metadata }
        // 2000::/3 is all that is assigned; documentation space lies in it (RFC 3849, RFC 9637).
        guard address.high >> 61 == 1 else {
            // 64:ff9b::/96 is public if its IPv4 address is, which was checked above.
            return address.isTranslated ? .public : .private
        }
        return documentation.contains { $0.contains(address) } ? .private : .public
    }

    private static func of(_ ipv4: UInt32) -> AddressKind {
        if ipv4 >> 24 == 127 { return .host }
        let address = IPAddress(ipv4: ipv4)
        if metadataNetworks.contains(where: { $0.contains(address) }) { return .metadata }
        return privateNetworks.contains { $0.contains(address) } ? .private : .public
    }

    /// Amazon, Google, Azure, Oracle and others share 169.254.169.254; the rest is of one cloud
    /// each.
    private static let metadataNetworks = prefixes([
        "169.254.169.0/24", "169.254.170.0/24",
        "100.100.100.200",  // Alibaba
        "168.63.129.16",  // Azure's WireServer
        "192.0.0.192",  // Oracle
        "fd00:ec2::/32",  // Amazon EC2
        "fd20:ce::/32",  // Google Compute Engine
        "fe80::a9fe:a9fe",  // OpenStack
    ])

    /// The IANA registry of special-purpose IPv4 addresses (RFC 6890), without those that are
    /// globally reachable.
    private static let privateNetworks = prefixes([
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    ])

    private static let documentation = prefixes(["2001:db8::/32", "3fff::/20"])

    private static func prefixes(_ texts: [String]) -> [AddressPrefix] {
        texts.compactMap { AddressPrefix($0) }
    }
}

extension IPAddress {
    /// The IPv4 address in an address of a transition mechanism; nil if there is none.
    ///
    /// 6to4 (RFC 3056), NAT64 (RFC 6052, RFC 8215), Teredo (RFC 4380), ISATAP (RFC 5214), and the
    /// compatible and translated forms of ::/64.
    var embeddedIPv4: UInt32? {
        if isIPv4 { return nil }
        let last = UInt32(truncatingIfNeeded: low)
        switch high {
        case 0 where low > 1: return last
        case _ where high >> 48 == 0x2002: return UInt32(truncatingIfNeeded: high >> 16)
        case _ where isTranslated: return last
        // Teredo's client address is stored inverted.
        case _ where high >> 32 == 0x2001_0000: return ~last
        case _ where low >> 32 & 0xfdff_ffff == 0x0000_5efe: return last
        default: return nil
        }
    }

    /// Whether it is in 64:ff9b::/96 or 64:ff9b:1::/48.
    fileprivate var isTranslated: Bool {
        high == 0x0064_ff9b_0000_0000 && low >> 32 == 0 || high >> 16 == 0x0064_ff9b_0001
    }
}
