/// Why a packet was dropped; a counter exists for each reason.
enum DropReason: String, CaseIterable, Sendable {
    /// Shorter than its headers, or with contradictory lengths.
    case malformed
    /// A wrong checksum.
    case badChecksum = "bad_checksum"
    /// A source address outside the subnet.
    case badSource = "bad_source"
    /// A destination that cannot be forwarded.
    case noRoute = "no_route"
    /// 169.254.0.0/16 while it is not allowed.
    case refusedDestination = "refused_destination"
    /// An EtherType or IP protocol that the gateway does not support.
    case unknownProtocol = "unknown_protocol"
    /// A fragment of a packet that was never completed.
    case fragment
    /// A full table or queue.
    case full
    /// The host's kernel refused to create a socket or to send.
    case hostError = "host_error"
    /// A datagram from a host that the guest never contacted.
    case unsolicited
    /// No guest has the destination address.
    case noNeighbor = "no_neighbour"
}

/// Why a packet needs no answer from the gateway although it is valid; healthy guests send all of
/// these.
enum IgnoreReason: String, CaseIterable, Sendable {
    /// IPv6 to a group: router and neighbor solicitations, MLD.
    case ipv6
    /// IPv4 to a group or broadcast without a service here: IGMP, mDNS, SSDP.
    case ipv4Group = "ipv4_group"
    /// Another protocol to a group: LLDP, spanning tree.
    case other
}

/// Dropped packets by reason.
struct DropCounters {
    private var counts = [UInt64](repeating: 0, count: DropReason.allCases.count)

    /// Counts one packet.
    mutating func count(_ reason: DropReason) {
        guard let index = DropReason.allCases.firstIndex(of: reason) else { return }
        counts[index] &+= 1
    }

    /// The count of one reason.
    func count(of reason: DropReason) -> UInt64 {
        all.first { $0.reason == reason }?.count ?? 0
    }

    /// Every reason with its count.
    var all: [(reason: DropReason, count: UInt64)] {
        zip(DropReason.allCases, counts).map { (reason: $0, count: $1) }
    }

    /// The total.
    var total: UInt64 { counts.reduce(0, &+) }
}
