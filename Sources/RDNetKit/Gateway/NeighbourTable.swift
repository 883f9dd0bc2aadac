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
    /// - Returns: Whether another Ethernet address had the IP address before.
    @inline(__always)
    mutating func learn(_ address: IPAddress, mac: MACAddress, now: Instant) -> Bool {
        if let latest, latest.address == address, latest.mac == mac { return false }
        latest = (address, mac)
        let earlier = entries.updateValue(Entry(mac: mac, heard: now), forKey: address)?.mac
        if earlier == mac { return false }
        epoch &+= 1
        if entries.count > Self.capacity { removeOldest() }
        return earlier != nil
    }

    /// The Ethernet address of a neighbour; nil when it was never heard.
    ///
    /// Entries do not expire: a guest with a new address speaks first, and what it says replaces the old one.
    func mac(of address: IPAddress) -> MACAddress? {
        entries[address]?.mac
    }

    /// The IP addresses of some Ethernet addresses.
    func addresses(of stations: Set<MACAddress>) -> [IPAddress] {
        entries.filter { stations.contains($0.value.mac) }.map { $0.key }
    }

    private mutating func removeOldest() {
        guard let oldest = entries.min(by: { $0.value.heard < $1.value.heard }) else { return }
        entries[oldest.key] = nil
    }
}
