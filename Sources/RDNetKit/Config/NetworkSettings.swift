/// The settings of a virtual network's host end: addresses, services, entry points.
struct NetworkSettings: Sendable {
    var subnet = Subnet.standard
    /// Whether the subnet is somebody's choice.
    private(set) var isSubnetChosen = false
    /// The subnet as an option sets it.
    var chosenSubnet: Subnet {
        get { subnet }
        set {
            subnet = newValue
            isSubnetChosen = true
        }
    }
    var mtu = 1500
    var ipv6 = IPv6Mode.auto
    var prefixChoice = IPv6PrefixChoice.matching
    var gatewayMAC = MACAddress.standardGateway
    var guestMAC = MACAddress.standardGuest
    var portForwards: [PortForward] = []
    /// Whether forwards can lead to the guest's own 127.0.0.1.
    var reachesGuestLoopback = false
    var apiAddresses: [StreamAddress] = []
    /// Where anybody may read the counters.
    var metricsAddresses: [StreamAddress] = []
    var access = APIAccess()
    var policy = PolicySettings()
    var limits = GuestLimits()
    /// Overrides of the default addresses of gateway, default guest and host alias.
    var gatewayAddress: IPAddress?
    var guestAddress: IPAddress?
    var hostAddress: IPAddress?
    /// Addresses that guests use for host addresses; empty: the host alias for 127.0.0.1.
    var translations: [AddressTranslation] = []
    /// Additional addresses that the gateway answers for; empty: the host alias.
    var virtualAddresses: [IPAddress] = []
    /// Whether the default guest's address is reserved for it.
    var hasUsualGuest = true
    /// Empty: no capture.
    var captureFile = ""
    /// Where guests mount the control file system.
    var portFileAddresses: [ListenAddress] = []
    /// The directory that keeps leases and forwards; empty for none.
    var stateDirectory = ""
    /// Set if the subnet is the host's own network; then no translation is the default.
    var mirror: MirroredNetwork?
    var silencedTransports: SilencedTransports = []
    var servesLeases = true
    var allowsLinkLocal = false
    /// Whether the clients of forwards have the host alias's address, instead of the gateway's.
    var forwardsFromHostAlias = false
    /// Whether the gateway answers DNS queries.
    var servesNames = true
    /// Whether the host alias leads to no service on the host's 127.0.0.1.
    var blocksHostLoopback = false
    /// Whether guests are kept from each other; nil for nobody's choice.
    var isolation: Bool?
    var staticLeases: [StaticLease] = []
    /// Seconds.
    var leaseTime = 3600
    var dnsSearch: [String] = []
    /// Whether guests get the host's search domains if `dnsSearch` is empty.
    var searchesHostDomains = true
    /// MAC addresses of VPNKit's clients by their UUID in lower case; any other UUID gets a random
    /// one.
    var machines = NetworkSettings.standardMachines
    /// Whether VPNKit's clients keep their MAC addresses.
    var knowsMachines = false
    /// Empty: the servers in `resolvConf`.
    var dnsServers: [ZonedEndpoint] = []
    var resolvConf = "/etc/resolv.conf"
    var hosts = "/etc/hosts"
    /// Whether names below `local` are asked for on the host's links.
    var usesMulticastDNS = true

    /// The VM that every VPNKit host knows.
    static let standardMachines: [String: MACAddress] = [
        "c3d68012-0208-11ea-9fd7-f2189899ab08": .standardGuest
    ]

    /// Whether guests are kept from each other: under a policy, one guest is a way around the rules
    /// for another.
    var isolatesGuests: Bool {
        get { isolation ?? policy.isOn }
        set { isolation = newValue }
    }

    /// What the API on the gateway offers: under a policy nothing, because a published port is a
    /// way in and out.
    var guestAPI: APIAccess.GuestAPI { access.guestAPI ?? (policy.isOn ? .none : .forwards) }

