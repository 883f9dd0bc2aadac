/// The guests' MAC addresses: one per IPv4 neighbor (RFC 826), learned from their own packets.
struct NeighbourTable {
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
    /// - Returns: Whether the address is new or has moved to another MAC address.
    @inline(__always)
    mutating func learn(_ address: IPAddress, mac: MACAddress, now: Instant) -> Bool {
        if let latest, latest.address == address, latest.mac == mac { return false }
        latest = (address, mac)
        let isNew = entries[address]?.mac != mac
        if isNew {
            if entries[address] == nil, entries.count >= Self.capacity { removeOldest() }
            epoch &+= 1
        }
        entries[address] = Entry(mac: mac, heard: now)
        return isNew
    }

    /// The MAC address of a neighbor; nil if it is unknown.
    ///
    /// Entries do not expire: a guest with a new address sends first, and that replaces the old
    /// entry.
    func mac(of address: IPAddress) -> MACAddress? {
        entries[address]?.mac
    }

    private mutating func removeOldest() {
        guard let oldest = entries.min(by: { $0.value.heard < $1.value.heard }) else { return }
        entries[oldest.key] = nil
    }
}
