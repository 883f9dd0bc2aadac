/// What a lease means for an interface and for resolv.conf(5).
extension DHCPLease {
    var interfaceAddress: InterfaceAddress {
        InterfaceAddress(address: address, prefixLength: prefixLength)
    }

    /// The addresses of both families.
    var interfaceAddresses: [InterfaceAddress] {
        [interfaceAddress] + (ipv6.map { [$0.address] } ?? [])
    }

    /// The IPv4 routes that belong to the lease: to the network, and the default route.
    func routes(link: UInt32) -> [NetworkRoute] {
        [
            interfaceAddress.connectedRoute(link: link),
            routers.first.map { NetworkRoute(defaultVia: $0, link: link) },
        ].compactMap { $0 }
    }

    /// Whether an address is in the leased address's network.
    func networkContains(_ other: IPAddress) -> Bool {
        guard let one = address.ipv4, let other = other.ipv4 else { return false }
        // A shift by 32 gives zero in Swift, which is correct for prefix length 0.
        return (one ^ other) >> UInt32(32 - prefixLength) == 0
    }

    /// The content for resolv.conf(5).
    var resolverText: String {
        let search = searchDomains.isEmpty ? [] : ["search " + searchDomains.joined(separator: " ")]
        let servers = nameServers + (ipv6?.nameServers ?? [])
        let lines = search + servers.map { "nameserver \($0)" }
        return lines.joined(separator: "\n") + "\n"
    }
}

extension IPv6Assignment {
    /// The routes that belong to it: to the network, and the default route.
    func routes(link: UInt32) -> [NetworkRoute] {
        [
            address.connectedRoute(link: link),
            router.map { NetworkRoute(defaultVia: $0, link: link) },
        ].compactMap { $0 }
    }
}
