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
/// remembers, the one whose number its machine has in IPv6, a lapsed or abandoned address of its
/// identifier, the address it requests, the lowest address never used, the address that lapsed
/// first. Reserved addresses, fixed addresses of others, network and broadcast are never leased,
/// and neither is an address that a guest on another link uses without a lease. The table has at
/// most `capacity` entries, and at most one bound address per holder.
///
/// When every entry is live, a new holder gets an address of the link with the most entries, if its
/// own link would still have fewer: a guest that invents clients takes no address away from the
/// guests on other links. That link's offers go first, then its oldest lease. If the new holder's
/// own link has the most entries, the new holder gets no answer.
///
/// An entry is a number in the subnet, and the number belongs to one machine in both families:
/// `LeasePoolHolds` assigns it in IPv6. It has lapsed only when it has in both.
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
            self =
                message.options[.clientIdentifier].flatMap { Client(identifier: $0) }
                ?? .hardware(message.hardwareAddress)
        }

        /// Creates the client with an identifier; nil for an invalid one.
        init?(identifier: [UInt8]) {
            // One option holds 255 bytes; longer identifiers would only fill the table.
            guard (2...255).contains(identifier.count) else { return nil }
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

    /// A lease that may have lapsed, as it survives a restart of the server.
    struct Record: Equatable {
        var address: IPAddress
        var holder: Holder
        /// When the lease ends or ended.
        var expires: Instant
    }

    /// The time for which an offer is reserved for its client.
    static let offerTime: Duration = .seconds(60)
    /// The time for which a declined address is not leased, because another machine uses it.
    static let quarantine: Duration = .seconds(600)
    /// Limit on remembered addresses, regardless of the size of the subnet.
    static let capacity = 4096

    let subnet: Subnet
    private let reserved: Set<IPAddress>
    let fixed: [MACAddress: IPAddress]
    private let fixedHolders: [IPAddress: MACAddress]
    var entries: [IPAddress: Entry] = [:]
    private var addresses: [Holder: IPAddress] = [:]
    /// Whether a MAC address is on an attached link.
    ///
    /// A client with a new MAC address may take over the live address of its old one if that is
    /// absent.
    var isPresent: (MACAddress) -> Bool = { _ in true }
    /// Whether a guest on another link than this one uses an address without a lease.
    var isUsedElsewhere: (IPAddress, _ link: Int) -> Bool = { _, _ in false }

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
        fixedHolders = Dictionary(self.fixed.map { ($0.value, $0.key) }) { first, _ in first }
    }

    /// Chooses an address for a client and reserves it for a minute; returns nil if none is
    /// available.
    ///
    /// An address that is already bound to the client stays bound.
    mutating func offer(
        to holder: Holder,
        on link: Int? = nil,
        requested: IPAddress?,
        now: Instant
    ) -> IPAddress? {
        guard let address = choose(for: holder, on: link, requested: requested, now: now) else {
            return nil
        }
        if isBound(address, to: holder, now: now) { return address }
        enter(address, holder, on: link, .offered, until: now + Self.offerTime, now: now)
        return address
    }

    /// Binds an address to a client.
    ///
    /// - Parameters:
    ///   - address: The address that the client requests.
    ///   - holder: The client.
    ///   - link: The link that the client is on; nil if it is unknown.
    ///   - duration: The duration of the lease.
    ///   - now: The caller's clock.
    /// - Returns: Whether the client may have the address. False if it belongs to another client,
    ///   is reserved, is in another network, or if the table is full.
    mutating func bind(
        _ address: IPAddress,
        to holder: Holder,
        on link: Int? = nil,
        for duration: Duration,
        now: Instant
    ) -> Bool {
        guard isAvailable(address, to: holder, on: link, now: now) else { return false }
        if entries[address] == nil, !makeRoom(for: link, now: now) { return false }
        enter(address, holder, on: link, .bound, until: now + duration, now: now)
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

    /// Every lease, also those that have lapsed, in order of address.
    var records: [Record] {
        entries.filter { $0.value.standing == .bound }
            .map { Record(address: $0, holder: $1.holder, expires: $1.expires) }
            .sorted { $0.address.low < $1.address.low }
    }

    /// Adds a lease of an earlier run; one that has ended is remembered as lapsed.
    ///
    /// - Returns: Whether the holder may still have the address.
    mutating func restore(_ record: Record, now: Instant) -> Bool {
        let rest = max(record.expires - now, .zero)
        return bind(record.address, to: record.holder, for: rest, now: now)
    }

    /// The fixed addresses, in order of address.
    var fixedLeases: [(IPAddress, MACAddress)] {
        fixed.map { ($0.value, $0.key) }.sorted { $0.0.low < $1.0.low }
    }

    /// The MAC address that an address is reserved for or bound to; nil if there is none.
    func holder(of address: IPAddress, now: Instant) -> MACAddress? {
        if let mac = fixedHolders[address] { return mac }
        guard let entry = entries[address], entry.expires > now, entry.standing == .bound else {
            return nil
        }
        return entry.holder.hardwareAddress
    }

    /// Whether a client may have an address now.
    private func isAvailable(
        _ address: IPAddress,
        to holder: Holder,
        on link: Int?,
        now: Instant
    ) -> Bool {
        guard permits(address, to: holder.hardwareAddress, now: now) else { return false }
        let own = fixed[holder.hardwareAddress]
        guard let entry = entries[address], entry.end > now else {
            return own == address || !isUsed(address, elsewhereThan: link)
        }
        if isDeclined(address, now: now) { return false }
        if own == address { return true }
        if let machine = entry.ipv6Holder(now: now), machine != holder.hardwareAddress {
            return isAbandoned(entry, to: holder.client)
        }
        return entry.expires <= now || entry.holder == holder
            || isAbandoned(entry, to: holder.client)
    }

    /// Whether the configuration permits a machine to have an address.
    func permits(_ address: IPAddress, to machine: MACAddress, now: Instant) -> Bool {
        guard subnet.contains(address), !reserved.contains(address) else { return false }
        let own = fixed[machine]
        if fixedHolders[address] != nil, own != address { return false }
        // A client with a fixed address must return to it, unless that address is in quarantine.
        if let own, own != address, !isDeclined(own, now: now) { return false }
        return true
    }

    func isUsed(_ address: IPAddress, elsewhereThan link: Int?) -> Bool {
        guard let link else { return false }
        return isUsedElsewhere(address, link)
    }

    private func isBound(_ address: IPAddress, to holder: Holder, now: Instant) -> Bool {
        guard let entry = entries[address], entry.expires > now, entry.standing == .bound else {
            return false
        }
        return entry.holder == holder
    }

    func isDeclined(_ address: IPAddress, now: Instant) -> Bool {
        guard let entry = entries[address] else { return false }
        return entry.standing == .declined && entry.expires > now
    }

    private mutating func choose(
        for holder: Holder,
        on link: Int?,
        requested: IPAddress?,
        now: Instant
    ) -> IPAddress? {
        let remembered =
            addresses[holder] ?? lastIPv6Number(of: holder.hardwareAddress)
            ?? earlierAddress(of: holder.client, now: now)
        let wishes = [fixed[holder.hardwareAddress], remembered, requested]
        for case let wish? in wishes where isAvailable(wish, to: holder, on: link, now: now) {
            return entries[wish] != nil || makeRoom(for: link, now: now) ? wish : nil
        }
        return newAddress(for: link, now: now)
    }

    /// Returns an address for a machine without one; nil if none is free.
    func newAddress(for link: Int?, now: Instant) -> IPAddress? {
        if entries.count < Self.capacity, let fresh = lowestUnknownAddress(for: link) {
            return fresh
        }
        return firstLapsed(for: link, now: now) ?? firstOfCrowdedLink(for: link)
    }

    /// Returns the lowest address without an entry; skips reserved, fixed and used addresses.
    ///
    /// The search takes at most one step more than the number of entries and skipped addresses.
    private func lowestUnknownAddress(for link: Int?) -> IPAddress? {
        for number in 1..<(subnet.size - 1) {
            let address = subnet.host(number)
            if entries[address] == nil, !reserved.contains(address),
                fixedHolders[address] == nil, !isUsed(address, elsewhereThan: link)
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

    private func firstLapsed(for link: Int?, now: Instant) -> IPAddress? {
        entries.filter { address, entry in
            entry.end <= now && fixedHolders[address] == nil
                && !isUsed(address, elsewhereThan: link)
        }.min { ($0.value.end, $0.key.low) < ($1.value.end, $1.key.low) }?.key
    }

    /// Returns the address that the link with the most entries gives up for a client on another
    /// link; nil if that link has only one entry more.
    private func firstOfCrowdedLink(for link: Int?) -> IPAddress? {
        guard let link else { return nil }
        let dynamic = entries.filter { fixedHolders[$0.key] == nil }
        let links = Dictionary(grouping: dynamic) { $0.value.link }
        let own = links[link]?.count ?? 0
        guard let crowd = links.values.max(by: { $0.count < $1.count }), crowd.count > own + 1
        else { return nil }
        return crowd.min { one, other in
            let order = { (entry: Entry) in (entry.isOffer ? 0 : 1, entry.end) }
            return order(one.value) < order(other.value)
        }?.key
    }

    /// Removes an entry if the table is full; returns false if no entry gives way.
    mutating func makeRoom(for link: Int?, now: Instant) -> Bool {
        if entries.count < Self.capacity { return true }
        guard let address = firstLapsed(for: nil, now: now) ?? firstOfCrowdedLink(for: link) else {
            return false
        }
        forget(address)
        return true
    }

    mutating func forget(_ address: IPAddress) {
        guard let entry = entries.removeValue(forKey: address) else { return }
        if addresses[entry.holder] == address { addresses[entry.holder] = nil }
    }

    private mutating func enter(
        _ address: IPAddress,
        _ holder: Holder,
        on link: Int?,
        _ standing: Standing,
        until expires: Instant,
        now: Instant
    ) {
        let hold = entries[address]?.hold
        forget(address)
        if let previous = addresses[holder] { leave(previous, now: now) }
        entries[address] = Entry(
            holder: holder,
            standing: standing,
            expires: expires,
            link: link,
            hold: hold.flatMap { $0.hardwareAddress == holder.hardwareAddress ? $0 : nil }
        )
        addresses[holder] = address
    }

    /// Ends a holder's use of an address for another one; in IPv6 the machine may still have it.
    private mutating func leave(_ address: IPAddress, now: Instant) {
        guard var entry = entries[address], entry.ipv6Holder(now: now) != nil else {
            return forget(address)
        }
        entry.standing = .offered
        entry.expires = min(entry.expires, now)
        entries[address] = entry
    }
}
