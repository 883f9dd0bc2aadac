/// The host names that guests sent with their DHCP requests (RFC 2132, section 3.14) and DHCPv6
/// messages (RFC 4704).
///
/// A guest may send any name. Only a label of letters, digits and hyphens is stored, and it stands
/// only for the guest's own address. Each lease has at most one name; the limit on names is the
/// limit on leases of both families.
struct GuestNames {
    private struct Entry {
        var name: String
        /// When the guest first sent the name, without a pause since.
        var claimed: Instant
        var expires: Instant
    }

    private static let capacity = 2 * LeasePool.capacity

    private var entries: [IPAddress: Entry] = [:]

    /// Stores a guest's name, or removes the old name if the guest sent none.
    ///
    /// - Parameters:
    ///   - octets: The option's value; only the first label of a domain name is stored.
    ///   - address: The leased address.
    ///   - end: When the lease ends.
    ///   - now: The caller's clock.
    mutating func set(_ octets: [UInt8]?, of address: IPAddress, until end: Instant, now: Instant) {
        let former = entries.removeValue(forKey: address).flatMap { $0.expires > now ? $0 : nil }
        guard let name = octets.flatMap(Self.label) else { return }
        if entries.count >= Self.capacity {
            entries = entries.filter { $0.value.expires > now }
        }
        guard entries.count < Self.capacity else { return }
        let claimed = former.flatMap { $0.name == name ? $0.claimed : nil } ?? now
        entries[address] = Entry(name: name, claimed: claimed, expires: end)
    }

    /// Removes the name of a released address.
    mutating func remove(_ address: IPAddress) {
        entries[address] = nil
    }

    /// Returns the name that was sent with the lease of an address.
    func name(of address: IPAddress, now: Instant) -> String? {
        entries[address].flatMap { $0.expires > now ? $0.name : nil }
    }

    /// Returns the address of the guest with a lower-case name.
    ///
    /// If several guests share the name, it belongs to the first one; among equals to IPv4 and the
    /// lowest address.
    func address(of name: String, now: Instant) -> IPAddress? {
        func rank(_ address: IPAddress, _ entry: Entry) -> (Instant, Int, UInt64) {
            (entry.claimed, address.isIPv4 ? 0 : 1, address.low)
        }
        return entries.filter { $0.value.name == name && $0.value.expires > now }
            .min { rank($0.key, $0.value) < rank($1.key, $1.value) }?.key
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
