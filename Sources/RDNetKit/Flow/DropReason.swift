/// Why a packet was dropped; a counter exists for each reason.
enum DropReason: String, CountedReason, Sendable {
    /// Shorter than its headers, or with contradictory lengths.
    case malformed
    /// A wrong checksum.
    case badChecksum = "bad_checksum"
    /// A source address outside the subnet, or one of the gateway's own.
    case badSource = "bad_source"
    /// A MAC address that belongs to another link.
    case takenMAC = "taken_mac"
    /// An IP address that belongs to another link.
    case takenAddress = "taken_address"
    /// A router advertisement, a redirect, or a DHCP server's message from a guest.
    case routerMessage = "router_message"
    /// Another guest's address while guests are isolated.
    case isolated
    /// A destination that cannot be forwarded.
    case noRoute = "no_route"
    /// A destination that guests are kept from: 169.254.0.0/16, the host's loopback where that is
    /// wanted, or this program's own listeners.
    case refusedDestination = "refused_destination"
    /// A destination that the egress policy denies.
    case policy
    /// A frame beyond the rate that a guest is limited to.
    case rate
    /// An EtherType or IP protocol that the gateway does not support.
    case unknownProtocol = "unknown_protocol"
    /// A fragment of a packet that was never completed.
    case fragment
    /// A full table or queue.
    case full
    /// The host's kernel refused to create a socket or to send.
    case hostError = "host_error"
    /// A datagram from a host that the guest never contacted, or an echo reply without a request.
    case unsolicited
    /// No guest has the destination address.
    case noNeighbor = "no_neighbour"

    static let family = MetricFamily(
        "Drops",
        metric: "dropped_packets",
        label: "reason",
        "Packets from guests and hosts that were not passed on, by reason."
    )
}

/// Why a packet needs no answer from the gateway although it is valid; healthy guests send all of
/// these.
enum IgnoreReason: String, CountedReason, Sendable {
    /// IPv6 to a group: router and neighbor solicitations, MLD.
    case ipv6
    /// IPv4 to a group or broadcast without a service here: IGMP, mDNS, SSDP.
    case ipv4Group = "ipv4_group"
    /// Another protocol to a group: LLDP, spanning tree.
    case other

    /// The reason to ignore a frame to a group that nothing here handles.
    init(_ header: EthernetHeader) {
        switch header.kind {
        case EthernetHeader.Kind.ipv4: self = .ipv4Group
        case EthernetHeader.Kind.ipv6: self = .ipv6
        default: self = .other
        }
    }

    static let family = MetricFamily(
        "Ignored",
        metric: "ignored_packets",
        label: "reason",
        "Valid packets to a group that need no answer, by reason."
    )
}

/// Dropped packets by reason.
typealias DropCounters = ReasonCounters<DropReason>
/// Packets without a need for an answer, by reason.
typealias IgnoreCounters = ReasonCounters<IgnoreReason>
