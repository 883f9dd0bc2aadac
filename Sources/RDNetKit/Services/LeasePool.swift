/// Which address belongs to which client, and until when (RFC 2131, 2.2).
///
/// How it works: an address gets an entry when it is first offered. The entry is *offered* for a
/// minute, *bound* for the lease, or *declined* for ten minutes. After that it has *lapsed*: anyone
/// can have the address, but the entry still remembers its holder, who gets it back if it returns
/// in time. A live entry belongs to an identifier and a MAC address together, because cloned VMs
/// send the same identifier: neither can another machine get the address, nor release or decline
/// it. A holder gets, in this order: its fixed address, the one it remembers, a lapsed one of its
/// identifier, the one it requests, the lowest address never used, the address that lapsed first.
/// Reserved addresses, fixed addresses of others, network and broadcast are never given out. The
/// table has at most `capacity` entries, and at most one bound address per holder. When every entry
/// is live, a new holder gets no answer, and nobody loses an address.
struct LeasePool {
    /// How a client identifies itself: by identifier, or else by MAC address (RFC 2131, 4.2).
    enum Client: Hashable {
        case identifier([UInt8])
        case hardware(MACAddress)

        /// Identifies the sender of a message.
        ///
        /// The usual identifier, hardware type 1 and an Ethernet address, counts as that address:
        /// a boot loader that sends none and a system that sends it are one client.
        init(of message: DHCPMessage) {
            // 255 octets is what one option holds; longer ones would only fill the table.
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

    /// One machine: its identification and the MAC address it sends from.
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

    /// How long an offer is kept for its client.
    static let offerTime: Duration = .seconds(60)
    /// How long an address that is in use by a stranger is not given.
    static let quarantine: Duration = .seconds(600)
    /// The most addresses that are remembered, however large the subnet is.
    static let capacity = 4096

    private let subnet: Subnet
    private let reserved: Set<IPAddress>
    private let fixed: [MACAddress: IPAddress]
    private let fixedAddresses: Set<IPAddress>
    private var entries: [IPAddress: Entry] = [:]
    private var addresses: [Holder: IPAddress] = [:]
    /// Whether a MAC address is on an attached link: a client with a new one may take over the live
    /// address of one that is not.
    var isPresent: (MACAddress) -> Bool = { _ in true }

    /// Makes an empty pool.
    ///
    /// - Parameters:
    ///   - subnet: All its host addresses can be given.
    ///   - reserved: But not these.
    ///   - fixed: Addresses that belong to one Ethernet address; those outside the subnet or
    ///     reserved are left out.
    init(subnet: Subnet, reserved: Set<IPAddress>, fixed: [MACAddress: IPAddress]) {
        self.subnet = subnet
        self.reserved = reserved.union([subnet.network, subnet.broadcast])
        let taken = self.reserved
        self.fixed = fixed.filter { subnet.contains($0.value) && !taken.contains($0.value) }
        fixedAddresses = Set(self.fixed.values)
    }

    /// Chooses an address for a client and keeps it for a minute; nil when there is none.
    ///
    /// A bound address stays bound as it is.
    mutating func offer(to holder: Holder, requested: IPAddress?, now: Instant) -> IPAddress? {
        guard let address = choose(for: holder, requested: requested, now: now) else { return nil }
        if isBound(address, to: holder, now: now) { return address }
        enter(address, holder, .offered, until: now + Self.offerTime)
        return address
    }

    /// Binds an address to a client.
    ///
    /// - Parameters:
    ///   - address: What the client asks for.
    ///   - holder: The client.
    ///   - duration: How long.
    ///   - now: The caller's clock.
    /// - Returns: Whether the client may have it: false for a stranger's address, a reserved one,
    ///   one of another network, or a full table.
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

    /// Frees what was offered: the client took another server's offer (RFC 2131, 3.1 item 4).
    mutating func withdrawOffer(to holder: Holder, now: Instant) {
        guard let address = addresses[holder], case .offered? = entries[address]?.standing
        else { return }
        entries[address]?.expires = now
    }

    /// Ends a lease; the address is remembered (RFC 2131, 4.3.4).
    mutating func release(_ address: IPAddress, by holder: Holder, now: Instant) -> Bool {
        guard isBound(address, to: holder, now: now) else { return false }
        entries[address]?.expires = now
        return true
    }

    /// Keeps an address from everyone for a while: its client met a stranger there (RFC 2131,
    /// 4.3.3).
    mutating func decline(_ address: IPAddress, by holder: Holder, now: Instant) -> Bool {
        guard let entry = entries[address], entry.holder == holder, entry.expires > now
        else { return false }
        addresses[holder] = nil
        entries[address]?.standing = .declined
        entries[address]?.expires = now + Self.quarantine
        return true
    }

    /// Addresses that are bound now and by whom, in order of address.
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
        // A client with a fixed address is brought back to it, unless that is in quarantine.
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

    /// The lowest address without an entry; ends after one more step than there are entries.
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

    /// The latest address that a client had with a MAC address that is gone: a VM with a new
    /// network card.
    private func earlierAddress(of client: Client, now: Instant) -> IPAddress? {
        guard case .identifier = client else { return nil }
        return entries.filter { _, entry in
            entry.holder.client == client
                && (entry.expires <= now || isAbandoned(entry, to: client))
        }.max { ($0.value.expires, $1.key.low) < ($1.value.expires, $0.key.low) }?.key
    }

    /// Whether a live entry's machine is gone, and a client is the same one with another MAC
    /// address.
    private func isAbandoned(_ entry: Entry, to client: Client) -> Bool {
        entry.standing != .declined && entry.holder.client == client
            && !isPresent(entry.holder.hardwareAddress)
    }

    private func firstLapsed(now: Instant) -> IPAddress? {
        entries.filter { $0.value.expires <= now && !fixedAddresses.contains($0.key) }
            .min { ($0.value.expires, $0.key.low) < ($1.value.expires, $1.key.low) }?.key
    }

    /// Forgets the entry that lapsed first when the table is full; false when all are live.
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
