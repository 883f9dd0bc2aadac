/// What a forward asks of whatever leads to guests, the packet engine or the kernel: connections
/// and datagrams.
protocol GuestConnector: AnyObject {
    /// Whether one more connection can be opened.
    var hasRoom: Bool { get }

    /// Opens a TCP connection to a guest and joins it to a host stream.
    ///
    /// A guest that refuses or cannot be reached resets the host stream.
    ///
    /// - Parameters:
    ///   - guest: Where to connect to, in the virtual network.
    ///   - stream: A connected, non-blocking stream socket; the connector closes it.
    func connect(to guest: Endpoint, joining stream: consuming OwnedDescriptor)

    /// Takes a UDP port for one host client of a forward.
    ///
    /// - Parameters:
    ///   - guest: The only guest endpoint that datagrams go to and come from.
    ///   - receiver: Is given the guest's datagrams until the port is closed.
    /// - Returns: The port; nil if none is free.
    func openDatagramPort(
        to guest: Endpoint,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)?
}

extension GuestConnector {
    var hasRoom: Bool { true }
}

/// A UDP port that talks to one guest endpoint.
protocol GuestDatagramPort: AnyObject {
    /// Sends one datagram, which may be empty, to the guest.
    func send(_ payload: UnsafeRawBufferPointer)
    /// Takes the same port for another port of the guest, which has sent a datagram to it.
    ///
    /// - Parameters:
    ///   - guestPort: The guest's other port.
    ///   - receiver: Receives its datagrams until the sibling is closed; a sibling is closed
    ///     separately.
    /// - Returns: The sibling; nil when there is no room.
    func openSibling(
        to guestPort: UInt16,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)?
    /// Gives the port back; the receiver is not called any more.
    func close()
}

/// Who takes a guest's datagrams of one port.
protocol GuestDatagramReceiver: AnyObject {
    /// Takes one datagram, which may be empty; the octets are good during the call only.
    func receiveFromGuest(_ payload: UnsafeRawBufferPointer, now: Instant)
    /// Closes the port, which another client needs more.
    func giveWay()
    /// Takes one datagram that the guest sent from another of its ports.
    ///
    /// - Returns: Whether it was taken.
    func receiveFromGuest(
        _ payload: UnsafeRawBufferPointer,
        at guestPort: UInt16,
        now: Instant
    ) -> Bool
    /// Takes the guest's report that nobody listens on its port (ICMP port unreachable).
    func guestRefused(now: Instant)
}

extension GuestDatagramReceiver {
    func receiveFromGuest(
        _ payload: UnsafeRawBufferPointer,
        at guestPort: UInt16,
        now: Instant
    ) -> Bool { false }
}
