/// The host names that guests sent with their DHCP requests (RFC 2132, section 3.14).
///
/// A guest may send any name. Only a label of letters, digits and hyphens is stored, and it stands
/// only for the guest's own address. The limit on names is the limit on leases.
struct GuestNames {
    private struct Entry {
        var name: String
        var expires: Instant
    }

    private var entries: [IPAddress: Entry] = [:]

    /// Stores a guest's name, or removes the old name if the guest sent none.
    ///
    /// - Parameters:
    ///   - octets: The option's value; only the first label of a domain name is stored.
    ///   - address: The guest's address.
    ///   - end: When the lease ends.
    ///   - now: The caller's clock.
    mutating func set(_ octets: [UInt8]?, of address: IPAddress, until end: Instant, now: Instant) {
        entries[address] = nil
        guard let name = octets.flatMap(Self.label) else { return }
        if entries.count >= LeasePool.capacity {
            entries = entries.filter { $0.value.expires > now }
        }
        guard entries.count < LeasePool.capacity else { return }
        entries[address] = Entry(name: name, expires: end)
    }

    /// Removes the name of a released address.
    mutating func remove(_ address: IPAddress) {
        entries[address] = nil
    }

    /// Returns the name of the guest at an address.
    func name(of address: IPAddress, now: Instant) -> String? {
        entries[address].flatMap { $0.expires > now ? $0.name : nil }
    }

    /// Returns the address of the guest with a lower-case name; if several share it, the lowest.
    func address(of name: String, now: Instant) -> IPAddress? {
        entries.filter { $0.value.name == name && $0.value.expires > now }.keys.min {
            $0.low < $1.low
        }
    }

    private static func label(_ octets: [UInt8]) -> String? {
        let label = octets.prefix { $0 != 0x2e && $0 != 0 }.map(\.foldedASCII)
        let isHostName = label.allSatisfy { octet in
            (0x61...0x7a).contains(octet) || (0x30...0x39).contains(octet) || octet == 0x2d
        }
        guard isHostName, (1...63).contains(label.count), label.first != 0x2d, label.last != 0x2d
        else { return nil }
        return String(decoding: label, as: UTF8.self)
    }
}
