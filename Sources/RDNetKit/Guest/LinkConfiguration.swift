/// Configures an interface from its lease: address, default route, MTU.
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
            if let nameServers { return nameServers(lease, done) }
        case .renewed(let lease):
            renew(lease)
            if let nameServers { return nameServers(lease, done) }
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
        let addresses = try netlink.addresses(ofLink: link.index)
        if !addresses.contains(applied.interfaceAddress) {
            return addresses.first.map { .replaced("\($0)") }
                ?? .missing("\(applied.interfaceAddress)")
        }
        let routes = try netlink.routes()
        for route in applied.routes(link: link.index) where !routes.contains(route) {
            let other = routes.first { $0.hasDestination(of: route) && !otherRoutes.contains($0) }
            return other.map { .replaced("\($0)") } ?? .missing("\(route)")
        }
        return .complete
    }

    /// Adds what is missing; does nothing without a lease.
    func restore() throws(SystemError) {
        guard let applied else { return }
        let link = try netlink.link(named: interface).index
        if let route = applied.interfaceAddress.connectedRoute(link: link),
            try !netlink.routes().contains(where: { $0.hasDestination(of: route) })
        {
            // The kernel adds the route to the network only with the address.
            try removeAddress(of: applied, fromLink: link)
        }
        try setAddress(applied)
        try setRoute(applied)
    }

    // MARK: Leases

    private func clear() throws(SystemError) {
        let link = try netlink.link(named: interface)
        if let applied {
            // Another program may have added its own addresses since.
            try removeAddress(of: applied, fromLink: link.index)
        } else {
            try netlink.removeAddresses(ofLink: link.index)
        }
        try netlink.setLink(link.index, up: true)
    }

    private func removeAddress(
        of lease: DHCPLease,
        fromLink link: UInt32
    ) throws(SystemError) {
        let address = lease.interfaceAddress
        guard try netlink.addresses(ofLink: link).contains(address) else { return }
        try netlink.removeAddress(address, fromLink: link)
    }

    private func configure(_ lease: DHCPLease) {
        attempt { () throws(SystemError) in try removeOtherAddresses(lease) }
        attempt { () throws(SystemError) in try setMTU(lease) }
        attempt { () throws(SystemError) in try setAddress(lease) }
        attempt { () throws(SystemError) in try setRoute(lease) }
        attempt { () throws(SystemError) in try rememberOtherRoutes() }
        applied = lease
    }

    /// Applies changed parameters, but leaves an interface alone that another program reconfigured.
    private func renew(_ lease: DHCPLease) {
        attempt { () throws(SystemError) in
            if case .replaced = try condition() { return }
            let link = try netlink.link(named: interface)
            if let applied, applied.interfaceAddress != lease.interfaceAddress {
                try removeAddress(of: applied, fromLink: link.index)
            }
            try setMTU(lease)
            try setAddress(lease)
            try setRoute(lease)
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
        otherRoutes = Set(try netlink.routes().filter { $0.link != link.index })
    }

    private func attempt(_ step: () throws(SystemError) -> Void) {
        do throws(SystemError) {
            try step()
        } catch {
            log.error("\(interface): \(error)")
        }
    }
}

extension DHCPLease {
    fileprivate var interfaceAddress: InterfaceAddress {
        InterfaceAddress(address: address, prefixLength: prefixLength)
    }

    /// The routes that belong to the lease: to the network, and the default route.
    fileprivate func routes(link: UInt32) -> [NetworkRoute] {
        [
            interfaceAddress.connectedRoute(link: link),
            routers.first.map { NetworkRoute(link: link, gateway: $0) },
        ].compactMap { $0 }
    }

    /// Whether an address is in the leased address's network.
    fileprivate func networkContains(_ other: IPAddress) -> Bool {
        guard let one = address.ipv4, let other = other.ipv4 else { return false }
        // A shift by 32 gives zero in Swift, which is correct for prefix length 0.
        return (one ^ other) >> UInt32(32 - prefixLength) == 0
    }

    /// The content for resolv.conf(5).
    var resolverText: String {
        let search = searchDomains.isEmpty ? [] : ["search " + searchDomains.joined(separator: " ")]
        let lines = search + nameServers.map { "nameserver \($0)" }
        return lines.joined(separator: "\n") + "\n"
    }
}
