/// The IPv6 addresses of the virtual network and their meaning.
///
/// An address has the same number in its prefix as the IPv4 address of the same machine has in its
/// subnet. The host's own network has no such numbers (`MirroredIPv6`).
struct IPv6Plan: Equatable {
    let prefix: IPv6Prefix
    /// The gateway's own address, which serves DHCPv6, DNS and the API.
    let gateway: IPAddress
    /// Leads to the host's ::1, and to its 127.0.0.1 when nobody listens there.
    let hostAlias: IPAddress
    /// The gateway's address on its link.
    let linkLocal: IPAddress
    /// Set if the prefix is the host's own network.
    let mirror: MirroredIPv6?

    /// Creates the plan of the host's own network.
    init(_ mirror: MirroredIPv6) {
        self.mirror = mirror
        prefix = mirror.prefix
        gateway = mirror.router
        hostAlias = mirror.hostAlias
        linkLocal = mirror.router
    }

    /// Creates the plan next to that of an IPv4 network; nil if the prefix has no room for its
    /// numbers.
    init?(_ prefix: IPv6Prefix, beside plan: GatewayPlan) {
        guard let gateway = prefix.address(matching: plan.gateway, in: plan.subnet),
            let hostAlias = prefix.address(matching: plan.hostAlias, in: plan.subnet)
        else { return nil }
        self.prefix = prefix
        self.gateway = gateway
        self.hostAlias = hostAlias
        linkLocal = .gatewayLinkLocal
        mirror = nil
    }

    /// Where cloud hosts serve their credentials: fd00:ec2::/32 (EC2) and fd20:ce::/32 (Compute
    /// Engine).
    static let metadataNetworks: [UInt64] = [0xfd00_0ec2, 0xfd20_00ce]

    /// Classifies a packet's destination.
    func destination(of address: IPAddress, _ plan: GatewayPlan) -> GatewayPlan.Destination {
        if let mirror {
            // A translation may be that of the gateway's own address.
            for translation in plan.translations where translation.seen == address {
                return .host(translation.host)
            }
            if address == mirror.resolver { return .gateway }
        }
        if address == gateway || address == linkLocal { return .gateway }
        if address == hostAlias {
            return plan.blocksHostLoopback ? .refused : .host(.loopbackIPv6)
        }
        // ::/64 has no hosts: it contains the loopback address, and deprecated forms of IPv4
        // addresses.
        if isWithinPrefix(address) || address.isMulticast || address.isLinkLocal
            || address.high == 0
        {
            return .nowhere
        }
        if !plan.allowsLinkLocal, Self.metadataNetworks.contains(address.high >> 32) {
            return .refused
        }
        return .host(address)
    }

    /// Whether packets to an address outside of the link stay among the guests.
    private func isWithinPrefix(_ address: IPAddress) -> Bool {
        mirror.map { $0.guest == address } ?? prefix.contains(address)
    }

    /// Whether an address is the gateway's own or its alias.
    func isOwn(_ address: IPAddress) -> Bool {
        address == gateway || address == hostAlias || address == linkLocal
    }

    /// Whether an address belongs to the guests' network.
    func isOnNetwork(_ address: IPAddress) -> Bool {
        isWithinPrefix(address) || address.isLinkLocal
    }

    /// Whether an address is a valid source: a guest's.
    ///
    /// The prefix's own number 0 belongs to its routers (RFC 4291, 2.6.1).
    func isGuest(_ source: IPAddress) -> Bool {
        (prefix.contains(source) || source.isLinkLocal) && !isOwn(source)
            && source != prefix.network
    }
}
