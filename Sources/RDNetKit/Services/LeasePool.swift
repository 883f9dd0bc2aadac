/// The assignment of addresses to clients, with its duration (RFC 2131, 2.2).
///
/// How it works: An address gets an entry when it is first offered. The entry is *offered* for a
/// minute, *bound* for the lease, or *declined* for ten minutes. After that it has *lapsed*: any
/// client can get the address, but the entry still remembers its holder, who gets it back if it
/// returns in time. A live entry belongs to an identifier and a MAC address together, because
/// cloned VMs send the same identifier. Another machine can therefore neither get the address nor
/// release or decline it, unless the same client returns with a new MAC address and the old one is
/// no longer present.
///
/// A holder gets the first available address in this order: its fixed address, the address it
/// remembers, a lapsed or abandoned address of its identifier, the address it requests, the lowest
/// address never used, the address that lapsed first. Reserved addresses, fixed addresses of
/// others, network and broadcast are never leased. The table has at most `capacity` entries, and at
/// most one bound address per holder. When every entry is live, a new holder gets no answer, and no
/// holder loses its address.
struct LeasePool {
    /// A client's identity: its identifier, or else its MAC address (RFC 2131, 4.2).
    enum Client: Hashable {
        case identifier([UInt8])
        case hardware(MACAddress)

        /// Identifies the sender of a message.
        ///
        /// The usual identifier, hardware type 1 and a MAC address, counts as that MAC address. A
        /// boot loader that sends no identifier and a system that sends this one are thus the same
        /// client.
        init(of message: DHCPMessage) {
            // One option holds 255 bytes; longer identifiers would only fill the table.
            guard let identifier = message.options[.clientIdentifier],
                (2...255).contains(identifier.count)
            else {
                self = .hardware(message.hardwareAddress)
                return
            }
            if identifier.count == 7, identifier[0] == 1 {
                let address = identifier[1...].reduce(0) { $0 << 8 | UInt64($1) }
                self = .hardware(MACAddress(rawValue: address))
            } else {
                self = .identifier(identifier)
            }
        }
    }

    /// One machine: its identity and the MAC address it sends from.
    struct Holder: Hashable {
        var client: Client
        var hardwareAddress: MACAddress
    }

    private enum Standing {
        case offered
        case bound
        case declined
    }

    private struct Entry {
        var holder: Holder
        var standing: Standing
        var expires: Instant
    }

    /// The time for which an offer is reserved for its client.
    static let offerTime: Duration = .seconds(60)
    /// The time for which a declined address is not leased, because another machine uses it.
    static let quarantine: Duration = .seconds(600)
    /// Limit on remembered addresses, regardless of the size of the subnet.
    static let capacity = 4096

    private let subnet: Subnet
    private let reserved: Set<IPAddress>
    private let fixed: [MACAddress: IPAddress]
    private let fixedAddresses: Set<IPAddress>
    private var entries: [IPAddress: Entry] = [:]
    private var addresses: [Holder: IPAddress] = [:]
    /// Whether a MAC address is on an attached link.
    ///
    /// A client with a new MAC address may take over the live address of its old one if that is
    /// absent.
    var isPresent: (MACAddress) -> Bool = { _ in true }

    /// Creates an empty pool.
    ///
    /// - Parameters:
    ///   - subnet: The subnet whose host addresses are leased.
    ///   - reserved: Addresses that are never leased.
    ///   - fixed: Addresses by MAC address; addresses that are reserved or outside the subnet are
    ///     ignored.
    init(subnet: Subnet, reserved: Set<IPAddress>, fixed: [MACAddress: IPAddress]) {
        self.subnet = subnet
        self.reserved = reserved.union([subnet.network, subnet.broadcast])
        let taken = self.reserved
        self.fixed = fixed.filter { subnet.contains($0.value) && !taken.contains($0.value) }
        fixedAddresses = Set(self.fixed.values)
    }

    /// Chooses an address for a client and reserves it for a minute; returns nil if none is
    /// available.
    ///
    /// An address that is already bound to the client stays bound.
    mutating func offer(to holder: Holder, requested: IPAddress?, now: Instant) -> IPAddress? {
        guard let address = choose(for: holder, requested: requested, now: now) else { return nil }
        if isBound(address, to: holder, now: now) { return address }
        enter(address, holder, .offered, until: now + Self.offerTime)
        return address
    }

    /// Binds an address to a client.
    ///
    /// - Parameters:
    ///   - address: The address that the client requests.
    ///   - holder: The client.
    ///   - duration: The duration of the lease.
    ///   - now: The caller's clock.
    /// - Returns: Whether the client may have the address. False if it belongs to another client,
    ///   is reserved, is in another network, or if the table is full.
    mutating func bind(
        _ address: IPAddress,
        to holder: Holder,
        for duration: Duration,
        now: Instant
    ) -> Bool {
        guard isAvailable(address, to: holder, now: now) else { return false }
        if entries[address] == nil, !makeRoom(now: now) { return false }
        enter(address, holder, .bound, until: now + duration)
        return true
    }

    /// Withdraws an offer, because the client took another server's (RFC 2131, 3.1 item 4).
    mutating func withdrawOffer(to holder: Holder, now: Instant) {
        guard let address = addresses[holder], case .offered? = entries[address]?.standing
        else { return }
        entries[address]?.expires = now
    }

