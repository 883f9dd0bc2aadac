/// Opens connections and datagram ports to guests for forwards, through the packet engine or the
/// kernel.
protocol GuestConnector: AnyObject {
    /// Whether another connection can be opened.
    var hasRoom: Bool { get }

    /// Whether forwards may lead to an address; any IPv4 address is accepted, as in gvproxy.
    func leads(to address: IPAddress) -> Bool

    /// Whether a host client may exchange datagrams with a guest.
    ///
    /// The client may be the host socket of another guest's flow.
    func admits(_ client: Endpoint, to guest: Endpoint) -> Bool

    /// Opens a TCP connection to a guest and joins it to a host stream.
    ///
    /// If the guest refuses or cannot be reached, the host stream is reset.
    ///
    /// - Parameters:
    ///   - guest: The destination in the virtual network.
    ///   - stream: A connected, non-blocking stream socket; the connector closes it.
    func connect(to guest: Endpoint, joining stream: consuming OwnedDescriptor)

    /// Opens a stream to a port or a unix socket of a guest and joins it to a host stream.
    ///
    /// If the destination refuses or cannot be reached, the host stream is reset.
    ///
    /// - Parameters:
    ///   - destination: Not UDP.
    ///   - stream: A connected, non-blocking stream socket; the connector closes it.
    func connect(to destination: ForwarderDestination, joining stream: consuming OwnedDescriptor)

    /// Does the same, and reports the outcome where the connector learns it.
    ///
    /// - Parameters:
    ///   - destination: Not UDP.
    ///   - stream: A connected, non-blocking stream socket; the connector closes it.
    ///   - answered: Called at most once.
    func connect(
        to destination: ForwarderDestination,
        joining stream: consuming OwnedDescriptor,
        answered: @escaping (GuestAnswer) -> Void
    )

    /// Opens a stream for a client whose address may matter, and joins it to the client's.
    ///
    /// - Parameters:
    ///   - destination: Not UDP.
    ///   - stream: A connected, non-blocking stream socket; the connector closes it.
    ///   - client: The client's address; nil for a unix socket.
    func connect(
        to destination: ForwarderDestination,
        joining stream: consuming OwnedDescriptor,
        from client: Endpoint?
    )

    /// Allocates a UDP port for one host client of a forward.
    ///
    /// - Parameters:
    ///   - guest: The guest endpoint to exchange datagrams with.
    ///   - receiver: Receives the guest's datagrams until the port is closed.
    /// - Returns: The port; nil if none is free.
    func openDatagramPort(
        to guest: Endpoint,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)?

    /// Allocates a UDP port for a client whose address may matter.
    func openDatagramPort(
        to guest: Endpoint,
        from client: Endpoint,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)?
}

extension GuestConnector {
    func connect(
        to destination: ForwarderDestination,
        joining stream: consuming OwnedDescriptor,
        from client: Endpoint?
    ) {
        connect(to: destination, joining: stream)
    }

    func openDatagramPort(
        to guest: Endpoint,
        from client: Endpoint,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)? {
        openDatagramPort(to: guest, receiver: receiver)
    }

    var hasRoom: Bool { true }

    func leads(to address: IPAddress) -> Bool { true }

    func admits(_ client: Endpoint, to guest: Endpoint) -> Bool { true }

    /// Reaches TCP ports only.
    func connect(to destination: ForwarderDestination, joining stream: consuming OwnedDescriptor) {
        guard case .tcp(let guest) = destination else { return Socket.resetOnClose(stream) }
        connect(to: guest, joining: stream)
    }

    /// Reports nothing.
    func connect(
        to destination: ForwarderDestination,
        joining stream: consuming OwnedDescriptor,
        answered: @escaping (GuestAnswer) -> Void
    ) {
        connect(to: destination, joining: stream)
    }
}

/// A UDP port that exchanges datagrams with one guest endpoint.
protocol GuestDatagramPort: AnyObject {
    /// Sends one datagram, which may be empty, to the guest.
    func send(_ payload: UnsafeRawBufferPointer)
    /// Opens the same port for another port of the guest, which has sent a datagram to it.
    ///
    /// - Parameters:
    ///   - guestPort: The guest's other port.
    ///   - receiver: Receives its datagrams until the sibling is closed; a sibling is closed
    ///     separately.
    /// - Returns: The sibling; nil if there is no room.
    func openSibling(
        to guestPort: UInt16,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)?
    /// Releases the port; the receiver gets no more calls.
    func close()
}

/// Receives the guest's datagrams of one port.
protocol GuestDatagramReceiver: AnyObject {
    /// Receives one datagram, which may be empty; the bytes are valid only during the call.
    func receiveFromGuest(_ payload: UnsafeRawBufferPointer, now: Instant)
    /// Closes the port to make room for another client.
    func giveWay()
    /// Receives one datagram that the guest sent from another of its ports.
    ///
    /// - Returns: Whether the receiver accepted it.
    func receiveFromGuest(
        _ payload: UnsafeRawBufferPointer,
        at guestPort: UInt16,
        now: Instant
    ) -> Bool
    /// Reports that no process listens on the guest's port (ICMP port unreachable).
    func guestRefused(now: Instant)
}

extension GuestDatagramReceiver {
    func receiveFromGuest(
        _ payload: UnsafeRawBufferPointer,
        at guestPort: UInt16,
        now: Instant
    ) -> Bool { false }
}
