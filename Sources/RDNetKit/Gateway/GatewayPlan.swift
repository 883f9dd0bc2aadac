/// The addresses of the virtual network and their meaning.
struct GatewayPlan: Equatable {
    let subnet: Subnet
    /// The gateway's own address, which serves DHCP, DNS and the API.
    ///
    /// By default the first usable address.
    var gateway: IPAddress
    /// The host alias: leads to the host's 127.0.0.1.
    ///
    /// By default the last usable address.
    var hostAlias: IPAddress
    /// The address that guests see as the client of a forward; by default the gateway's.
    var forwardSource: IPAddress
    /// Addresses that guests use for host addresses; the first match applies.
    var translations: [AddressTranslation]
    /// Additional addresses that the gateway answers for.
    var virtualAddresses: [IPAddress]
    let gatewayMAC: MACAddress
    /// The guests' MTU.
    let mtu: Int
    /// Whether to forward 169.254.0.0/16 and `IPv6Plan.metadataNetworks`, where cloud hosts serve
    /// their credentials.
    let allowsLinkLocal: Bool
    /// Whether guests are kept from the host's loopback addresses.
    var blocksHostLoopback = false
    /// Whether guests are kept from each other.
    var isolatesGuests = false
    /// How much of the host's network a guest may use.
    var limits = GuestLimits()
    /// The network's IPv6 side; nil if it has none.
    var ipv6: IPv6Plan?
    /// Set if the subnet is the host's own network.
    ///
    /// The gateway then is a machine like any other, unless a translation names it.
    var mirror: MirroredNetwork?
    var silenced: SilencedTransports = []

    init(subnet: Subnet, gatewayMAC: MACAddress, mtu: Int, allowsLinkLocal: Bool) {
        self.subnet = subnet
        self.gatewayMAC = gatewayMAC
        self.mtu = mtu
        self.allowsLinkLocal = allowsLinkLocal
        gateway = subnet.host(1)
        forwardSource = gateway
        hostAlias = subnet.host(-2)
        translations = [AddressTranslation(seen: hostAlias, host: .loopbackIPv4)]
        virtualAddresses = [hostAlias]
    }

    /// The meaning of a destination address.
    enum Destination: Equatable {
        /// The gateway itself.
        case gateway
        /// An address on the host's network, translated to the host's view.
        case host(IPAddress)
        /// Where a cloud serves credentials, or the host's loopback address where guests are
        /// kept from it.
        case refused
        /// Not forwardable: broadcast, group, loopback or another guest.
        case nowhere
    }

    /// Classifies a packet's destination.
    @inline(__always)
    func destination(of address: IPAddress) -> Destination {
        if !address.isIPv4 { return ipv6?.destination(of: address, self) ?? .nowhere }
        if address == service { return .gateway }
        for translation in translations where translation.seen == address {
            if blocksHostLoopback, translation.host.isLoopback { return .refused }
            return .host(translation.host)
        }
        if isWithinNetwork(address) || address.isLoopback || address.isMulticast
            || address.isUnspecified || address == .broadcastIPv4
        {
            return .nowhere
        }
        if address.isLinkLocal, !allowsLinkLocal { return .refused }
        // 240.0.0.0/4 is reserved (RFC 1112, 4); no host answers there.
        if let ipv4 = address.ipv4, ipv4 >> 28 == 15 { return .nowhere }
        return .host(address)
    }

    /// The address of the gateway's services; nil if it has none.
    @inline(__always)
    private var service: IPAddress? {
        guard let mirror else { return gateway }
        return mirror.resolver
    }

    /// Whether packets to an address stay among the guests.
    @inline(__always)
    private func isWithinNetwork(_ address: IPAddress) -> Bool {
        guard subnet.contains(address) else { return false }
        guard let mirror else { return true }
        return address == mirror.guest || address == subnet.network || address == subnet.broadcast
    }

