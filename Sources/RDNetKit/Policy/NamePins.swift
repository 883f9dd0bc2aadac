/// Which names each guest has resolved to which addresses: the only way in which an address gets a
/// name here.
///
/// Limits: addresses of one guest, names of one address, guests. What exceeds them is forgotten
/// oldest first, so that a rule with that name no longer matches: a full table allows less, never
/// more.
struct NamePins {
    /// A name that a guest received an address for.
    struct Name: Equatable {
        /// Normalized.
        let text: String
        /// Whether rdnet answered from its own zones or the host's hosts file, which may lead
        /// anywhere.
        let isLocal: Bool
    }

    /// Programs keep addresses for longer than their time to live.
    static let minimumLifetime = Duration.seconds(60)
    static let maximumLifetime = Duration.seconds(86_400)
    static let addressesPerGuest = 16_384
    static let namesPerAddress = 16
    static let maximumGuests = 256

    fileprivate struct Pin {
        let name: Name
        var expires: Instant
    }

    fileprivate struct Guest {
        var pins: [IPAddress: [Pin]] = [:]
        /// Addresses in the order in which they were first pinned; those before `oldest` are gone.
        var order: [IPAddress] = []
        var oldest = 0
        var lastUsed: Instant
    }

    private var guests: [MACAddress: Guest] = [:]

    /// The number of pinned addresses of all guests, expired ones included.
    var count: Int { guests.values.reduce(0) { $0 + $1.pins.count } }

    /// Records an answer.
    ///
    /// - Parameters:
    ///   - address: As the guest sees it.
    ///   - name: The name in the query.
    ///   - timeToLive: In seconds.
    ///   - guest: Who received the answer.
    ///   - now: The loop's clock.
    mutating func pin(
        _ address: IPAddress,
        to name: Name,
        timeToLive: UInt32,
        for guest: MACAddress,
        now: Instant
    ) {
        if guests[guest] == nil, guests.count >= Self.maximumGuests { forgetOneGuest() }
        let lifetime = min(
            max(.seconds(Int64(timeToLive)), Self.minimumLifetime),
            Self.maximumLifetime
        )
        guests[guest, default: Guest(lastUsed: now)].lastUsed = now
        guests[guest]?.pin(address, Pin(name: name, expires: now + lifetime), now: now)
    }

    private mutating func forgetOneGuest() {
        let idlest = guests.min { $0.value.lastUsed < $1.value.lastUsed }
        if let idlest { guests[idlest.key] = nil }
    }

    /// The names of an address, for one guest.
    func names(of address: IPAddress, for guest: MACAddress, now: Instant) -> [Name] {
        guard let pins = guests[guest]?.pins[address] else { return [] }
        return pins.filter { $0.expires > now }.map(\.name)
    }

    /// The most recent name of an address, for reports: not even an expired one is wrong there.
    func lastName(of address: IPAddress, for guest: MACAddress) -> String? {
        guests[guest]?.pins[address]?.last?.name.text
    }
}

extension NamePins.Guest {
    fileprivate mutating func pin(_ address: IPAddress, _ pin: NamePins.Pin, now: Instant) {
        if pins[address] == nil {
            if pins.count >= NamePins.addressesPerGuest { forgetOldest() }
            order.append(address)
        }
        var names = pins[address] ?? []
        names.removeAll { $0.name.text == pin.name.text || $0.expires <= now }
        if names.count >= NamePins.namesPerAddress { names.removeFirst() }
        names.append(pin)
        pins[address] = names
    }

    private mutating func forgetOldest() {
        pins[order[oldest]] = nil
        oldest += 1
        // The consumed front is as long as the rest: removing it costs a constant per pin.
        if oldest >= NamePins.addressesPerGuest {
            order.removeFirst(oldest)
            oldest = 0
        }
    }
}
