/// Reassembles fragments of both families (RFC 791, 3.2; RFC 1122, 3.3.2; RFC 8200, 4.5).
///
/// Three bounds: incomplete packets, buffered bytes, and time. An overlap discards the packet, as
/// RFC 5722 requires for IPv6: legitimate fragments never overlap, and overlaps were once used to
/// pass firewalls.
struct FragmentReassembler {
    /// Time limit for the rest of a packet (RFC 1122, 3.3.2 suggests 60 s; Linux waits 30).
    static let lifetime: Duration = .seconds(30)
    /// The same for IPv6 (RFC 8200, 4.5).
    static let lifetimeIPv6: Duration = .seconds(60)
    /// Limit on incomplete packets; when full, the oldest makes room.
    static let maximumPackets = 64
    /// Limit on buffered bytes over all packets.
    static let maximumOctets = 4 << 20
    private static let maximumFragments = 256

    private struct Key: Hashable {
        var source: IPAddress
        var destination: IPAddress
        var identification: UInt32
        /// Zero for IPv6, whose fragments may disagree (RFC 8200, 4.5).
        var transport: UInt8

        var lifetime: Duration {
            source.isIPv4 ? FragmentReassembler.lifetime : FragmentReassembler.lifetimeIPv6
        }
    }

    /// The first fragment of an incomplete packet, which an error quotes (RFC 792).
    struct Remains {
        var header: IPHeader
        var payload: [UInt8]
    }

    private struct Packet {
        var began: Instant
        /// The header of the fragment at offset 0, once it arrived.
        var first: IPHeader?
        var fragments: [(offset: Int, octets: [UInt8])] = []
        var held = 0
        var total: Int?

        var remains: Remains? {
            guard let first, let payload = fragments.first?.octets else { return nil }
            return Remains(header: first, payload: payload)
        }
    }

    private var packets: [Key: Packet] = [:]
    private var held = 0

    /// When `expire` is due next; nil while nothing is incomplete.
    var nextDeadline: Instant? {
        packets.lazy.map { $0.value.began + $0.key.lifetime }.min()
    }

    /// Whether no packet is incomplete.
    var isEmpty: Bool { packets.isEmpty }

    /// The outcome of one fragment.
    enum Outcome: Equatable {
        /// The payload is complete; its header is that of the first fragment.
        case complete(IPHeader, [UInt8])
        /// More fragments are missing.
        case waiting
        /// The fragment or its whole packet was discarded.
        case discarded
    }

    /// Adds one fragment; the caller has already called `expire`.
    ///
    /// - Parameters:
    ///   - header: The fragment's header.
    ///   - payload: Its payload.
    ///   - now: The caller's clock.
    /// - Returns: The whole payload if this fragment completed it.
    mutating func receive(
        _ header: IPHeader,
        _ payload: UnsafeRawBufferPointer,
        now: Instant
    ) -> Outcome {
        let key = Key(
            source: header.source,
            destination: header.destination,
            identification: header.identification,
            transport: header.isIPv4 ? header.transport : 0
        )
        let end = header.fragmentOffset + payload.count
        // All fragments but the last are multiples of eight; none is empty or exceeds the largest
        // packet.
        guard !payload.isEmpty, end <= 65_535 - (header.isIPv4 ? IPHeader.lengthIPv4 : 0),
            !header.moreFragments || payload.count % 8 == 0
        else { return .discarded }
        if packets[key] == nil { makeRoom() }
        var packet = packets[key] ?? Packet(began: now)
        held -= packet.held
        guard add(payload, at: header.fragmentOffset, isLast: !header.moreFragments, to: &packet),
            held + packet.held <= Self.maximumOctets
        else {
            packets[key] = nil
            return .discarded
        }
        if header.fragmentOffset == 0 { packet.first = header }
        if packet.total == packet.held {
            packets[key] = nil
            // All octets are there, so the first fragment is.
            return .complete(packet.first ?? header, packet.fragments.flatMap { $0.octets })
        }
        held += packet.held
        packets[key] = packet
        return .waiting
    }

    private func add(
        _ payload: UnsafeRawBufferPointer,
        at offset: Int,
        isLast: Bool,
        to packet: inout Packet
    ) -> Bool {
        let end = offset + payload.count
        if let total = packet.total, end > total || isLast && end != total { return false }
        let fragments = packet.fragments
        let index = fragments.firstIndex { $0.offset >= offset } ?? fragments.count
        if index < fragments.count, fragments[index].offset < end {
            // An exact duplicate is harmless; any other overlap is not.
            return fragments[index].offset == offset
                && fragments[index].octets.count == payload.count
        }
        if index > 0, fragments[index - 1].offset + fragments[index - 1].octets.count > offset {
            return false
        }
        guard fragments.count < Self.maximumFragments else { return false }
        if isLast {
            if let last = fragments.last, last.offset + last.octets.count > end { return false }
            packet.total = end
        }
        packet.fragments.insert((offset, Array(payload)), at: index)
        packet.held += payload.count
        return true
    }

    /// Removes packets whose time limit has passed.
    ///
    /// - Parameter now: The caller's clock.
    /// - Returns: The first fragment of each; nil for one whose first fragment never arrived.
    mutating func expire(now: Instant) -> [Remains?] {
        guard packets.contains(where: { now - $0.value.began >= $0.key.lifetime }) else {
            return []
        }
        var given: [Remains?] = []
        for (key, packet) in packets where now - packet.began >= key.lifetime {
            held -= packet.held
            packets[key] = nil
            given.append(packet.remains)
        }
        return given
    }

    private mutating func makeRoom() {
        guard packets.count >= Self.maximumPackets,
            let oldest = packets.min(by: { $0.value.began < $1.value.began })
        else { return }
        held -= oldest.value.held
        packets[oldest.key] = nil
    }
}
