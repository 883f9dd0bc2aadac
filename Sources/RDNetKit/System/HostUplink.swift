internal import Glibc

/// The host's interface toward other networks, with its address of one family and its router.
struct HostUplink: Equatable {
    var interface: String
    var address: InterfaceAddress
    /// Nil if the interface's peer is the router, as on a point-to-point link.
    var router: IPAddress?

    init(interface: String, address: InterfaceAddress, router: IPAddress?) {
        self.interface = interface
        self.address = address
        self.router = router
    }

    /// Finds the interface of a family's first default route; nil if there is none with an address.
    ///
    /// - Parameters:
    ///   - family: IPv4 or IPv6.
    ///   - interface: The interface to use instead, even without a default route.
    /// - Throws: `SystemError` with ENODEV if there is no such interface.
    init?(_ family: NetlinkFamily, _ interface: String? = nil) throws(SystemError) {
        var netlink = try Netlink()
        var chosen: UInt32?
        if let interface { chosen = try netlink.link(named: interface).index }
        let route = try netlink.routes(family).first { route in
            route.prefixLength == 0 && route.link != nil && route.link == chosen ?? route.link
        }
        guard let link = chosen ?? route?.link, let name = Self.name(ofLink: link),
            let address = try family == .ipv6
                ? netlink.lastingAddresses(ofLink: link).first
                : netlink.addresses(ofLink: link).first
        else { return nil }
        self.init(interface: name, address: address, router: route?.gateway)
    }

    /// The name of the interface with an index; nil if there is none.
    ///
    /// See if_indextoname(3).
    private static func name(ofLink link: UInt32) -> String? {
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard if_indextoname(link, &name) != nil else { return nil }
        return String(
            decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) },
            as: UTF8.self
        )
    }
}
