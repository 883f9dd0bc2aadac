/// The outcome of a connection attempt to a guest's TCP port.
enum GuestAnswer: Equatable {
    /// The guest accepted the connection.
    case connected
    /// The guest refused it.
    case refused
    /// The guest's address is known, but it did not answer in time.
    case silent
    /// Nobody answered ARP for the address.
    case absent
    /// The address cannot belong to a guest, or the limit on connections is reached.
    case impossible
}

/// Called once with the outcome, and with the client's connection if it is still open.
typealias GuestAnswered = (GuestAnswer, borrowing OwnedDescriptor) -> Void
