/// Configures an interface from its lease: addresses, default routes, MTU.
///
/// It works in the network namespace in which it was created. A failed step is logged, and the
/// other steps still run: an address without a resolver file is better than none.
final class LinkConfiguration: LeaseRecipient {
    /// Applies a lease's name servers, and calls the closure afterwards.
    typealias NameServers = (DHCPLease, @escaping () -> Void) -> Void

    private let interface: String
    /// Applies the name servers of each lease; nil leaves name resolution unchanged.
    private let nameServers: NameServers?
    private let maximumMTU: Int
    private let log: Logger
    private var netlink: Netlink
    /// The lease that the interface was last configured with; nil without one.
    private var applied: DHCPLease?
    /// Whether the kernel has refused IPv6 for this lease.
    private var isIPv4Only = false
    /// Whether the log says so.
    private var hasReportedIPv4Only = false
    /// The routes of other interfaces at that time.
    private var otherRoutes: Set<NetworkRoute> = []

    init(
        interface: String,
        nameServers: NameServers?,
        maximumMTU: Int?,
        log: Logger
    ) throws(SystemError) {
        self.interface = interface
        self.nameServers = nameServers
        self.maximumMTU = maximumMTU ?? .max
        self.log = log
        netlink = try Netlink()
    }

    func apply(_ change: LeaseChange, done: @escaping () -> Void) {
        switch change {
        case .lost:
            attempt { () throws(SystemError) in try clear() }
            applied = nil
        case .bound(let lease):
            configure(lease)
            if let nameServers { return nameServers(effective(lease), done) }
        case .renewed(let lease):
            renew(lease)
            if let nameServers { return nameServers(effective(lease), done) }
        case .silence, .refused:
            break
        }
        done()
    }

    // MARK: Loss

    /// What is left of the configuration.
    enum Condition: Equatable {
        /// Everything is there, or no lease is applied.
        case complete
        /// The interface does not exist or is down.
        case unusable
        /// Something is missing, and nothing is in its place.
        case missing(String)
        /// Another program put something else in its place.
        case replaced(String)
    }

    /// Compares the interface with the applied lease.
    ///
    /// - Returns: The first difference.
    /// - Throws: `SystemError`.
    func condition() throws(SystemError) -> Condition {
        guard let applied else { return .complete }
        let link: NetworkLink
        do throws(SystemError) {
            link = try netlink.link(named: interface)
        } catch {
            guard error.isMissingDevice else { throw error }
            return .unusable
        }
        guard link.isUp else { return .unusable }
        let condition = try condition(
            of: applied.interfaceAddress,
            applied.routes(link: link.index),
            link.index
        )
        guard condition == .complete, let ipv6 = usable(applied.ipv6, link) else {
            return condition
        }
        return try self.condition(of: ipv6.address, ipv6.routes(link: link.index), link.index)
    }

    /// Compares one family of the interface with an address and its routes.
    private func condition(
        of address: InterfaceAddress,
        _ wanted: [NetworkRoute],
        _ link: UInt32
    ) throws(SystemError) -> Condition {
        let family = NetlinkFamily(of: address.address)
        let addresses = try netlink.addresses(ofLink: link, family)
        if !addresses.contains(address) {
            return addresses.first.map { .replaced("\($0)") } ?? .missing("\(address)")
        }
        let routes = try netlink.routes(family)
        for route in wanted where !routes.contains(route) {
            let other = routes.first { $0.hasDestination(of: route) && !otherRoutes.contains($0) }
            return other.map { .replaced("\($0)") } ?? .missing("\(route)")
        }
        return .complete
    }

    /// Adds what is missing; does nothing without a lease.
    func restore() throws(SystemError) {
        guard let applied else { return }
        let link = try netlink.link(named: interface).index
        for address in applied.interfaceAddresses {
            guard let route = address.connectedRoute(link: link) else { continue }
            let routes = try netlink.routes(NetlinkFamily(of: address.address))
            if !routes.contains(where: { $0.hasDestination(of: route) }) {
                // The kernel adds the route to the network only with the address.
                try remove(address, fromLink: link)
            }
        }
        try setAddress(applied)
        try setRoute(applied)
        try setIPv6(applied.ipv6)
    }

    // MARK: Leases

    private func clear() throws(SystemError) {
        let link = try netlink.link(named: interface)
        if let applied {
            // Another program may have added its own addresses since.
            for address in applied.interfaceAddresses {
                try remove(address, fromLink: link.index)
            }
            // Unlike in IPv4, the route does not depend on the address.
            try removeIPv6Route(of: applied, link.index)
        } else {
            try netlink.removeAddresses(ofLink: link.index)
        }
        try netlink.setLink(link.index, up: true)
    }

    private func remove(
        _ address: InterfaceAddress,
        fromLink link: UInt32
    ) throws(SystemError) {
        let family = NetlinkFamily(of: address.address)
        guard try netlink.addresses(ofLink: link, family).contains(address) else { return }
        try netlink.removeAddress(address, fromLink: link)
    }