    /// The guests' view of a host address: every loopback address becomes the host alias.
    func seenByGuests(_ host: IPAddress) -> IPAddress {
        for translation in translations where translation.host == host { return translation.seen }
        guard host.isLoopback else { return host }
        return host.isIPv4 ? hostAlias : ipv6?.hostAlias ?? hostAlias
    }

    /// Whether an address is the gateway's own or one of its aliases, for which it answers ARP (RFC
    /// 826) and neighbor solicitations (RFC 4861, 7.2.4).
    func isOwn(_ address: IPAddress) -> Bool {
        guard address.isIPv4 else {
            guard let ipv6 else { return false }
            return ipv6.isOwn(address) || mirror != nil && virtualAddresses.contains(address)
        }
        return virtualAddresses.contains(address) || address == gateway && mirror == nil
    }

    /// Whether the gateway answers an ARP request.
    func answersARP(for target: IPAddress, askedBy sender: IPAddress) -> Bool {
        isOwn(target) || mirror?.answers(for: target, askedBy: sender) ?? false
    }

    /// Whether the gateway answers a neighbor solicitation.
    func answersSolicitation(for target: IPAddress, askedBy sender: IPAddress) -> Bool {
        isOwn(target) || ipv6?.mirror?.answers(for: target, askedBy: sender) ?? false
    }

    /// Whether the guests have IPv4.
    var hasIPv4: Bool { mirror?.hasIPv4 ?? true }

    /// The gateway's address in the family of a guest, on the same link if that is all the guest
    /// has.
    func gateway(for guest: IPAddress) -> IPAddress {
        guard !guest.isIPv4, let ipv6 else { return gateway }
        return guest.isLinkLocal ? ipv6.linkLocal : ipv6.gateway
    }

    /// The address that a guest sees as the client of a forward.
    func forwardSource(for guest: IPAddress) -> IPAddress {
        guard !guest.isIPv4, let ipv6 else { return forwardSource }
        return forwardSource == hostAlias ? ipv6.hostAlias : gateway(for: guest)
    }

    /// Whether an address may be that of a guest's own network, such as its containers'.
    func mayLieBehindGuest(_ address: IPAddress) -> Bool {
        guard case .host(address) = destination(of: address) else { return false }
        return address.isIPv4 && !virtualAddresses.contains(address)
    }

    /// The IPv4 address with the same number as an IPv6 address; nil if that has none.
    func ipv4(matching address: IPAddress) -> IPAddress? {
        if let mirror {
            return mirror.hasIPv4 && address == mirror.ipv6?.guest ? mirror.guest : nil
        }
        return ipv6?.prefix.ipv4(matching: address, in: subnet)
    }

    /// The addresses of the machine that has an IPv4 address: that, and the IPv6 address with its
    /// number.
    func addresses(of ipv4: IPAddress) -> [IPAddress] {
        [ipv4, ipv6(matching: ipv4)].compactMap(\.self)
    }

    /// The IPv6 address with the same number as an IPv4 address; nil without IPv6.
    func ipv6(matching address: IPAddress) -> IPAddress? {
        if let mirror { return address == mirror.guest ? mirror.ipv6?.guest : nil }
        return ipv6?.prefix.address(matching: address, in: subnet)
    }

    /// Whether an address belongs to the guests' network.
    func isOnNetwork(_ address: IPAddress) -> Bool {
        address.isIPv4 ? isWithinNetwork(address) : ipv6?.isOnNetwork(address) ?? false
    }

    /// Whether an address is a valid source (RFC 1812, 5.3.7): a guest's, or none yet for DHCP.
    @inline(__always)
    func isGuest(_ source: IPAddress) -> Bool {
        if !source.isIPv4 { return ipv6?.isGuest(source) ?? false }
        return subnet.contains(source) && source != gateway && !virtualAddresses.contains(source)
            && source != subnet.network && source != subnet.broadcast
    }
}
