/// Configures an interface from its lease: address, default route, MTU, resolver file.
///
/// It works in the network namespace in which it was created. A failed step is logged, and the
/// other steps still run: an address without a resolver file is better than none.
final class LinkConfiguration: LeaseRecipient {
    private let interface: String
    /// Nil leaves name resolution unchanged.
    private let resolverFile: ResolverFile?
    private let maximumMTU: Int
    private let log: Logger
    private var netlink: Netlink

    init(
        interface: String,
        resolverFile: ResolverFile?,
        maximumMTU: Int?,
        log: Logger
    ) throws(SystemError) {
        self.interface = interface
        self.resolverFile = resolverFile
        self.maximumMTU = maximumMTU ?? .max
        self.log = log
        netlink = try Netlink()
    }

    func apply(_ change: LeaseChange, done: @escaping () -> Void) {
        switch change {
        case .lost: attempt { () throws(SystemError) in try clear() }
        case .bound(let lease), .renewed(let lease): configure(lease)
        case .silence, .refused: break
        }
        done()
    }

    private func clear() throws(SystemError) {
        let link = try netlink.link(named: interface)
        try netlink.removeAddresses(ofLink: link.index)
        try netlink.setLink(link.index, up: true)
    }

    private func configure(_ lease: DHCPLease) {
        attempt { () throws(SystemError) in try setMTU(lease) }
        attempt { () throws(SystemError) in try setAddress(lease) }
        attempt { () throws(SystemError) in try setRoute(lease) }
        resolverFile?.update(lease)
    }

    private func setMTU(_ lease: DHCPLease) throws(SystemError) {
        let link = try netlink.link(named: interface)
        guard let offered = lease.mtu else { return }
        let mtu = min(offered, maximumMTU)
        guard mtu != link.mtu else { return }
        try netlink.setMTU(mtu, ofLink: link.index)
    }

    /// Sets the address; if it is already set, it is never removed in between.
    private func setAddress(_ lease: DHCPLease) throws(SystemError) {
        let link = try netlink.link(named: interface)
        if !link.isUp { try netlink.setLink(link.index, up: true) }
        let address = InterfaceAddress(address: lease.address, prefixLength: lease.prefixLength)
        try netlink.removeAddresses(ofLink: link.index, except: address)
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

    private func attempt(_ step: () throws(SystemError) -> Void) {
        do throws(SystemError) {
            try step()
        } catch {
            log.error("\(interface): \(error)")
        }
    }
}

extension DHCPLease {
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
