/// IPv6 addresses with a fixed meaning, and groups.
extension IPAddress {
    /// ff02::1: every node on the link (RFC 4291, 2.7.1).
    static let allNodes = IPAddress(high: 0xff02 << 48, low: 1)
    /// ff02::1:2: every DHCPv6 server and relay agent on the link (RFC 8415, 7.1).
    static let allDHCPv6Servers = IPAddress(high: 0xff02 << 48, low: 0x1_0002)
    /// fe80::1: the gateway on its link.
    static let gatewayLinkLocal = IPAddress(high: 0xfe80 << 48, low: 1)

    /// Whether it is in fc00::/7, whose networks only their owners know (RFC 4193).
    var isUniqueLocal: Bool { high >> 57 == 0x7e }

    /// The group that a solicitation for this address is sent to (RFC 4291, 2.7.1): ff02::1:ff
    /// and the last three bytes.
    var solicitedNodeGroup: IPAddress {
        IPAddress(high: 0xff02 << 48, low: 0x1_ff00_0000 | low & 0xff_ffff)
    }

    /// Whether it is some address's solicited-node group.
    var isSolicitedNodeGroup: Bool {
        high == 0xff02 << 48 && low & ~0xff_ffff == 0x1_ff00_0000
    }

    /// The address with all bits after a prefix of 0 to 128 bits set to zero; an IPv4 address
    /// counts as its mapped IPv6 address.
    func masked(toPrefixLength length: Int) -> IPAddress {
        // Swift's shift by the whole width or more leaves 0.
        IPAddress(
            high: high & ~(UInt64.max >> UInt64(min(length, 64))),
            low: low & ~(UInt64.max >> UInt64(max(length - 64, 0)))
        )
    }
}

extension MACAddress {
    /// Creates the address that carries packets for an IPv6 group (RFC 2464, 7): 33:33 and the
    /// group's last four bytes.
    init(ipv6Group group: IPAddress) {
        self.init(rawValue: 0x3333_0000_0000 | group.low & 0xffff_ffff)
    }
}
