/// Why a packet was not passed on; each is counted.
enum DropReason: String, CaseIterable, Sendable {
    /// Shorter than its headers, or with lengths that contradict each other.
    case malformed
    /// A checksum that does not add up.
    case badChecksum = "bad_checksum"
    /// A source address that no guest has.
    case badSource = "bad_source"
    /// A destination that nothing is forwarded to.
    case noRoute = "no_route"
    /// 169.254.0.0/16 without permission.
    case refusedDestination = "refused_destination"
    /// An EtherType or IP protocol that the gateway does not speak.
    case unknownProtocol = "unknown_protocol"
    /// A fragment whose packet was not completed.
    case fragment
    /// No room in a table or queue.
    case full
    /// The host refused to make a socket or to send.
    case hostError = "host_error"
    /// A datagram from a host that the guest has not spoken to.
    case unsolicited
    /// No guest has the destination address.
    case noNeighbour = "no_neighbour"
}

/// How many packets were dropped, by reason.
struct DropCounters {
    private var counts = [UInt64](repeating: 0, count: DropReason.allCases.count)

    /// Counts one packet.
    mutating func count(_ reason: DropReason) {
        guard let index = DropReason.allCases.firstIndex(of: reason) else { return }
        counts[index] &+= 1
    }

    /// The number of one reason.
    func count(of reason: DropReason) -> UInt64 {
        all.first { $0.reason == reason }?.count ?? 0
    }

    /// Every reason and its number.
    var all: [(reason: DropReason, count: UInt64)] {
        zip(DropReason.allCases, counts).map { (reason: $0, count: $1) }
    }

    /// All of them together.
    var total: UInt64 { counts.reduce(0, &+) }
}
