internal import CLinux
internal import Glibc

/// A host interface on which a multicast group can be queried.
struct MulticastLink: Equatable {
    /// An interface's address and the prefix length of its network.
    struct Network: Equatable {
        var address: IPAddress
        var prefixLength: Int

        func contains(_ other: IPAddress) -> Bool {
            guard address.isIPv4 == other.isIPv4 else { return false }
            let bits = address.isIPv4 ? prefixLength + 96 : prefixLength
            let high = bits >= 64 ? UInt64.max : ~(UInt64.max >> UInt64(bits))
            let low = bits <= 64 ? 0 : bits >= 128 ? UInt64.max : ~(UInt64.max >> UInt64(bits - 64))
            return (address.high ^ other.high) & high == 0 && (address.low ^ other.low) & low == 0
        }
    }

    /// Limit on queried links; those with an IPv4 address come first.
    static let limit = 16
    private static let networkLimit = 16

    let index: UInt32
    var networks: [Network] = []

    var hasIPv4: Bool { networks.contains { $0.address.isIPv4 } }
    var hasIPv6: Bool { networks.contains { !$0.address.isIPv4 } }

    /// Whether a sender is on this link (RFC 6762, section 11).
    func contains(_ sender: Endpoint) -> Bool {
        if sender.scope != 0, sender.scope != index { return false }
        return networks.contains { $0.contains(sender.address) }
    }

    /// Returns the interfaces that are up and can multicast, except loopback and point-to-point
    /// ones.
    ///
    /// A tunnel leads to another site, whose machines are not on this link. See getifaddrs(3),
    /// netdevice(7).
    ///
    /// - Returns: The links with an IPv4 address, then the others, each in the order of their
    ///   indices; empty if the kernel does not provide a list.
    static func all() -> [MulticastLink] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        var links: [MulticastLink] = []
        var indices: [String: Int] = [:]
        var next = first
        while let entry = next?.pointee {
            next = entry.ifa_next
            guard isSuitable(entry.ifa_flags), let network = network(entry) else { continue }
            // Sound: the list's names are NUL-terminated and live until it is freed.
            let name = String(cString: entry.ifa_name)
            if indices[name] == nil {
                indices[name] = links.count
                links.append(MulticastLink(index: if_nametoindex(name)))
            }
            guard let place = indices[name], links[place].networks.count < networkLimit else {
                continue
            }
            links[place].networks.append(network)
        }
        let known = links.filter { $0.index != 0 }.sorted { $0.index < $1.index }
        let ordered = known.filter(\.hasIPv4) + known.filter { !$0.hasIPv4 }
        return Array(ordered.prefix(limit))
    }

    private static func isSuitable(_ flags: UInt32) -> Bool {
        let needed = UInt32(IFF_UP) | UInt32(IFF_MULTICAST)
        let barred = UInt32(IFF_LOOPBACK) | UInt32(IFF_POINTOPOINT)
        return flags & needed == needed && flags & barred == 0
    }

    private static func network(_ entry: ifaddrs) -> Network? {
        guard let address = entry.ifa_addr, let mask = entry.ifa_netmask else { return nil }
        let family = Int32(address.pointee.sa_family)
        guard family == AF_INET || family == AF_INET6 else { return nil }
        let found = octets(address, family)
        let prefix = octets(mask, family).reduce(0) { $0 + $1.nonzeroBitCount }
        return Network(address: ipAddress(found), prefixLength: prefix)
    }

    /// The address part of a socket address, in network order.
    private static func octets(_ address: UnsafePointer<sockaddr>, _ family: Int32) -> [UInt8] {
        // Sound: the family determines the memory's layout: the address is at 4 or at 8.
        let raw = UnsafeRawPointer(address)
        let (offset, count) = family == AF_INET ? (4, 4) : (8, 16)
        return (offset..<(offset + count)).map { raw.load(fromByteOffset: $0, as: UInt8.self) }
    }

    private static func ipAddress(_ octets: [UInt8]) -> IPAddress {
        if octets.count == 4 { return IPAddress(ipv4: octets.reduce(0) { $0 << 8 | UInt32($1) }) }
        return IPAddress(
            high: octets[..<8].reduce(0) { $0 << 8 | UInt64($1) },
            low: octets[8...].reduce(0) { $0 << 8 | UInt64($1) }
        )
    }
}

extension Socket {
    private static let linkHops: Int32 = 255

    /// Creates a UDP socket of one family that queries groups on links and accepts answers from
    /// anywhere.
    ///
    /// The kernel chooses its port. See ip(7), ipv6(7).
    static func groupQuerier(forIPv6 isIPv6: Bool) throws(SystemError) -> OwnedDescriptor {
        let descriptor = try make(isIPv6 ? AF_INET6 : AF_INET, SOCK_DGRAM)
        if isIPv6 {
            try set(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, to: 1)
            try set(descriptor, Int32(IPPROTO_IPV6), IPV6_MULTICAST_HOPS, to: linkHops)
        } else {
            try set(descriptor, Int32(IPPROTO_IP), IP_MULTICAST_TTL, to: linkHops)
        }
        let any: IPAddress = isIPv6 ? .anyIPv6 : .anyIPv4
        try bind(descriptor, to: SocketAddress(Endpoint(address: any, port: 0)), named: "\(any)")
        return descriptor
    }

    /// Sends a datagram to a group on one link.
    ///
    /// - Returns: Whether it was sent; a link that went down, or a firewall, is no reason to stop.
    static func send(
        _ descriptor: borrowing OwnedDescriptor,
        _ octets: [UInt8],
        toGroup group: Endpoint,
        on link: UInt32
    ) -> Bool {
        var target = group
        do {
            if group.address.isIPv4 {
                try selectLink(descriptor, link)
            } else {
                target.scope = link
            }
            let (number, address) = (descriptor.number, SocketAddress(target))
            let sent = try attempt("sendto") {
                address.withPointer {
                    sendto(number, octets, octets.count, Int32(MSG_NOSIGNAL), $0, $1)
                }
            }
            return sent != nil
        } catch {
            return false
        }
    }

    /// Selects the link for datagrams to groups.
    ///
    /// See ip(7), IP_MULTICAST_IF.
    private static func selectLink(
        _ descriptor: borrowing OwnedDescriptor,
        _ link: UInt32
    ) throws(SystemError) {
        let number = descriptor.number
        var choice = ip_mreqn()
        choice.imr_ifindex = Int32(truncatingIfNeeded: link)
        try systemCall("setsockopt(IP_MULTICAST_IF)") {
            let size = socklen_t(MemoryLayout<ip_mreqn>.size)
            return setsockopt(number, Int32(IPPROTO_IP), IP_MULTICAST_IF, &choice, size)
        }
    }
}
