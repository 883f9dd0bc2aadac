/// The guests' MAC addresses: one per IPv4 neighbor (RFC 826), learned from their own packets, and
/// the switch port on which each neighbor is.
///
/// Entries do not expire: a guest with a new address sends first, and that replaces the old entry.
/// When a port closes, its entries stay without a port, so that a guest that reconnects is found
/// again by its MAC address.
struct NeighborTable {
    /// What the table learned from a packet's source addresses.
    enum Lesson: Equatable {
        /// The IP address has moved from another MAC address.
        case moved
        /// A new IP address, or one that is back on a port.
        case new
    }

    /// Limit on neighbors per port; when full, the port's oldest entry makes room.
    static let addressesPerPort = EthernetSwitch.addressesPerPort
    /// The number of entries whose port has closed is limited like that of a port.
    private static let closed = -1

    /// Incremented with every change of an address, so that callers can detect stale cached
    /// results.
    private(set) var epoch: UInt32 = 0
    private var table = PortTable<IPAddress, MACAddress>(limit: addressesPerPort)
    private var latest: (address: IPAddress, mac: MACAddress)?

    /// Whether a packet has the same source addresses as the latest one.
    @inline(__always)
    func isLatest(_ address: IPAddress, _ mac: MACAddress) -> Bool {
        guard let latest else { return false }
        return latest.address == address && latest.mac == mac
    }

    /// Whether a neighbor is on a port with this MAC address; the next packet of it is the latest.
    @inline(__always)
    mutating func confirms(_ address: IPAddress, mac: MACAddress, on port: Int) -> Bool {
        guard let entry = table[address], entry.port == port, entry.value == mac else {
            return false
        }
        latest = (address, mac)
        return true
    }

    /// The open port on which a neighbor is; nil if it is on none.
    func port(of address: IPAddress) -> Int? {
        guard let port = table[address]?.port, port != Self.closed else { return nil }
        return port
    }

    /// The number of neighbors on a port.
    func count(on port: Int) -> Int { table.count(on: port) }

    /// Learns from a guest's packet.
    ///
    /// - Parameters:
    ///   - address: The packet's source, inside the subnet.
    ///   - mac: The frame's source.
    ///   - port: The port that received it; the caller has decided that it may have the address,
    ///     and `confirms` does not know it.
    /// - Returns: What is new about it, and whether another address of the port made room.
    mutating func learn(
        _ address: IPAddress,
        mac: MACAddress,
        on port: Int
    ) -> (lesson: Lesson, isReplacing: Bool) {
        latest = (address, mac)
        let earlier = table[address]
        if let earlier, earlier.port == port {
            table.update(address, mac)
            epoch &+= 1
            return (.moved, false)
        }
        epoch &+= 1
        let replaced = table.insert(address, mac, on: port)
        let hasMoved = earlier.map { $0.value != mac } ?? false
        return (hasMoved ? .moved : .new, replaced != nil)
    }

    /// The MAC address of a neighbor, and its port; nil if it is unknown.
    func station(of address: IPAddress) -> (mac: MACAddress, port: Int?)? {
        table[address].map { (mac: $0.value, port: $0.port == Self.closed ? nil : $0.port) }
    }

    /// The MAC address of a neighbor; nil if it is unknown.
    func mac(of address: IPAddress) -> MACAddress? { table[address]?.value }

    /// The IP addresses that use any of these MAC addresses.
    func addresses(of stations: Set<MACAddress>) -> [IPAddress] {
        table.entries.filter { stations.contains($0.value.value) }.map { $0.key }
    }

    /// Makes the table look up the next packet's addresses, because the owner of one may have
    /// changed.
    mutating func forgetLatest() {
        latest = nil
    }

    /// Removes a neighbor.
    mutating func forget(_ address: IPAddress) {
        table.remove(address)
        latest = nil
        epoch &+= 1
    }

    /// Keeps the neighbors of a closed port without a port.
    mutating func close(_ port: Int) {
        for (address, mac) in table.removeAll(on: port) {
            table.insert(address, mac, on: Self.closed)
        }
        latest = nil
        epoch &+= 1
    }
}
