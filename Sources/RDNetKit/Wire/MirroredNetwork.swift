/// The host's own network as the guests' network: the guest has the host's addresses in it, or
/// those that its user chose, and every other address belongs to a machine that the host reaches.
///
/// The gateway answers ARP and neighbor solicitations for all of these machines, so the guest sends
/// everything to it.
struct MirroredNetwork: Equatable, Sendable {
    /// The guest's IPv4 address.
    var guest: IPAddress
    /// Answers DNS queries, wherever it lies; nil for none.
    var resolver: IPAddress?
    /// Whether the guest has IPv4; without it, its address only numbers its lease.
    var hasIPv4 = true
    /// The IPv6 side; nil for none.
    var ipv6: MirroredIPv6?

    /// Whether the gateway answers ARP for an address: for any but the sender's own.
    ///
    /// A sender that asks for the guest's address checks whether it is free (RFC 5227).
    func answers(for target: IPAddress, askedBy sender: IPAddress) -> Bool {
        target != guest && target != sender && !target.isUnspecified
    }
}

/// The IPv6 side of the host's own network.
struct MirroredIPv6: Equatable, Sendable {
    /// The prefix of the guest's address.
    var prefix: IPv6Prefix
    var guest: IPAddress
    /// The router that the guest knows, by its link-local address.
    var router: IPAddress
    /// The address that the guest sees as the client of a forward.
    var hostAlias: IPAddress
    /// Answers DNS queries, wherever it lies; nil for none.
    var resolver: IPAddress?
    /// Whether the guest may form addresses of its own in the prefix.
    var isAutonomous = true
    /// Whether the gateway takes part in neighbor discovery.
    var discoversNeighbors = true
    /// Whether it sends router advertisements.
    var advertises = true
    var servesLeases = true

    /// Whether the gateway answers a neighbor solicitation: for any address but the guest's own.
    ///
    /// A sender without an address checks whether the target is free (RFC 4862, 5.4).
    func answers(for target: IPAddress, askedBy sender: IPAddress) -> Bool {
        !target.isIPv4 && target != guest && target != sender && !sender.isUnspecified
            && !target.isLinkLocal && !target.isMulticast && target.high != 0
    }
}

/// The transports whose packets go no further than the gateway.
struct SilencedTransports: OptionSet, Sendable {
    let rawValue: UInt8

    static let tcp = SilencedTransports(rawValue: 1)
    static let udp = SilencedTransports(rawValue: 2)
    /// Echo requests.
    static let icmp = SilencedTransports(rawValue: 4)
}
