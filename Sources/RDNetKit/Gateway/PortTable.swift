/// Addresses and the switch port of each, a limited number per port.
///
/// An address belongs to one port at a time. When a port has as many addresses as it may have, its
/// own oldest address makes room, so a guest that invents addresses costs other guests nothing.
struct PortTable<Address: Hashable, Value> {
    /// An address's port, and what else is known about it.
    struct Entry {
        var port: Int
        var value: Value
    }

    /// The addresses of one port in learning order; once full, a ring that starts at `oldest`.
    ///
    /// An address that has left the port stays in the ring until its turn comes.
    private struct Ring {
        var addresses: [Address] = []
        var oldest = 0
    }

    private let limit: Int
    private(set) var entries: [Address: Entry] = [:]
    private var rings: [Int: Ring] = [:]
    private var counts: [Int: Int] = [:]

    /// Creates an empty table.
    ///
    /// - Parameter limit: Addresses per port.
    init(limit: Int) {
        self.limit = limit
    }

    /// The entry of an address; nil if it is unknown.
    @inline(__always)
    subscript(address: Address) -> Entry? { entries[address] }

    /// The number of addresses of a port.
    func count(on port: Int) -> Int { counts[port] ?? 0 }

    /// Changes the value of a known address.
    mutating func update(_ address: Address, _ value: Value) {
        entries[address]?.value = value
    }

    /// Adds an address, or moves it to another port.
    ///
    /// - Parameters:
    ///   - address: Not on this port.
    ///   - value: What else is known about it.
    ///   - port: Its port from now on.
    /// - Returns: The port's oldest address if it had to make room.
    @discardableResult
    mutating func insert(_ address: Address, _ value: Value, on port: Int) -> Address? {
        remove(address)
        entries[address] = Entry(port: port, value: value)
        counts[port, default: 0] += 1
        var ring = rings.removeValue(forKey: port) ?? Ring()
        defer { rings[port] = ring }
        guard ring.addresses.count == limit else {
            ring.addresses.append(address)
            return nil
        }
        let candidate = ring.addresses[ring.oldest]
        ring.addresses[ring.oldest] = address
        ring.oldest = (ring.oldest + 1) % limit
        guard candidate != address, entries[candidate]?.port == port else { return nil }
        remove(candidate)
        return candidate
    }

    /// Removes an address.
    mutating func remove(_ address: Address) {
        guard let entry = entries.removeValue(forKey: address) else { return }
        counts[entry.port, default: 1] -= 1
    }

    /// Removes and returns the addresses of a port with their values.
    @discardableResult
    mutating func removeAll(on port: Int) -> [(address: Address, value: Value)] {
        let removed = entries.filter { $0.value.port == port }
        for address in removed.keys { entries[address] = nil }
        rings[port] = nil
        counts[port] = nil
        return removed.map { (address: $0.key, value: $0.value.value) }
    }
}
