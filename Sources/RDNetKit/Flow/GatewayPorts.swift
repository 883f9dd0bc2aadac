/// Gateway UDP ports that are taken, each for one guest endpoint.
struct GatewayPorts {
    /// Takes the datagrams of one port.
    typealias Receiver = (UnsafeRawBufferPointer, Instant) -> Void

    /// Ports at once.
    private static let capacity = 8192

    private struct Key: Hashable {
        var guest: Endpoint
        var port: UInt16
    }

    private var receivers: [Key: Receiver] = [:]
    /// Kept apart, because the data path has no use for them.
    private var refusals: [Key: (Instant) -> Void] = [:]
    private var next: UInt16 = 49_152

    /// Takes a port for datagrams to and from a guest endpoint.
    ///
    /// - Parameters:
    ///   - guest: The only one whose datagrams are taken.
    ///   - receiver: Is given them.
    ///   - refused: Is called when the guest reports that nobody listens at the endpoint.
    /// - Returns: The port; nil when none is free.
    mutating func open(
        to guest: Endpoint,
        _ receiver: @escaping Receiver,
        refused: @escaping (Instant) -> Void
    ) -> UInt16? {
        guard receivers.count < Self.capacity else { return nil }
        for _ in 0..<Self.capacity + 1 {
            next = next == UInt16.max ? 49_152 : next + 1
            let key = Key(guest: guest, port: next)
            guard receivers[key] == nil else { continue }
            receivers[key] = receiver
            refusals[key] = refused
            return next
        }
        return nil
    }

    /// Gives a port back.
    mutating func close(_ port: UInt16, guest: Endpoint) {
        receivers[Key(guest: guest, port: port)] = nil
        refusals[Key(guest: guest, port: port)] = nil
    }

    /// Notifies the owner of a port that the guest refused one of its datagrams.
    func refuse(guest: Endpoint, port: UInt16, now: Instant) {
        refusals[Key(guest: guest, port: port)]?(now)
    }

    /// Hands a datagram to the port's receiver.
    ///
    /// - Parameters:
    ///   - payload: Lent for the call.
    ///   - guest: Its sender.
    ///   - port: Its destination.
    ///   - now: The turn's clock.
    /// - Returns: Whether the port is taken.
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
}
