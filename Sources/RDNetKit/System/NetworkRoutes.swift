/// A route of the main table.
struct NetworkRoute: Hashable, CustomStringConvertible {
    /// The destination network's address; 0.0.0.0 or :: for a default route.
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
        // An IPv4 address is the last 32 of 128 bits here.
        let first = address.isIPv4 ? 96 : 0
        guard (1..<(128 - first)).contains(prefixLength) else { return nil }
        let network = address.masked(toPrefixLength: first + prefixLength)
        return NetworkRoute(network: network, prefixLength: prefixLength, link: link)
    }
}

extension Netlink {
    /// Returns a family's routes of the main table, which `ip route` shows.
    mutating func routes(
        _ family: NetlinkFamily = .ipv4
    ) throws(SystemError) -> [NetworkRoute] {
        let request = NetlinkRequest(defaultRoute: NetlinkType.getRoute, .dump, family: family)
        return try exchange(request, "get routes").compactMap { answer in
            guard answer.type == NetlinkType.newRoute, let prefixLength = answer.prefixLength,
                answer.routingTable == NetlinkRequest.mainTable,
                // A kernel without IPv6 answers with the routes of other families.
                answer.body.first == family.rawValue
            else { return nil }
            let network = answer.address(NetlinkAttribute.Route.destination, after: 12)
            return NetworkRoute(
                network: network ?? (family == .ipv4 ? .anyIPv4 : .anyIPv6),
                prefixLength: prefixLength,
                link: answer.integer(NetlinkAttribute.Route.outputInterface, after: 12),
                gateway: answer.address(NetlinkAttribute.Route.gateway, after: 12)
            )
        }
    }
}

extension Netlink {
    /// Returns the IPv6 addresses by which other networks know an interface, global ones first.
    mutating func lastingAddresses(
        ofLink link: UInt32
    ) throws(SystemError) -> [InterfaceAddress] {
        let request = NetlinkRequest(
            address: NetlinkType.getAddress,
            .dump,
            family: .ipv6,
            link: link
        )
        let found = try exchange(request, "link \(link): get addresses").compactMap { answer in
            guard answer.type == NetlinkType.newAddress, answer.link == link,
                let length = answer.prefixLength, answer.isLastingAddress
            else { return InterfaceAddress?.none }
            return answer.interfaceAddress.map {
                InterfaceAddress(address: $0, prefixLength: length)
            }
        }
        return found.filter { !$0.address.isUniqueLocal } + found.filter(\.address.isUniqueLocal)
    }
}

extension NetworkRoute {
    /// The default route through a gateway of the interface.
    init(defaultVia gateway: IPAddress, link: UInt32) {
        self.init(
            network: gateway.isIPv4 ? .anyIPv4 : .anyIPv6,
            link: link,
            gateway: gateway
        )
    }
}