    /// The gateway: the first usable address.
    var gateway: IPAddress { gatewayAddress ?? subnet.host(1) }
    /// The default guest's address: the second, unless a static lease says otherwise.
    var guest: IPAddress {
        staticLeases.first { $0.mac == guestMAC }?.address ?? usualGuest
    }
    private var usualGuest: IPAddress { guestAddress ?? subnet.host(2) }
    /// The host's 127.0.0.1: the last usable address.
    var hostAlias: IPAddress { hostAddress ?? subnet.host(-2) }

    /// The IPv6 prefix; nil for a network without IPv6.
    var prefix: IPv6Prefix? {
        guard ipv6 != .off, mtu >= IPHeader.minimumMTUIPv6 else { return nil }
        return switch prefixChoice {
        case .matching: IPv6Prefix(derivedFrom: subnet)
        case .prefix(let prefix): prefix
        case .off: nil
        }
    }

    /// The forwards; the last one for a host address and ports wins.
    var effectivePortForwards: [PortForward] {
        portForwards.enumerated().filter { index, forward in
            !portForwards[(index + 1)...].contains { $0.replaces(forward) }
        }.map(\.element)
    }

    /// The static leases, plus the default guest's unless its address or MAC is in the list.
    var effectiveStaticLeases: [StaticLease] {
        guard hasUsualGuest else { return staticLeases }
        let isListed = staticLeases.contains { $0.mac == guestMAC || $0.address == guest }
        return isListed ? staticLeases : staticLeases + [StaticLease(mac: guestMAC, address: guest)]
    }

    /// Whether the network can move from the default subnet: no setting names one of its addresses.
    var canMove: Bool {
        let guests = portForwards.compactMap { $0.guest?.address }
        return !isSubnetChosen && staticLeases.isEmpty && guests.allSatisfy(\.isLoopback)
    }

    /// A pair of settings that are valid alone but not together; nil if there is none.
    var conflict: SettingsConflict? {
        if guest == hostAlias {
            return SettingsConflict(
                option: "subnet",
                value: subnet.description,
                expected:
                    "a prefix of 8 to 29 bits: the gateway, the host and a guest need an address"
            )
        }
        if gatewayMAC == guestMAC {
            return SettingsConflict(
                option: "guest-mac",
                value: guestMAC.description,
                expected: "an address other than the gateway's"
            )
        }
        if let forward = portForwards.first(where: { !canReach($0.guest?.address) }) {
            return SettingsConflict(
                option: "port-forward",
                value: "\(forward)",
                expected: "a guest address in \(subnet)"
                    + (prefix.map { " or \($0)" } ?? "")
                    + (reachesGuestLoopback ? ", or localhost" : "")
            )
        }
        for (index, lease) in staticLeases.enumerated() {
            guard let expected = fault(of: lease, before: staticLeases[..<index]) else { continue }
            return SettingsConflict(
                option: "static-lease",
                value: lease.description,
                expected: expected
            )
        }
        return nil
    }

    private func canReach(_ guest: IPAddress?) -> Bool {
        guard let guest else { return true }
        return subnet.contains(guest) || prefix?.contains(guest) ?? false
            || reachesGuestLoopback && guest == .loopbackIPv4
    }

    private func fault(of lease: StaticLease, before others: ArraySlice<StaticLease>) -> String? {
        let taken = [subnet.network, gateway, hostAlias, subnet.broadcast]
        guard subnet.contains(lease.address), !taken.contains(lease.address) else {
            return "an address of \(subnet) that is not the network's, the gateway's (\(gateway)), "
                + "the host's (\(hostAlias)) or the broadcast address"
        }
        let hasOther = !hasUsualGuest || staticLeases.contains { $0.mac == guestMAC }
        if lease.address == usualGuest, lease.mac != guestMAC, !hasOther {
            return "another address: \(lease.address) is that of the guest with MAC \(guestMAC)"
        }
        if others.contains(where: { $0.address == lease.address || $0.mac == lease.mac }) {
            return "one address per guest and one guest per address"
        }
        return nil
    }
}
