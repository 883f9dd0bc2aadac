/// What the network knows about its guests' addresses.
extension HostNetwork {
    /// The IPv6 address with the number of a guest's lease; nil unless the same guest uses it.
    func guestIPv6(_ address: IPAddress) -> IPAddress? {
        guard let ipv6 = engine.plan.ipv6(matching: address),
            let holder = dhcp.holder(of: address, now: loop.now),
            engine.ethernet.neighbors.mac(of: ipv6) == holder
        else { return nil }
        return ipv6
    }
}
