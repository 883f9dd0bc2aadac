/// The addresses of a namespace that `pasta` connects: those of the host, unless options say
/// otherwise.
struct PastaNetwork {
    /// The host's interfaces; nil without a default route of the family.
    struct Uplinks {
        var ipv4: HostUplink?
        var ipv6: HostUplink?
    }

    /// A host without a default route has a network of its own with the namespace.
    private static let localIPv4 = NamespaceInterface.Family(
        address: InterfaceAddress(address: IPAddress(ipv4: 0xa9fe_0201), prefixLength: 16),
        router: IPAddress(ipv4: 0xa9fe_0202)
    )

    /// The interface's name in the namespace.
    let interface: String
    /// Nil with `--ipv6-only`.
    let ipv4: NamespaceInterface.Family?
    /// Nil with `--ipv4-only`, and if neither the host nor an option has an address.
    let ipv6: NamespaceInterface.Family?
    private let settings: PastaSettings
    /// The IPv4 addresses for the engine, which numbers its guests with them.
    private let numbers: NamespaceInterface.Family
    private let subnet: Subnet
    private let prefix: IPv6Prefix?

    /// Chooses the addresses.
    ///
    /// - Parameters:
    ///   - settings: The command line.
    ///   - uplinks: The host's interfaces.
    ///   - hasIPv6: Whether the kernel has IPv6.
    /// - Throws: `RoleFailure` with status 2 if they do not fit together.
    init(
        _ settings: PastaSettings,
        _ uplinks: Uplinks,
        hasIPv6: Bool = true
    ) throws(RoleFailure) {
        self.settings = settings
        let usual = settings.isIPv6Only ? Self.localIPv4 : Self.ipv4(settings, uplinks.ipv4)
        numbers = usual
        ipv4 = settings.isIPv6Only ? nil : usual
        guard let subnet = Self.subnet(of: usual.address), usual.address.address != usual.router
        else { throw Self.misfit(usual, "a network of 8 to 32 bits") }
        self.subnet = subnet
        let mayHaveIPv6 =
            hasIPv6 && !settings.isIPv4Only && settings.mtu >= IPHeader.minimumMTUIPv6
        ipv6 = mayHaveIPv6 ? Self.ipv6(settings, uplinks.ipv6) : nil
        prefix = try ipv6.map { (family) throws(RoleFailure) in
            guard let prefix = Self.prefix(of: family.address),
                family.address.address != family.router
            else { throw Self.misfit(family, "a network of IPv6 hosts") }
            return prefix
        }
        guard ipv4 != nil || ipv6 != nil else {
            throw RoleFailure(
                "ipv6-only: expected an IPv6 default route on the host, or --address",
                status: .misuse
            )
        }
        let links = [ipv4 == nil ? nil : uplinks.ipv4, ipv6 == nil ? nil : uplinks.ipv6]
        let name = links.compactMap { $0?.interface }.first ?? "tap0"
        interface = settings.interface.isEmpty ? name : settings.interface
    }

    private static func misfit(
        _ family: NamespaceInterface.Family,
        _ network: String
    ) -> RoleFailure {
        RoleFailure(
            "\(family.address): expected an address in \(network), other than the gateway's, "
                + "\(family.router)",
            status: .misuse
        )
    }

    // MARK: IPv4

    private static func ipv4(
        _ settings: PastaSettings,
        _ uplink: HostUplink?
    ) -> NamespaceInterface.Family {
        NamespaceInterface.Family(
            address: address(settings, uplink?.address ?? localIPv4.address),
            router: settings.gateways.first(where: \.isIPv4) ?? uplink?.router ?? localIPv4.router
        )
    }

    private static func address(
        _ settings: PastaSettings,
        _ host: InterfaceAddress
    ) -> InterfaceAddress {
        var address = settings.addresses.first(where: \.address.isIPv4) ?? host
        if address.prefixLength == 0 {
            let isBesideHost = Self.subnet(of: host)?.contains(address.address) ?? false
            address.prefixLength =
                isBesideHost ? host.prefixLength : classLength(of: address.address)
        }
        if let length = settings.prefixLength { address.prefixLength = length }
        return address
    }

    /// The smallest network of an interface's address in which that address belongs to a host.
    ///
    /// Interfaces on point-to-point links and in clouds have prefixes of 31 and 32 bits.
    private static func subnet(of address: InterfaceAddress) -> Subnet? {
        for length in stride(from: min(address.prefixLength, 30), through: 8, by: -1) {
            guard let subnet = Subnet(address: address.address, prefixLength: length) else {
                return nil
            }
            let ends = [subnet.network, subnet.broadcast]
            if !ends.contains(address.address) { return subnet }
        }
        return nil
    }

    /// The length of the network's part of an address by its class (RFC 791, 2.3).
    private static func classLength(of address: IPAddress) -> Int {
        switch (address.ipv4 ?? 0) >> 30 {
        case 0, 1: 8
        case 2: 16
        default: 24
        }
    }

