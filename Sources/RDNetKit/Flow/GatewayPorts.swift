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
    private var next: UInt16 = 49_152

    /// Takes a port for datagrams to and from a guest endpoint.
    ///
    /// - Parameters:
    ///   - guest: The only one whose datagrams are taken.
    ///   - receiver: Is given them.
    /// - Returns: The port; nil when none is free.
    mutating func open(to guest: Endpoint, _ receiver: @escaping Receiver) -> UInt16? {
        guard receivers.count < Self.capacity else { return nil }
        for _ in 0..<Self.capacity + 1 {
            next = next == UInt16.max ? 49_152 : next + 1
            let key = Key(guest: guest, port: next)
            guard receivers[key] == nil else { continue }
            receivers[key] = receiver
            return next
        }
        return nil
    }

    /// Gives a port back.
    mutating func close(_ port: UInt16, guest: Endpoint) {
        receivers[Key(guest: guest, port: port)] = nil
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
