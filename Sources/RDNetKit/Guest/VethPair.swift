/// The way between the default namespace and the containers': two interfaces that are each other's
/// far end.
///
/// Neither routes, nor forwarding, nor filters come with it. The default namespace is the one that
/// this process is in.
struct VethPair: Equatable {
    /// One of the two.
    struct End: Equatable {
        /// The interface's name.
        var name: String
        var address: InterfaceAddress
    }

    /// In the default namespace.
    var outer: End
    /// In the containers' namespace.
    var inner: End

    /// Makes both, gives them their addresses and brings them up.
    ///
    /// - Parameter namespace: The containers'.
    /// - Throws: `SystemError`; then there is neither.
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

    /// Deletes both, whoever made them.
    ///
    /// - Returns: Whether there was anything to delete.
    /// - Throws: `SystemError`.
    @discardableResult
    func remove() throws(SystemError) -> Bool {
        var netlink = try Netlink()
        do throws(SystemError) {
            try netlink.deleteLink(try netlink.link(named: outer.name).index)
            return true
        } catch {
            // The far end goes with its namespace, and takes this one along at any moment.
            if error.isMissingDevice { return false }
            throw error
        }
    }

    private static func configure(_ end: End, _ netlink: inout Netlink) throws(SystemError) {
        let link = try netlink.link(named: end.name).index
        try netlink.addAddress(end.address, broadcast: end.address.broadcast, toLink: link)
        try netlink.setLink(link, up: true)
    }
}
