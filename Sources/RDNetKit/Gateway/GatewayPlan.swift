/// The addresses of the virtual network and what each means.
struct GatewayPlan: Equatable {
    let subnet: Subnet
    /// The gateway's own address: DHCP, DNS and API live there.
    ///
    /// The first usable one, unless set otherwise.
    var gateway: IPAddress
    /// Stands for the host's 127.0.0.1.
    ///
    /// The last usable one, unless set otherwise.
    var hostAlias: IPAddress
    /// What guests see in place of hosts' addresses; the first that fits counts.
    var translations: [AddressTranslation]
    /// Addresses besides its own that the gateway answers for.
    var virtualAddresses: [IPAddress]
    let gatewayMAC: MACAddress
    /// The guests' MTU.
    let mtu: Int
    /// Whether 169.254.0.0/16 is forwarded: cloud hosts keep their credentials there.
    let allowsLinkLocal: Bool
    /// Whether guests are kept from the host's loopback addresses.
    var blocksHostLoopback = false

    init(subnet: Subnet, gatewayMAC: MACAddress, mtu: Int, allowsLinkLocal: Bool) {
        self.subnet = subnet
        self.gatewayMAC = gatewayMAC
        self.mtu = mtu
        self.allowsLinkLocal = allowsLinkLocal
        gateway = subnet.host(1)
        hostAlias = subnet.host(-2)
        translations = [AddressTranslation(seen: hostAlias, host: .loopbackIPv4)]
        virtualAddresses = [hostAlias]
    }

    /// What a destination address stands for.
    enum Destination: Equatable {
        /// The gateway itself.
        case gateway
        /// An address on the host's network, as the host writes it.
        case host(IPAddress)
        /// 169.254.0.0/16, or the host's loopback address where guests are kept from it.
        case refused
        /// Nothing that a packet can be forwarded to: broadcast, group, loopback, or another guest.
        case nowhere
    }

    /// Says what a packet's destination stands for.
    @inline(__always)
    func destination(of address: IPAddress) -> Destination {
        if address == gateway { return .gateway }
        for translation in translations where translation.seen == address {
            if blocksHostLoopback, translation.host.isLoopback { return .refused }
            return .host(translation.host)
        }
        if subnet.contains(address) || address.isLoopback || address.isMulticast
            || address.isUnspecified || address == .broadcastIPv4
        {
            return .nowhere
        }
        if address.isLinkLocal, !allowsLinkLocal { return .refused }
        // 240.0.0.0/4 is reserved (RFC 1112, 4); no host answers there.
        if let ipv4 = address.ipv4, ipv4 >> 28 == 15 { return .nowhere }
        return .host(address)
    }

    /// What guests call an address of the host's network: every loopback address is the host alias.
    func seenByGuests(_ host: IPAddress) -> IPAddress {
        for translation in translations where translation.host == host { return translation.seen }
        return host.isLoopback ? hostAlias : host
    }

    /// Whether the gateway answers "who has" for an address (RFC 826): its own and those it stands for only.
    func answersARP(for address: IPAddress) -> Bool {
        address == gateway || virtualAddresses.contains(address)
    }

    /// Whether a packet may come from an address (RFC 1812, 5.3.7): a guest's, or none yet for DHCP.
    @inline(__always)
    func isGuest(_ source: IPAddress) -> Bool {
        subnet.contains(source) && source != gateway && !virtualAddresses.contains(source)
            && source != subnet.network && source != subnet.broadcast
    }
}
