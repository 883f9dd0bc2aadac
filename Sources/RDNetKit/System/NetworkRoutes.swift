/// An IPv4 route of the main table.
struct NetworkRoute: Hashable, CustomStringConvertible {
    /// The destination network's address; 0.0.0.0 for a default route.
    var network = IPAddress.anyIPv4
    var prefixLength = 0
    /// The interface's index; nil for a route without one, such as `unreachable`.
    var link: UInt32?
    /// The next hop; nil for a route without one.
    var gateway: IPAddress?

    /// `default via 192.168.127.1`, `192.168.127.0/24`.
    var description: String {
        let destination = prefixLength == 0 ? "default" : "\(network)/\(prefixLength)"
        return destination + (gateway.map { " via \($0)" } ?? "")
    }

    /// Whether another route has the same destination.
    func hasDestination(of other: NetworkRoute) -> Bool {
        network == other.network && prefixLength == other.prefixLength
    }
}

extension InterfaceAddress {
    /// The route to the address's network that the kernel adds with the address; nil if there is
    /// none, for a network of one address.
    func connectedRoute(link: UInt32) -> NetworkRoute? {
        guard (1...31).contains(prefixLength), let bits = address.ipv4 else { return nil }
        let network = IPAddress(ipv4: bits & ~(UInt32.max >> UInt32(prefixLength)))
        return NetworkRoute(network: network, prefixLength: prefixLength, link: link)
    }
}

extension Netlink {
    /// Returns the IPv4 routes of the main table, which `ip route` shows.
    mutating func routes() throws(SystemError) -> [NetworkRoute] {
        let request = NetlinkRequest(defaultRoute: NetlinkType.getRoute, .dump, onLink: false)
        return try exchange(request, "get routes").compactMap { answer in
            guard answer.type == NetlinkType.newRoute, let prefixLength = answer.prefixLength,
                answer.routingTable == NetlinkRequest.mainTable
            else { return nil }
            let network = answer.address(NetlinkAttribute.Route.destination, after: 12)
            return NetworkRoute(
                network: network ?? .anyIPv4,
                prefixLength: prefixLength,
                link: answer.integer(NetlinkAttribute.Route.outputInterface, after: 12),
                gateway: answer.address(NetlinkAttribute.Route.gateway, after: 12)
            )
        }
    }
}