    /// Ends a lease; the entry still remembers its holder (RFC 2131, 4.3.4).
    mutating func release(_ address: IPAddress, by holder: Holder, now: Instant) -> Bool {
        guard isBound(address, to: holder, now: now) else { return false }
        entries[address]?.expires = now
        return true
    }

    /// Blocks an address for a while, because its client found another machine there (RFC 2131,
    /// 4.3.3).
    mutating func decline(_ address: IPAddress, by holder: Holder, now: Instant) -> Bool {
        guard let entry = entries[address], entry.holder == holder, entry.expires > now
        else { return false }
        addresses[holder] = nil
        entries[address]?.standing = .declined
        entries[address]?.expires = now + Self.quarantine
        return true
    }

    /// The currently bound addresses and their MAC addresses, in order of address.
    func leases(now: Instant) -> [(IPAddress, MACAddress)] {
        entries.filter { $0.value.expires > now && $0.value.standing == .bound }
            .map { ($0.key, $0.value.holder.hardwareAddress) }
            .sorted { $0.0.low < $1.0.low }
    }

    /// The fixed addresses, in order of address.
    var fixedLeases: [(IPAddress, MACAddress)] {
        fixed.map { ($0.value, $0.key) }.sorted { $0.0.low < $1.0.low }
    }

    /// Whether a client may have an address now.
    private func isAvailable(_ address: IPAddress, to holder: Holder, now: Instant) -> Bool {
        guard subnet.contains(address), !reserved.contains(address) else { return false }
        let own = fixed[holder.hardwareAddress]
        if fixedAddresses.contains(address), own != address { return false }
        // A client with a fixed address must return to it, unless that address is in quarantine.
        if let own, own != address, !isDeclined(own, now: now) { return false }
        guard let entry = entries[address], entry.expires > now else { return true }
        if entry.standing == .declined { return false }
        return entry.holder == holder || own == address || isAbandoned(entry, to: holder.client)
    }

    private func isBound(_ address: IPAddress, to holder: Holder, now: Instant) -> Bool {
        guard let entry = entries[address], entry.expires > now, entry.standing == .bound else {
            return false
        }
        return entry.holder == holder
    }

    private func isDeclined(_ address: IPAddress, now: Instant) -> Bool {
        guard let entry = entries[address] else { return false }
        return entry.standing == .declined && entry.expires > now
    }

    private mutating func choose(
        for holder: Holder,
        requested: IPAddress?,
        now: Instant
    ) -> IPAddress? {
        let remembered = addresses[holder] ?? earlierAddress(of: holder.client, now: now)
        let wishes = [fixed[holder.hardwareAddress], remembered, requested]
        for case let wish? in wishes where isAvailable(wish, to: holder, now: now) {
            return entries[wish] != nil || makeRoom(now: now) ? wish : nil
        }
        if entries.count < Self.capacity, let fresh = lowestUnknownAddress() { return fresh }
        return firstLapsed(now: now)
    }

    /// Returns the lowest address without an entry; skips reserved and fixed addresses.
    ///
    /// The search takes at most one step more than the number of entries and skipped addresses.
    private func lowestUnknownAddress() -> IPAddress? {
        for number in 1..<(subnet.size - 1) {
            let address = subnet.host(number)
            if entries[address] == nil, !reserved.contains(address),
                !fixedAddresses.contains(address)
            {
                return address
            }
        }
        return nil
    }

    /// Returns the latest address that a client had with an absent MAC address, or whose entry
    /// lapsed.
    ///
    /// This finds the address of a VM with a new network card.
    private func earlierAddress(of client: Client, now: Instant) -> IPAddress? {
        guard case .identifier = client else { return nil }
        return entries.filter { _, entry in
            entry.holder.client == client
                && (entry.expires <= now || isAbandoned(entry, to: client))
        }.max { ($0.value.expires, $1.key.low) < ($1.value.expires, $0.key.low) }?.key
    }

    /// Whether a client may take over an entry: it is the same client, and the old MAC address is
    /// absent.
    private func isAbandoned(_ entry: Entry, to client: Client) -> Bool {
        entry.standing != .declined && entry.holder.client == client
            && !isPresent(entry.holder.hardwareAddress)
    }

    private func firstLapsed(now: Instant) -> IPAddress? {
        entries.filter { $0.value.expires <= now && !fixedAddresses.contains($0.key) }
            .min { ($0.value.expires, $0.key.low) < ($1.value.expires, $1.key.low) }?.key
    }

    /// Removes the entry that lapsed first if the table is full; returns false if all are live.
    private mutating func makeRoom(now: Instant) -> Bool {
        if entries.count < Self.capacity { return true }
        guard let address = firstLapsed(now: now) else { return false }
        forget(address)
        return true
    }

    private mutating func forget(_ address: IPAddress) {
        guard let entry = entries.removeValue(forKey: address) else { return }
        if addresses[entry.holder] == address { addresses[entry.holder] = nil }
    }

    private mutating func enter(
        _ address: IPAddress,
        _ holder: Holder,
        _ standing: Standing,
        until expires: Instant
    ) {
        forget(address)
        if let previous = addresses[holder] { forget(previous) }
        entries[address] = Entry(holder: holder, standing: standing, expires: expires)
        addresses[holder] = address
    }
}
