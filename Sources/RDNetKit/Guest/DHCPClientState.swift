/// Where a client is in the life of a lease (RFC 2131, figure 5).
enum DHCPClientState: Equatable, Sendable {
    /// Not started, or stopped.
    case stopped
    /// DHCPDISCOVER went out; any offer will do.
    case selecting
    /// DHCPREQUEST for an offer went out.
    case requesting(offer: DHCPMessage)
    /// The link came back: DHCPREQUEST asks whether the lease still holds there (INIT-REBOOT).
    case rebooting(HeldLease)
    /// Nothing to do until T1.
    case bound(HeldLease)
    /// T1 has passed: the server is asked.
    case renewing(HeldLease)
    /// T2 has passed: any server is asked.
    case rebinding(HeldLease)
}

/// A lease and the moments that follow from when it was asked for (RFC 2131, 4.4.1).
struct HeldLease: Equatable, Sendable {
    var lease: DHCPLease
    var renewal: Instant
    var rebinding: Instant
    /// nil for a lease without end.
    var expiry: Instant?
}

/// What happens to a client.
enum DHCPClientEvent {
    case started
    /// `nextDeadline` has come.
    case deadlinePassed
    case received(DHCPMessage)
    /// The network may be another one now.
    case linkRestored
    /// The lease is given back.
    case stopped
}

/// What a client wants done.
enum DHCPClientAction: Equatable {
    /// To 255.255.255.255, from 0.0.0.0 or the leased address.
    case broadcast(DHCPMessage)
    /// From the leased address to a server's.
    case unicast(DHCPMessage, to: IPAddress)
    /// The interface takes the lease's address and parameters.
    case configure(DHCPLease, renewed: Bool)
    /// The interface loses its address; also the first action of all.
    case deconfigure
    /// Nobody answered a round of DHCPDISCOVER; the next follows.
    case reportSilence
    /// A server said no.
    case reportRefusal(DHCPMessage)
}
