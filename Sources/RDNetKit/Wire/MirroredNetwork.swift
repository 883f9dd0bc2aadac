/// The host's own network as the guests' network: the guest has the host's address in it, or one
/// that its user chose, and every other address belongs to a machine that the host reaches.
///
/// The gateway answers ARP for all of these machines, so the guest sends everything to it.
struct MirroredNetwork: Equatable, Sendable {
    /// The guest's IPv4 address.
    var guest: IPAddress
    /// Answers DNS queries, wherever it lies; nil for none.
    var resolver: IPAddress?

    /// Whether the gateway answers ARP for an address: for any but the sender's own.
    ///
    /// A sender that asks for the guest's address checks whether it is free (RFC 5227).
    func answers(for target: IPAddress, askedBy sender: IPAddress) -> Bool {
        target != guest && target != sender && !target.isUnspecified
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
