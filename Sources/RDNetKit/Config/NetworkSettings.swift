/// The virtual network as its host end makes it: addresses, services, ways in.
struct NetworkSettings: Sendable {
    var subnet = Subnet.standard
    var mtu = 1500
    var gatewayMAC = MACAddress.standardGateway
    var guestMAC = MACAddress.standardGuest
    var portForwards: [PortForward] = []
    var apiAddresses: [StreamAddress] = []
    /// Gateway, usual guest and host alias where they are not in their usual places.
    var gatewayAddress: IPAddress?
    var guestAddress: IPAddress?
    var hostAddress: IPAddress?
    /// What guests see in place of hosts' addresses; empty for the host alias in place of 127.0.0.1.
    var translations: [AddressTranslation] = []
    /// Addresses besides its own that the gateway answers for; empty for the host alias.
    var virtualAddresses: [IPAddress] = []
    /// Whether the usual guest's address is kept for it.
    var hasUsualGuest = true
    /// Empty for no capture.
    var captureFile = ""
    var allowsLinkLocal = false
    var staticLeases: [StaticLease] = []
    /// Seconds.
    var leaseTime = 3600
    var dnsSearch: [String] = []
    /// Whether guests search the host's domains where `dnsSearch` is empty.
    var searchesHostDomains = true
    /// What VPNKit's clients are called, by the UUID that they tell, in lower case; others get an address of chance.
    var machines = NetworkSettings.standardMachines
    /// Empty for those of `resolvConf`.
    var dnsServers: [ZonedEndpoint] = []
    var resolvConf = "/etc/resolv.conf"
    var hosts = "/etc/hosts"

    /// The one machine that every host of VPNKit's clients knows.
    static let standardMachines: [String: MACAddress] = [
        "c3d68012-0208-11ea-9fd7-f2189899ab08": .standardGuest
    ]

    /// The gateway: the first usable address.
    var gateway: IPAddress { gatewayAddress ?? subnet.host(1) }
    /// The usual guest's address: the second, unless a static lease says otherwise.
    var guest: IPAddress {
        staticLeases.first { $0.mac == guestMAC }?.address ?? usualGuest
    }
    private var usualGuest: IPAddress { guestAddress ?? subnet.host(2) }
    /// The host's 127.0.0.1: the last usable address.
    var hostAlias: IPAddress { hostAddress ?? subnet.host(-2) }

    /// The forwards without those that a later one for the same host address and port replaces.
    var effectivePortForwards: [PortForward] {
        portForwards.enumerated().filter { index, forward in
            !portForwards[(index + 1)...].contains { $0.host == forward.host }
        }.map(\.element)
    }

    /// The static leases, and the usual guest's unless its address or the guest itself is in the list.
    var effectiveStaticLeases: [StaticLease] {
        guard hasUsualGuest else { return staticLeases }
        let isListed = staticLeases.contains { $0.mac == guestMAC || $0.address == guest }
        return isListed ? staticLeases : staticLeases + [StaticLease(mac: guestMAC, address: guest)]
    }

    /// Two settings that are good alone and not together; nil when there is none.
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
        if let forward = portForwards.first(where: { !subnet.contains($0.guest.address) }) {
            return SettingsConflict(
                option: "port-forward",
                value: "\(forward)",
                expected: "a guest address in \(subnet)"
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
            return "one address a guest and one guest an address"
        }
        return nil
    }
}
