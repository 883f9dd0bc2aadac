/// The IPv6 configuration of a guest's interface, as it follows from the IPv4 lease: the guest has
/// the same number in both families.
struct IPv6Assignment: Equatable, Sendable {
    var address: InterfaceAddress
    /// The gateway's address as a neighbor: the DHCP server's number.
    var gateway: IPAddress
    /// The next hop of the default route; nil without one.
    var router: IPAddress?
    /// The name servers of the lease that are in its network.
    var nameServers: [IPAddress]

    /// Derives the configuration; nil if the guest or the gateway has no number in the network.
    init?(_ offer: IPv6Offer, with lease: DHCPLease) {
        guard
            let subnet = Subnet(address: lease.address, prefixLength: lease.prefixLength),
            let address = InterfaceAddress(matching: lease.address, in: subnet, offer.prefix),
            let gateway = offer.prefix.address(matching: lease.server, in: subnet)
        else { return nil }
        self.address = address
        self.gateway = gateway
        router = offer.hasDefaultRoute ? .gatewayLinkLocal : nil
        nameServers = lease.nameServers.compactMap {
            offer.prefix.address(matching: $0, in: subnet)
        }
    }
}
