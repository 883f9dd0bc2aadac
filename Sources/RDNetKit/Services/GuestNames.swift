/// The host names that guests gave when they got their addresses (RFC 2132, section 3.14).
///
/// A guest may give any name: only a label of letters, digits and hyphens is kept, and it stands
/// for nothing but its own address. There are at most as many names as leases.
struct GuestNames {
    private struct Entry {
        var name: String
        var expires: Instant
    }

    private var entries: [IPAddress: Entry] = [:]

    /// Keeps what a guest called itself, or forgets its name when it gave none.
    ///
    /// - Parameters:
    ///   - octets: The option's value; of a domain name, the first label.
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

    /// Forgets the name of an address that was given back.
    mutating func remove(_ address: IPAddress) {
        entries[address] = nil
    }

    /// What the guest at an address calls itself.
    func name(of address: IPAddress, now: Instant) -> String? {
        entries[address].flatMap { $0.expires > now ? $0.name : nil }
    }

    /// The address of the guest that calls itself so, in lower case; of several, the lowest.
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
