/// The guests' Ethernet addresses: one per IPv4 neighbour (RFC 826), learned from their own packets.
struct NeighbourTable {
    /// Neighbours remembered at once; when full, the one heard longest ago goes.
    static let capacity = 4096

    private struct Entry {
        var mac: MACAddress
        var heard: Instant
    }

    /// Grows with every change of an address, so that a cached answer can be told from a current one.
    private(set) var epoch: UInt32 = 0
    private var entries: [IPAddress: Entry] = [:]
    private var latest: (address: IPAddress, mac: MACAddress)?

    /// Learns from a packet that a guest sent.
    ///
    /// - Parameters:
    ///   - address: The packet's source, inside the subnet.
    ///   - mac: The frame's source.
    ///   - now: The caller's clock; this type never reads one.
    @inline(__always)
    mutating func learn(_ address: IPAddress, mac: MACAddress, now: Instant) {
        if let latest, latest.address == address, latest.mac == mac { return }
        latest = (address, mac)
        if entries[address]?.mac != mac {
            if entries[address] == nil, entries.count >= Self.capacity { removeOldest() }
            epoch &+= 1
        }
        entries[address] = Entry(mac: mac, heard: now)
    }

    /// The Ethernet address of a neighbour; nil when it was never heard.
    ///
    /// Entries do not expire: a guest with a new address speaks first, and what it says replaces the old one.
    func mac(of address: IPAddress) -> MACAddress? {
        entries[address]?.mac
    }

    private mutating func removeOldest() {
        guard let oldest = entries.min(by: { $0.value.heard < $1.value.heard }) else { return }
        entries[oldest.key] = nil
    }
}
