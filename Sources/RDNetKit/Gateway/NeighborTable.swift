/// The guests' MAC addresses: one per IPv4 neighbor (RFC 826), learned from their own packets.
struct NeighborTable {
    /// What the table learned from a packet's source addresses.
    enum Lesson {
        /// Nothing.
        case known
        /// The IP address has moved from another MAC address.
        case moved
        /// A new IP address.
        case new
    }

    /// Limit on neighbors; when full, the one heard longest ago makes room.
    static let capacity = 4096

    private struct Entry {
        var mac: MACAddress
        var heard: Instant
    }

    /// Incremented with every change of an address, so that callers can detect stale cached
    /// results.
    private(set) var epoch: UInt32 = 0
    private var entries: [IPAddress: Entry] = [:]
    private var latest: (address: IPAddress, mac: MACAddress)?

    /// Learns from a guest's packet.
    ///
    /// - Parameters:
    ///   - address: The packet's source, inside the subnet.
    ///   - mac: The frame's source.
    ///   - now: The caller's clock; this type never reads one.
    /// - Returns: What was new about it.
    @inline(__always)
    mutating func learn(_ address: IPAddress, mac: MACAddress, now: Instant) -> Lesson {
        if let latest, latest.address == address, latest.mac == mac { return .known }
        latest = (address, mac)
        let earlier = entries.updateValue(Entry(mac: mac, heard: now), forKey: address)?.mac
        if earlier == mac { return .known }
        epoch &+= 1
        if entries.count > Self.capacity { removeOldest() }
        return earlier == nil ? .new : .moved
    }

    /// The MAC address of a neighbor; nil if it is unknown.
    ///
    /// Entries do not expire: a guest with a new address sends first, and that replaces the old
    /// entry.
    func mac(of address: IPAddress) -> MACAddress? {
        entries[address]?.mac
    }

    /// The IP addresses that use any of these MAC addresses.
    func addresses(of stations: Set<MACAddress>) -> [IPAddress] {
        entries.filter { stations.contains($0.value.mac) }.map { $0.key }
    }

    private mutating func removeOldest() {
        guard let oldest = entries.min(by: { $0.value.heard < $1.value.heard }) else { return }
        entries[oldest.key] = nil
    }
}
