/// Connects the default namespace and the containers' namespace by a pair of virtual interfaces.
///
/// It adds no routes, forwarding or filters. The default namespace is the one of this process.
struct VethPair: Equatable {
    /// One of the two interfaces.
    struct End: Equatable {
        /// The interface's name.
        var name: String
        var address: InterfaceAddress

        /// The address with the same digits in IPv6: 192.168.143.1/24 and fdc0:a88f::1/64; nil if
        /// the IPv4 network is too small or too large to have numbers.
        var ipv6Address: InterfaceAddress? {
            Subnet(address: address.address, prefixLength: address.prefixLength).flatMap {
                let prefix = IPv6Prefix(derivedFrom: $0)
                return InterfaceAddress(matching: address.address, in: $0, prefix)
            }
        }
    }

    /// The end in the default namespace.
    var outer: End
    /// The end in the containers' namespace.
    var inner: End

    /// Creates both interfaces, assigns their addresses and brings them up.
    ///
    /// - Parameter namespace: The containers' namespace.
    /// - Throws: `SystemError`; neither interface exists then.
    func make(to namespace: borrowing OwnedDescriptor) throws(SystemError) {
        let home = try Namespace.currentNetwork()
        var netlink = try Netlink()
        try netlink.addVeth(outer.name, in: home, peer: inner.name, in: namespace)
        do throws(SystemError) {
            try Self.configure(outer, &netlink)
            try Namespace.within(namespace) { () throws(SystemError) in
                var netlink = try Netlink()
                try Self.configure(inner, &netlink)
            }
        } catch {
            try remove()
            throw error
        }
    }

    /// Deletes both interfaces, regardless of who created them.
    ///
    /// - Returns: Whether they existed.
    /// - Throws: `SystemError`.
    @discardableResult
    func remove() throws(SystemError) -> Bool {
        var netlink = try Netlink()
        do throws(SystemError) {
            try netlink.deleteLink(try netlink.link(named: outer.name).index)
            return true
        } catch {
            // The far end disappears with its namespace, and may remove this end at any moment.
            if error.isMissingDevice { return false }
            throw error
        }
    }

    private static func configure(_ end: End, _ netlink: inout Netlink) throws(SystemError) {
        let link = try netlink.link(named: end.name).index
        try netlink.addAddress(end.address, broadcast: end.address.broadcast, toLink: link)
        try addIPv6Address(of: end, link, &netlink)
        try netlink.setLink(link, up: true)
    }

    private static func addIPv6Address(
        of end: End,
        _ link: UInt32,
        _ netlink: inout Netlink
    ) throws(SystemError) {
        guard let address = end.ipv6Address else { return }
        do throws(SystemError) {
            try netlink.addAddress(address, broadcast: nil, toLink: link)
        } catch {
            // The pair works with IPv4 alone.
            guard error.isWithoutIPv6 else { throw error }
        }
    }
}
