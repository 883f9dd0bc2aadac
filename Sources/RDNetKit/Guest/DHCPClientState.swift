/// A client's state in the life cycle of a lease (RFC 2131, figure 5).
enum DHCPClientState: Equatable, Sendable {
    /// Not started, or stopped.
    case stopped
    /// DHCPDISCOVER was sent; any offer is acceptable.
    case selecting
    /// DHCPREQUEST for an offer was sent.
    case requesting(offer: DHCPMessage)
    /// The link is back; DHCPREQUEST verifies that the lease is still valid (INIT-REBOOT).
    case rebooting(HeldLease)
    /// The lease is valid; nothing to do until T1.
    case bound(HeldLease)
    /// T1 has passed: the client requests a renewal from its server.
    case renewing(HeldLease)
    /// T2 has passed: the client requests a renewal from any server.
    case rebinding(HeldLease)
}

/// A lease, and its deadlines, counted from the time of its request (RFC 2131, 4.4.1).
struct HeldLease: Equatable, Sendable {
    var lease: DHCPLease
    var renewal: Instant
    var rebinding: Instant
    /// Nil for an infinite lease.
    var expiry: Instant?
}

/// The events that a client handles.
enum DHCPClientEvent {
    case started
    /// `nextDeadline` has passed.
    case deadlinePassed
    case received(DHCPMessage)
    /// The link is back; it may lead to another network now.
    case linkRestored
    /// The client must release the lease.
    case stopped
}

/// The actions that a client requests.
enum DHCPClientAction: Equatable {
    /// To 255.255.255.255, from 0.0.0.0 or the leased address.
    case broadcast(DHCPMessage)
    /// From the leased address to a server's.
    case unicast(DHCPMessage, to: IPAddress)
    /// Configure the interface with the lease's address and parameters.
    case configure(DHCPLease, renewed: Bool)
    /// Remove the interface's address; also the very first action.
    case deconfigure
    /// No server answered a round of DHCPDISCOVER; the next round follows.
    case reportSilence
    /// A server refused.
    case reportRefusal(DHCPMessage)
}
