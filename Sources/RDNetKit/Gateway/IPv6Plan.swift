/// The IPv6 addresses of the virtual network and their meaning.
///
/// An address has the same number in its prefix as the IPv4 address of the same machine has in its
/// subnet. On its link the gateway is fe80::1 as well.
struct IPv6Plan: Equatable {
    let prefix: IPv6Prefix
    /// The gateway's own address, which serves DHCPv6, DNS and the API.
    let gateway: IPAddress
    /// Leads to the host's ::1, and to its 127.0.0.1 when nobody listens there.
    let hostAlias: IPAddress

    /// Creates the plan next to that of an IPv4 network; nil if the prefix has no room for its
    /// numbers.
    init?(_ prefix: IPv6Prefix, beside plan: GatewayPlan) {
        guard let gateway = prefix.address(matching: plan.gateway, in: plan.subnet),
            let hostAlias = prefix.address(matching: plan.hostAlias, in: plan.subnet)
        else { return nil }
        self.prefix = prefix
        self.gateway = gateway
        self.hostAlias = hostAlias
    }

    /// Where cloud hosts serve their credentials: fd00:ec2::/32 (EC2) and fd20:ce::/32 (Compute
    /// Engine).
    static let metadataNetworks: [UInt64] = [0xfd00_0ec2, 0xfd20_00ce]

    /// Classifies a packet's destination.
    func destination(of address: IPAddress, _ plan: GatewayPlan) -> GatewayPlan.Destination {
        if address == gateway || address == .gatewayLinkLocal { return .gateway }
        if address == hostAlias {
            return plan.blocksHostLoopback ? .refused : .host(.loopbackIPv6)
        }
        // ::/64 has no hosts: it contains the loopback address, and deprecated forms of IPv4
        // addresses.
        if prefix.contains(address) || address.isMulticast || address.isLinkLocal
            || address.high == 0
        {
            return .nowhere
        }
        if !plan.allowsLinkLocal, Self.metadataNetworks.contains(address.high >> 32) {
            return .refused
        }
        return .host(address)
    }

    /// Whether an address is the gateway's own or its alias.
    func isOwn(_ address: IPAddress) -> Bool {
        address == gateway || address == hostAlias || address == .gatewayLinkLocal
    }

    /// Whether an address belongs to the guests' network.
    func isOnNetwork(_ address: IPAddress) -> Bool {
        prefix.contains(address) || address.isLinkLocal
    }

    /// Whether an address is a valid source: a guest's.
    ///
    /// The prefix's own number 0 belongs to its routers (RFC 4291, 2.6.1).
    func isGuest(_ source: IPAddress) -> Bool {
        isOnNetwork(source) && !isOwn(source) && source != prefix.network
    }
}
