/// What became of a call to a guest's TCP port.
enum GuestAnswer: Equatable {
    /// The guest took the connection.
    case connected
    /// The guest refused it.
    case refused
    /// The guest has its address, and did not answer in time.
    case silent
    /// Nobody said that the address is theirs (ARP).
    case absent
    /// The address is not one that a guest can have, or there are as many connections as there can
    /// be.
    case impossible
}

/// Is told once what became of a call, with the client's connection while it is still open.
typealias GuestAnswered = (GuestAnswer, borrowing OwnedDescriptor) -> Void