    // MARK: IPv6

    private static func ipv6(
        _ settings: PastaSettings,
        _ uplink: HostUplink?
    ) -> NamespaceInterface.Family? {
        let chosen = settings.addresses.first { !$0.address.isIPv4 }
        // Without a choice, an address that no interface may have leaves IPv4.
        let host = uplink.map(\.address).flatMap { prefix(of: $0) == nil ? nil : $0 }
        guard var address = chosen ?? host else { return nil }
        if address.prefixLength == 0 { address.prefixLength = IPv6Prefix.autoconfigured }
        let router = settings.gateways.first { !$0.isIPv4 } ?? uplink?.router
        return NamespaceInterface.Family(address: address, router: router ?? .gatewayLinkLocal)
    }

    /// The prefix that router advertisements have; nil if an address cannot be a host's.
    ///
    /// Interfaces in clouds have prefixes of 128 bits.
    private static func prefix(of address: InterfaceAddress) -> IPv6Prefix? {
        let length = IPv6Prefix.autoconfigured
        do {
            let network = address.address.masked(toPrefixLength: length)
            let prefix = try IPv6Prefix(network: network, prefixLength: length)
            return network == address.address ? nil : prefix
        } catch {
            return nil
        }
    }

    private var mirroredIPv6: MirroredIPv6? {
        guard let ipv6, let prefix else { return nil }
        // Guests know their router by a link-local address only (RFC 4861, 4.2).
        let router = ipv6.router.isLinkLocal ? ipv6.router : .gatewayLinkLocal
        return MirroredIPv6(
            prefix: prefix,
            guest: ipv6.address.address,
            router: router,
            hostAlias: loopbackMaps.first { !$0.isIPv4 } ?? router,
            resolver: resolvers.first { !$0.isIPv4 },
            // The interface has its address already.
            isAutonomous: !settings.configuresInterface,
            discoversNeighbors: !settings.hasNoNeighborDiscovery,
            advertises: !settings.hasNoNeighborDiscovery && !settings.hasNoRouterAdvertisements,
            servesLeases: !settings.hasNoDHCPv6
        )
    }

    // MARK: Addresses with a meaning

    private var families: [NamespaceInterface.Family] { [ipv4, ipv6].compactMap(\.self) }

    /// The addresses that lead to the host's loopback.
    var loopbackMaps: [IPAddress] {
        if !settings.loopbackMaps.isEmpty { return settings.loopbackMaps.addresses }
        return settings.mapsNoGateway ? [] : families.map(\.router)
    }

    private var resolvers: [IPAddress] {
        settings.servers.contains(.none) ? [] : settings.resolvers
    }

    private var translations: [AddressTranslation] {
        let loopback = loopbackMaps.map { seen in
            AddressTranslation(seen: seen, host: seen.isIPv4 ? .loopbackIPv4 : .loopbackIPv6)
        }
        let guest = settings.guestMaps.addresses.compactMap { seen in
            families.map(\.address.address).first { $0.isIPv4 == seen.isIPv4 }
                .map { AddressTranslation(seen: seen, host: $0) }
        }
        return loopback + guest
    }

    /// The address of the namespace at which its ports are reached first.
    var guest: IPAddress { (ipv4 ?? ipv6 ?? numbers).address.address }

    /// The engine's settings.
    var network: NetworkSettings {
        var network = NetworkSettings()
        network.chosenSubnet = subnet
        network.mtu = settings.mtu
        network.ipv6 = ipv6 == nil ? .off : .on
        network.prefixChoice = .off
        network.gatewayMAC = settings.gatewayMAC
        network.guestMAC = settings.mac ?? .standardGuest
        network.gatewayAddress = numbers.router
        network.guestAddress = numbers.address.address
        network.hostAddress = loopbackMaps.first(where: \.isIPv4) ?? numbers.router
        network.forwardsFromHostAlias = true
        network.mirror = MirroredNetwork(
            guest: numbers.address.address,
            resolver: resolvers.first(where: \.isIPv4),
            hasIPv4: ipv4 != nil,
            ipv6: mirroredIPv6
        )
        network.translations = translations
        network.virtualAddresses = translations.map(\.seen) + resolvers
        network.servesNames = !resolvers.isEmpty
        network.dnsServers = settings.servers.compactMap { server in
            if case .server(let endpoint) = server { endpoint } else { nil }
        }
        network.dnsSearch = settings.search.flatMap { $0.split(separator: " ") }.map { String($0) }
            .filter { $0 != "none" }
        network.searchesHostDomains = false
        network.access.guestAPI = APIAccess.GuestAPI.none
        network.captureFile = settings.captureFile
        network.servesLeases = ipv4 != nil && !settings.hasNoLeases
        if settings.hasNoTCP { network.silencedTransports.insert(.tcp) }
        if settings.hasNoUDP { network.silencedTransports.insert(.udp) }
        if settings.hasNoEcho { network.silencedTransports.insert(.icmp) }
        return network
    }
}
