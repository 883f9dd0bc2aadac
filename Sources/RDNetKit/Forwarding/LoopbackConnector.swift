/// Connects clients of the host's loopback addresses to a namespace's own, and all other clients
/// through the packet engine.
final class LoopbackConnector: GuestConnector {
    private let namespace: NamespaceConnector
    private unowned let engine: any GuestConnector

    /// Creates a connector.
    ///
    /// - Parameters:
    ///   - namespace: For clients at 127.0.0.1 and ::1.
    ///   - engine: For all others.
    init(_ namespace: NamespaceConnector, else engine: any GuestConnector) {
        self.namespace = namespace
        self.engine = engine
    }

    var hasRoom: Bool { namespace.hasRoom && engine.hasRoom }

    func leads(to address: IPAddress) -> Bool { engine.leads(to: address) }

    func admits(_ client: Endpoint, to guest: Endpoint) -> Bool {
        engine.admits(client, to: guest)
    }

    /// Closes every connection to the namespace's loopback addresses.
    func close() {
        namespace.close()
    }

    /// The same port of the namespace's loopback address in a client's family; nil for clients
    /// elsewhere.
    private func loopback(_ guest: Endpoint, for client: Endpoint?) -> Endpoint? {
        guard let client, client.address.isLoopback else { return nil }
        let address: IPAddress = client.address.isIPv4 ? .loopbackIPv4 : .loopbackIPv6
        return Endpoint(address: address, port: guest.port)
    }

    func connect(to guest: Endpoint, joining stream: consuming OwnedDescriptor) {
        engine.connect(to: guest, joining: stream)
    }

    func connect(
        to destination: ForwarderDestination,
        joining stream: consuming OwnedDescriptor,
        from client: Endpoint?
    ) {
        guard case .tcp(let guest) = destination, let inside = loopback(guest, for: client) else {
            return engine.connect(to: destination, joining: stream)
        }
        namespace.connect(to: inside, joining: stream)
    }

    func openDatagramPort(
        to guest: Endpoint,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)? {
        engine.openDatagramPort(to: guest, receiver: receiver)
    }

    func openDatagramPort(
        to guest: Endpoint,
        from client: Endpoint,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)? {
        guard let inside = loopback(guest, for: client) else {
            return openDatagramPort(to: guest, receiver: receiver)
        }
        return namespace.openDatagramPort(to: inside, receiver: receiver)
    }
}
