/// The newest datagram to each guest whose MAC address is unknown, kept until ARP answers.
///
/// RFC 1122, 2.3.2.2: save at least the latest packet to an unresolved address. Both the number of
/// datagrams and their bytes are bounded; when full, the oldest makes room.
struct WaitingDatagrams {
    /// Limit on addresses.
    static let capacity = 64
    /// Limit on the bytes of all datagrams.
    static let maximumBytes = 1 << 18
    /// How long a datagram is worth delivering.
    static let lifetime: Duration = .seconds(3)
    /// The minimum interval between ARP requests for one address (RFC 1122, 2.3.2.1).
    static let requestInterval: Duration = .seconds(1)

    /// A datagram and its two endpoints as the guest sees them.
    struct Datagram: Equatable {
        let source: Endpoint
        let guest: Endpoint
        let payload: [UInt8]
    }

    private struct Entry {
        var datagram: Datagram
        var arrived: Instant
        var requested: Instant
    }

    private var entries: [IPAddress: Entry] = [:]
    private var byteCount = 0

    var isEmpty: Bool { entries.isEmpty }

    /// Keeps a datagram in place of an earlier one to the same address.
    ///
    /// - Parameters:
    ///   - datagram: One for a guest whose MAC address is unknown.
    ///   - now: The turn's clock.
    /// - Returns: Whether an ARP request for the address is due, and the datagrams that were
    ///   discarded.
    mutating func keep(
        _ datagram: Datagram,
        now: Instant
    ) -> (requestIsDue: Bool, discarded: Int) {
        var discarded = 0
        let previous = remove(datagram.guest.address)
        if previous != nil { discarded += 1 }
        guard datagram.payload.count <= Self.maximumBytes else { return (false, discarded + 1) }
        while entries.count >= Self.capacity
            || byteCount + datagram.payload.count > Self.maximumBytes
        {
            guard let oldest = entries.min(by: { $0.value.arrived < $1.value.arrived }) else {
                break
            }
            _ = remove(oldest.key)
            discarded += 1
        }
        let requested = previous?.requested
        let isDue = requested.map { $0 + Self.requestInterval <= now } ?? true
        byteCount += datagram.payload.count
        entries[datagram.guest.address] = Entry(
            datagram: datagram,
            arrived: now,
            requested: isDue ? now : requested ?? now
        )
        return (isDue, discarded)
    }

    /// Removes the datagram for a guest that was just heard.
    ///
    /// - Parameters:
    ///   - guest: The guest's address.
    ///   - now: The turn's clock.
    /// - Returns: The datagram; nil if there is none or it is too old.
    mutating func take(_ guest: IPAddress, now: Instant) -> Datagram? {
        guard let entry = remove(guest), entry.arrived + Self.lifetime > now else { return nil }
        return entry.datagram
    }

    private mutating func remove(_ guest: IPAddress) -> Entry? {
        guard let entry = entries.removeValue(forKey: guest) else { return nil }
        byteCount -= entry.datagram.payload.count
        return entry
    }
}