    private func configure(_ lease: DHCPLease) {
        isIPv4Only = false
        attempt { () throws(SystemError) in try removeOtherAddresses(lease) }
        attempt { () throws(SystemError) in try setMTU(lease) }
        attempt { () throws(SystemError) in try setAddress(lease) }
        attempt { () throws(SystemError) in try setRoute(lease) }
        attempt { () throws(SystemError) in try setIPv6(lease.ipv6) }
        attempt { () throws(SystemError) in try rememberOtherRoutes() }
        applied = lease
    }

    /// Applies changed parameters, but leaves an interface alone that another program reconfigured.
    private func renew(_ lease: DHCPLease) {
        attempt { () throws(SystemError) in
            if case .replaced = try condition() { return }
            let link = try netlink.link(named: interface)
            let kept = lease.interfaceAddresses
            for address in applied?.interfaceAddresses ?? [] where !kept.contains(address) {
                try remove(address, fromLink: link.index)
            }
            try setMTU(lease)
            try setAddress(lease)
            try setRoute(lease)
            isIPv4Only = false
            if let applied, lease.ipv6?.router == nil {
                try removeIPv6Route(of: applied, link.index)
            }
            try setIPv6(lease.ipv6)
        }
        applied = lease
    }

    private func setMTU(_ lease: DHCPLease) throws(SystemError) {
        let link = try netlink.link(named: interface)
        guard let offered = lease.mtu else { return }
        let mtu = min(offered, maximumMTU)
        guard mtu != link.mtu else { return }
        try netlink.setMTU(mtu, ofLink: link.index)
    }

    /// Removes what an earlier configuration left; the lease's own address is never removed.
    private func removeOtherAddresses(_ lease: DHCPLease) throws(SystemError) {
        let link = try netlink.link(named: interface)
        try netlink.removeAddresses(ofLink: link.index, except: lease.interfaceAddress)
        guard let own = lease.ipv6?.address else { return }
        let route = own.connectedRoute(link: link.index)
        for address in try netlink.addresses(ofLink: link.index, .ipv6)
        where address != own && address.connectedRoute(link: link.index) == route {
            try remove(address, fromLink: link.index)
        }
    }

    private func setAddress(_ lease: DHCPLease) throws(SystemError) {
        let link = try netlink.link(named: interface)
        if !link.isUp { try netlink.setLink(link.index, up: true) }
        let address = lease.interfaceAddress
        if try netlink.addresses(ofLink: link.index).contains(address) { return }
        try netlink.addAddress(address, broadcast: lease.broadcast, toLink: link.index)
    }

    private func setRoute(_ lease: DHCPLease) throws(SystemError) {
        guard let router = lease.routers.first else { return }
        let link = try netlink.link(named: interface)
        try netlink.replaceDefaultRoute(
            via: router,
            link: link.index,
            onLink: !lease.networkContains(router)
        )
    }

    private func rememberOtherRoutes() throws(SystemError) {
        let link = try netlink.link(named: interface)
        let routes = try netlink.routes() + netlink.routes(.ipv6)
        otherRoutes = Set(routes.filter { $0.link != link.index })
    }

    // MARK: IPv6

    /// A lease without what this kernel or interface refused: a guest with IPv4 only has no use for
    /// the addresses of IPv6 name servers.
    private func effective(_ lease: DHCPLease) -> DHCPLease {
        guard isIPv4Only else { return lease }
        var lease = lease
        lease.ipv6 = nil
        return lease
    }

    /// The IPv6 configuration if this kernel and interface can have it.
    private func usable(_ ipv6: IPv6Assignment?, _ link: NetworkLink) -> IPv6Assignment? {
        // The kernel takes IPv6 away from an interface with a smaller MTU (RFC 8200, 5).
        isIPv4Only || link.mtu < IPHeader.minimumMTUIPv6 ? nil : ipv6
    }

    /// Sets the IPv6 address and default route; an interface without IPv6 works without them.
    private func setIPv6(_ ipv6: IPv6Assignment?) throws(SystemError) {
        let link = try netlink.link(named: interface)
        guard let ipv6 = usable(ipv6, link) else { return }
        do throws(SystemError) {
            if try !netlink.addresses(ofLink: link.index, .ipv6).contains(ipv6.address) {
                try netlink.addAddress(ipv6.address, broadcast: nil, toLink: link.index)
            }
            guard let router = ipv6.router else { return }
            try netlink.replaceDefaultRoute(via: router, link: link.index)
        } catch {
            guard error.isWithoutIPv6 else { throw error }
            isIPv4Only = true
            guard !hasReportedIPv4Only else { return }
            hasReportedIPv4Only = true
            log.info("\(interface): IPv4 only, because IPv6 is off", ["cause": "\(error)"])
        }
    }

    /// Removes the IPv6 default route of a lease, if it exists.
    private func removeIPv6Route(of lease: DHCPLease, _ link: UInt32) throws(SystemError) {
        guard let router = lease.ipv6?.router else { return }
        let route = NetworkRoute(defaultVia: router, link: link)
        guard try netlink.routes(.ipv6).contains(route) else { return }
        try netlink.removeDefaultRoute(via: router, link: link)
    }

    private func attempt(_ step: () throws(SystemError) -> Void) {
        do throws(SystemError) {
            try step()
        } catch {
            log.error("\(interface): \(error)")
        }
    }
}
