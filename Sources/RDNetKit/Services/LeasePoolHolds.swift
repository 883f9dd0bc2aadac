/// The numbers of machines in IPv6.
///
/// A machine is a MAC address: all of its DHCPv6 clients have one address, as they have one
/// interface. It gets the first available number in this order: its fixed one, that of its IPv4
/// lease, the one it has, that of its earlier IPv4 lease, the one it requests, a new one. An IPv4
/// client on the machine likewise gets the number that the machine has, so the family that comes
/// first does not matter. If IPv4 moves to another number nevertheless (a client may insist on an
/// address from before a restart), IPv6 follows when its lease is renewed.
///
/// Numbers appear here as the IPv4 addresses that have them.
extension LeasePool {
    /// Chooses a machine's number in IPv6 and assigns it.
    ///
    /// - Parameters:
    ///   - machine: The MAC address.
    ///   - link: The link that the machine is on; nil if it is unknown.
    ///   - requested: The number that the machine asks for; nil if it asks for none.
    ///   - duration: The duration of the lease; nil only reserves the number for a minute.
    ///   - now: The caller's clock.
    /// - Returns: The number; nil if none is available.
    mutating func hold(
        for machine: MACAddress,
        on link: Int? = nil,
        requested: IPAddress? = nil,
        for duration: Duration?,
        now: Instant
    ) -> IPAddress? {
        guard let number = choose(for: machine, on: link, requested: requested, now: now) else {
            return nil
        }
        let current = ipv6Number(of: machine, now: now)
        let isBound = current == number && entries[number]?.hold?.standing == .bound
        // An offer does not shorten a lease.
        if duration == nil, isBound { return number }
        if let current, current != number { entries[current]?.hold = nil }
        let hold = IPv6Hold(
            hardwareAddress: machine,
            standing: duration == nil ? .offered : .bound,
            expires: now + (duration ?? Self.offerTime)
        )
        enter(hold, at: number, on: link, now: now)
        return number
    }

    /// Adds a lease of an earlier run in IPv6; one that has ended is remembered as lapsed.
    ///
    /// - Returns: Whether the machine may still have the number.
    mutating func restore(_ record: IPv6Record, now: Instant) -> Bool {
        let (number, machine) = (record.number, record.mac)
        guard permitsIPv6(number, to: machine, now: now),
            entries[number] != nil || makeRoom(for: nil, now: now)
        else { return false }
        let expires = max(record.expires, now)
        let hold = IPv6Hold(hardwareAddress: machine, standing: .bound, expires: expires)
        enter(hold, at: number, on: nil, now: now)
        return true
    }

    private mutating func enter(
        _ hold: IPv6Hold,
        at number: IPAddress,
        on link: Int?,
        now: Instant
    ) {
        let machine = hold.hardwareAddress
        if entries[number]?.holder.hardwareAddress != machine {
            forget(number)
            // Nobody has it in IPv4, and an IPv4 client on the machine can have it.
            entries[number] = Entry(
                holder: Holder(client: .hardware(machine), hardwareAddress: machine),
                standing: .offered,
                expires: now,
                link: link
            )
        }
        entries[number]?.hold = hold
        if let link { entries[number]?.link = link }
    }

    /// The number that a machine has in IPv6, offered or bound; nil if there is none.
    func ipv6Number(of machine: MACAddress, now: Instant) -> IPAddress? {
        lastIPv6Number(of: machine).flatMap { number in
            entries[number]?.ipv6Holder(now: now) == nil ? nil : number
        }
    }

    /// The number that a machine has or had last in IPv6; nil if none is remembered.
    func lastIPv6Number(of machine: MACAddress) -> IPAddress? {
        var last: (number: IPAddress, expires: Instant)?
        for (number, entry) in entries {
            guard let hold = entry.hold, hold.hardwareAddress == machine,
                hold.standing != .declined, last.map({ $0.expires < hold.expires }) ?? true
            else { continue }
            last = (number, hold.expires)
        }
        return last?.number
    }

    /// Whether a machine could have a number in IPv6: it has it, or nobody else has.
    func permitsIPv6(
        _ number: IPAddress,
        to machine: MACAddress,
        on link: Int? = nil,
        now: Instant
    ) -> Bool {
        guard permits(number, to: machine, now: now) else { return false }
        let isOwn = fixed[machine] == number
        guard let entry = entries[number], entry.end > now else {
            return isOwn || link.map { !isUsedElsewhere(number, $0) } ?? true
        }
        if entry.hold?.standing == .declined, entry.ipv6Holder(now: now) != nil { return false }
        if isDeclined(number, now: now) { return false }
        if isOwn { return true }
        if let holder = entry.ipv6Holder(now: now) { return holder == machine }
        return entry.holder.hardwareAddress == machine
    }

    /// Ends a machine's lease in IPv6.
    ///
    /// - Returns: Whether it had the number.
    mutating func releaseIPv6(_ number: IPAddress, by machine: MACAddress, now: Instant) -> Bool {
        guard ipv6Number(of: machine, now: now) == number else { return false }
        entries[number]?.hold?.expires = now
        return true
    }

    /// Blocks a number for a while, because its machine found another one there (RFC 8415,
    /// 18.3.8).
    ///
    /// - Returns: Whether it had the number.
    mutating func declineIPv6(_ number: IPAddress, by machine: MACAddress, now: Instant) -> Bool {
        guard ipv6Number(of: machine, now: now) == number else { return false }
        entries[number]?.hold?.standing = .declined
        entries[number]?.hold?.expires = now + Self.quarantine
        return true
    }

    /// Every lease in IPv6, also those that have lapsed, in order of number.
    var ipv6Records: [IPv6Record] {
        entries.compactMap { number, entry in
            guard let hold = entry.hold, hold.standing == .bound else { return nil }
            return IPv6Record(number: number, mac: hold.hardwareAddress, expires: hold.expires)
        }.sorted { $0.number.low < $1.number.low }
    }

    private mutating func choose(
        for machine: MACAddress,
        on link: Int?,
        requested: IPAddress?,
        now: Instant
    ) -> IPAddress? {
        let wishes = [fixed[machine]] + numbers(of: machine, now: now) + [requested]
        for case let wish? in wishes where permitsIPv6(wish, to: machine, on: link, now: now) {
            return entries[wish] != nil || makeRoom(for: link, now: now) ? wish : nil
        }
        return newAddress(for: link, now: now)
    }

    /// The numbers of a machine's entries: of a current IPv4 lease, a current IPv6 lease, earlier
    /// ones, the latest of each first.
    private func numbers(of machine: MACAddress, now: Instant) -> [IPAddress?] {
        func rank(_ entry: Entry) -> Int {
            if entry.holder.hardwareAddress == machine, entry.expires > now { return 2 }
            return entry.ipv6Holder(now: now) == machine ? 1 : 0
        }
        return entries.filter { _, entry in
            entry.holder.hardwareAddress == machine || entry.hold?.hardwareAddress == machine
        }.sorted { one, other in
            (rank(one.value), one.value.end, other.key.low)
                > (rank(other.value), other.value.end, one.key.low)
        }.map(\.key)
    }
}
