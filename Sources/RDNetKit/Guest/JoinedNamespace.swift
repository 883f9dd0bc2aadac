/// An interface in a network namespace that somebody else has made, such as a container engine.
///
/// A child process enters the namespace (`NamespaceEnvoy`), makes the interface, passes its
/// descriptor on and ends; the interface lives as long as the descriptor.
struct JoinedNamespace: Sendable {
    /// The path of the user namespace to enter first; nil for none.
    var userNamespace: String?
    /// The path of the network namespace.
    var network: String
    var interface: NamespaceInterface

    /// Makes the interface.
    ///
    /// - Parameter parent: Receives the descriptor of the TAP.
    /// - Throws: `SystemError`, or `GuestInterfaceError`.
    func make(for parent: borrowing OwnedDescriptor) throws {
        let hasRoute = HostRouteWatch.canReachInternet
        try Namespace.join(user: userNamespace, network: network)
        try interface.make(for: parent, hasRoute: hasRoute)
    }
}

/// An interface to make in this process's network namespace for another process.
struct NamespaceInterface: Sendable {
    var name: String
    /// Nil keeps the kernel's choice.
    var mac: MACAddress?
    /// Nil leaves the interface down and without an address: its owner configures it.
    var configuration: Configuration?

    /// How to configure the interface.
    struct Configuration: Sendable {
        /// Nil for none.
        var ipv4: Family?
        /// Nil for none.
        var ipv6: Family?
        var mtu: Int
    }

    /// The interface's address of one family, and the router of the default route.
    struct Family: Equatable, Sendable {
        var address: InterfaceAddress
        var router: IPAddress

        /// Whether the router is in no network of the interface, as that of a host in a cloud.
        fileprivate var isRouterFar: Bool {
            guard router.isIPv4 || !router.isLinkLocal else { return false }
            let length = address.prefixLength + (router.isIPv4 ? 96 : 0)
            return router.masked(toPrefixLength: length)
                != address.address.masked(toPrefixLength: length)
        }
    }

    /// Makes the interface.
    ///
    /// - Parameters:
    ///   - parent: Receives the descriptor of the TAP.
    ///   - hasRoute: Whether the interface gets a default route for IPv6.
    /// - Throws: `SystemError`, or `GuestInterfaceError`.
    func make(for parent: borrowing OwnedDescriptor, hasRoute: Bool) throws {
        let device = try GuestInterface.make(
            named: name,
            mac: mac,
            mtu: configuration?.mtu,
            // RootlessKit makes the interface before it starts this program.
            .either,
            isConfigured: configuration != nil,
            // The kernel follows the router advertisements that come later.
            leavesIPv6: true
        )
        if let configuration {
            if let ipv4 = configuration.ipv4 { try configure(ipv4) }
            if let ipv6 = configuration.ipv6 { try configure(ipv6, hasRoute: hasRoute) }
        } else if let mac {
            var netlink = try Netlink()
            try netlink.setMAC(mac, ofLink: try netlink.link(named: name).index)
        }
        try DescriptorPassing.send(device.descriptor.number, over: parent)
    }

    private func configure(_ family: Family) throws(SystemError) {
        var netlink = try Netlink()
        let link = try netlink.link(named: name).index
        let address = family.address
        try netlink.addAddress(address, broadcast: address.broadcast, toLink: link)
        try netlink.replaceDefaultRoute(
            via: family.router,
            link: link,
            onLink: family.isRouterFar
        )
    }

    /// Sets the IPv6 address, and the default route if the host has one, so that the first
    /// connection need not wait for a router advertisement.
    private func configure(_ family: Family, hasRoute: Bool) throws(SystemError) {
        var netlink = try Netlink()
        let link = try netlink.link(named: name).index
        do {
            try netlink.addAddress(family.address, broadcast: nil, toLink: link)
            guard hasRoute else { return }
            try netlink.replaceDefaultRoute(
                via: family.router,
                link: link,
                onLink: family.isRouterFar
            )
        } catch {
            // The namespace, or its kernel, is without IPv6, and works with IPv4 alone.
            guard error.isWithoutIPv6 else { throw error }
        }
    }
}
