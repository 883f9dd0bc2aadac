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

    /// The IPv4 address with the number of a guest's leased IPv6 address; nil unless the same guest
    /// has leased it.
    func guestIPv4(_ address: IPAddress) -> IPAddress? {
        let now = loop.now
        guard let ipv4 = engine.plan.ipv4(matching: address),
            let holder = dhcp.holder(of: ipv4, now: now),
            dhcp.pool.ipv6Number(of: holder, now: now) == ipv4
        else { return nil }
        return ipv4
    }

    /// The addresses that guests have or may have: fixed ones, leases of both families, and the
    /// IPv6 addresses that guests use without a lease.
    var guestAddresses: [ObservationAPI.GuestAddress] {
        let now = loop.now
        var known: [IPAddress: ObservationAPI.GuestAddress] = [:]
        for (address, mac) in dhcp.pool.fixedLeases { note(address, mac, in: &known) }
        for (record, _) in dhcp.records(now: now) where record.expires > now {
            note(record.address, record.holder.hardwareAddress, until: record.expires, in: &known)
        }
        for (address, mac) in usedIPv6 { note(address, mac, in: &known) }
        for lease in router?.leases(now: now) ?? [] {
            note(lease.address, lease.mac, until: lease.expires, in: &known)
        }
        // IPv4 comes first: a guest has the name that it sent with that lease, if any.
        let sorted = known.values.sorted {
            ($0.address.high, $0.address.low) < ($1.address.high, $1.address.low)
        }
        var names: [MACAddress: String] = [:]
        for entry in sorted where names[entry.mac] == nil {
            names[entry.mac] = dhcp.guestNames.name(of: entry.address, now: now)
        }
        return sorted.map { entry in
            var entry = entry
            entry.name = names[entry.mac]
            return entry
        }
    }

    private func note(
        _ address: IPAddress,
        _ mac: MACAddress,
        until end: Instant? = nil,
        in known: inout [IPAddress: ObservationAPI.GuestAddress]
    ) {
        known[address] = ObservationAPI.GuestAddress(
            address: address,
            mac: mac,
            rest: end.map { $0 - loop.now }
        )
    }

    /// The IPv6 addresses of the prefix that guests on a link use.
    private var usedIPv6: [(IPAddress, MACAddress)] {
        guard let prefix = engine.plan.ipv6?.prefix else { return [] }
        let neighbors = engine.ethernet.neighbors
        return neighbors.addresses(of: Set(engine.ethernet.addresses.map(\.mac)))
            .filter { prefix.contains($0) }
            .compactMap { address in neighbors.mac(of: address).map { (address, $0) } }
    }
}
