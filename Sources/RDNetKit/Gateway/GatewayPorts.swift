/// The gateway's allocated UDP ports, each for one guest endpoint.
struct GatewayPorts {
    /// Receives the datagrams of one port.
    typealias Receiver = (UnsafeRawBufferPointer, Instant) -> Void

    /// Takes a datagram that came from another port of the guest; false leaves it to others.
    typealias StrayReceiver = (UnsafeRawBufferPointer, _ guestPort: UInt16, Instant) -> Bool

    /// Ports at once: a client or two for each of some ten thousand forwards.
    static let capacity = 65_536
    /// The first of the ports that forwards take (RFC 6335, 6).
    private static let first: UInt16 = 49_152
    /// How many ports are tried for one that no other endpoint of the same guest uses.
    private static let preferredAttempts = 64

    private struct Key: Hashable {
        var guest: Endpoint
        var port: UInt16
    }

    /// A port as one guest sees it, whichever of its own ports it sends from.
    private struct Owner: Hashable {
        var guest: IPAddress
        var port: UInt16
    }

    private var receivers: [Key: Receiver] = [:]
    /// Kept apart, because the data path has no use for them.
    private var refusals: [Key: (Instant) -> Void] = [:]
    private var owners: [Owner: (guestPort: UInt16, receive: StrayReceiver)] = [:]
    private var next = first

    /// Allocates a port for datagrams to and from a guest endpoint.
    ///
    /// - Parameters:
    ///   - guest: The only endpoint whose datagrams are accepted.
    ///   - receiver: Receives them.
    ///   - refused: Called when the guest reports that the port is closed.
    /// - Returns: The port; nil if none is free.
    mutating func open(
        to guest: Endpoint,
        _ receiver: @escaping Receiver,
        refused: @escaping (Instant) -> Void
    ) -> UInt16? {
        guard receivers.count < Self.capacity else { return nil }
        for attempt in 0...Int(UInt16.max - Self.first) {
            next = next == UInt16.max ? Self.first : next + 1
            let key = Key(guest: guest, port: next)
            guard receivers[key] == nil else { continue }
            let isShared = owners[Owner(guest: guest.address, port: next)] != nil
            guard !isShared || attempt >= Self.preferredAttempts else { continue }
            receivers[key] = receiver
            refusals[key] = refused
            return next
        }
        return nil
    }

    /// Takes a port that is in use for one endpoint of a guest for another endpoint as well.
    ///
    /// - Returns: Whether it was free there.
    mutating func open(
        _ port: UInt16,
        to guest: Endpoint,
        _ receiver: @escaping Receiver,
        refused: @escaping (Instant) -> Void
    ) -> Bool {
        let key = Key(guest: guest, port: port)
        guard receivers.count < Self.capacity, receivers[key] == nil else { return false }
        receivers[key] = receiver
        refusals[key] = refused
        return true
    }

    /// Lets the owner of a port see what the guest sends there from its other ports.
    mutating func watchStrays(
        of guest: Endpoint,
        at port: UInt16,
        _ receiver: @escaping StrayReceiver
    ) {
        let owner = Owner(guest: guest.address, port: port)
        if owners[owner] == nil { owners[owner] = (guest.port, receiver) }
    }

    /// Releases a port.
    mutating func close(_ port: UInt16, guest: Endpoint) {
        receivers[Key(guest: guest, port: port)] = nil
        let owner = Owner(guest: guest.address, port: port)
        if owners[owner]?.guestPort == guest.port { owners[owner] = nil }
        refusals[Key(guest: guest, port: port)] = nil
    }

    /// Notifies the owner of a port that the guest refused one of its datagrams.
    ///
    /// - Returns: Whether the port is allocated.
    @discardableResult
    func refuse(guest: Endpoint, port: UInt16, now: Instant) -> Bool {
        guard let refused = refusals[Key(guest: guest, port: port)] else { return false }
        refused(now)
        return true
    }

    /// Passes a datagram to the port's receiver.
    ///
    /// - Parameters:
    ///   - payload: Valid only during the call.
    ///   - guest: Its sender.
    ///   - port: Its destination.
    ///   - now: The turn's clock.
    /// - Returns: Whether the port is allocated.
    func deliver(
        _ payload: UnsafeRawBufferPointer,
        from guest: Endpoint,
        to port: UInt16,
        now: Instant
    ) -> Bool {
        guard !receivers.isEmpty, let receiver = receivers[Key(guest: guest, port: port)] else {
            return false
        }
        receiver(payload, now)
        return true
    }

    /// Hands a datagram from an endpoint that no port was taken for to the owner of its
    /// destination.
    ///
    /// - Parameters:
    ///   - payload: Valid only during the call.
    ///   - guest: Its sender.
    ///   - port: Its destination.
    ///   - now: The turn's clock.
    /// - Returns: Whether the owner took it.
    func deliverStray(
        _ payload: UnsafeRawBufferPointer,
        from guest: Endpoint,
        to port: UInt16,
        now: Instant
    ) -> Bool {
        guard port >= Self.first, let owner = owners[Owner(guest: guest.address, port: port)] else {
            return false
        }
        return owner.receive(payload, guest.port, now)
    }
}
