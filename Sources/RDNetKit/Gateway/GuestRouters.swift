/// The addresses outside the subnet that lie behind guests, such as those of their containers.
///
/// The gateway connects to them for the forwards that a guest has asked for, and routes nothing
/// else to them. An address lies behind one guest at a time.
struct GuestRouters {
    /// Limit on addresses; when full, those without a forward make room.
    static let maximumAddresses = 4_096

    private struct Way {
        var guest: IPAddress
        /// The forwards that lead to the address.
        var forwards: Int
    }

    private var ways: [IPAddress: Way] = [:]

    /// The neighbor to which packets for an address go: a guest, or the guest in front of it.
    @inline(__always)
    func neighbor(toward address: IPAddress) -> IPAddress {
        ways.isEmpty ? address : ways[address]?.guest ?? address
    }

    /// The guest in front of an address; nil if it lies behind none.
    func guest(inFrontOf address: IPAddress) -> IPAddress? { ways[address]?.guest }

    /// The addresses behind a guest.
    func addresses(behind guest: IPAddress) -> [IPAddress] {
        ways.filter { $0.value.guest == guest }.map(\.key)
    }

    /// Adds a forward to an address.
    ///
    /// - Returns: Whether it lies behind this guest now; not if forwards lead to it through
    ///   another one, or if the table is full.
    mutating func add(_ address: IPAddress, behind guest: IPAddress) -> Bool {
        if let way = ways[address], way.forwards > 0 {
            guard way.guest == guest else { return false }
            ways[address]?.forwards += 1
            return true
        }
        if ways.count >= Self.maximumAddresses { ways = ways.filter { $0.value.forwards > 0 } }
        guard ways.count < Self.maximumAddresses else { return false }
        ways[address] = Way(guest: guest, forwards: 1)
        return true
    }

    /// Removes a forward; the address stays reachable for the connections that are left.
    mutating func remove(_ address: IPAddress) {
        if let way = ways[address], way.forwards > 0 { ways[address]?.forwards -= 1 }
    }
}
