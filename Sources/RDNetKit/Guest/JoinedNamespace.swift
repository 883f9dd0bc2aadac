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
        var address: InterfaceAddress
        var gateway: IPAddress
        /// The IPv6 address, with the gateway's link-local address as the router; nil for none.
        var ipv6: InterfaceAddress?
        var mtu: Int
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
            try configure(configuration)
            if let ipv6 = configuration.ipv6 { try configure(ipv6, hasRoute: hasRoute) }
        } else if let mac {
            var netlink = try Netlink()
            try netlink.setMAC(mac, ofLink: try netlink.link(named: name).index)
        }
        try DescriptorPassing.send(device.descriptor.number, over: parent)
    }

    private func configure(_ configuration: Configuration) throws(SystemError) {
        var netlink = try Netlink()
        let link = try netlink.link(named: name).index
        let address = configuration.address
        try netlink.addAddress(address, broadcast: address.broadcast, toLink: link)
        let gateway = configuration.gateway
        // A host in a cloud may have its router outside of its network.
        let isNear =
            Subnet(address: address.address, prefixLength: address.prefixLength)?
            .contains(gateway) ?? false
        try netlink.replaceDefaultRoute(via: gateway, link: link, onLink: !isNear)
    }

    /// Sets the IPv6 address, and the default route if the host has one, so that the first
    /// connection need not wait for a router advertisement.
    private func configure(_ address: InterfaceAddress, hasRoute: Bool) throws(SystemError) {
        var netlink = try Netlink()
        let link = try netlink.link(named: name).index
        do {
            try netlink.addAddress(address, broadcast: nil, toLink: link)
            guard hasRoute else { return }
            try netlink.replaceDefaultRoute(via: .gatewayLinkLocal, link: link)
        } catch {
            // The namespace, or its kernel, is without IPv6, and works with IPv4 alone.
            guard error.isWithoutIPv6 else { throw error }
        }
    }
}
