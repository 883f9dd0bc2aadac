/// Connects to a namespace's own loopback addresses: sockets inside it, relayed by the kernel.
final class NamespaceConnector: GuestConnector {
    /// A client's stream until its socket in the namespace arrives.
    private final class WaitingClient {
        private var stream: OwnedDescriptor?

        init(_ stream: consuming OwnedDescriptor) {
            self.stream = .some(stream)
        }

        func take() -> OwnedDescriptor? {
            let taken = stream.take()
            return taken
        }
    }

    private let sockets: NamespaceSockets
    private let relay: RelayConnector

    /// Creates a connector.
    ///
    /// - Parameters:
    ///   - sockets: The namespace's sockets.
    ///   - relay: Relays the data of the connections.
    init(_ sockets: NamespaceSockets, relay: RelayConnector) {
        self.sockets = sockets
        self.relay = relay
    }

    var hasRoom: Bool { relay.hasRoom }

    func leads(to address: IPAddress) -> Bool { address.isIPv4 }

    /// Closes every connection.
    func close() {
        sockets.close()
        relay.close()
    }

    func connect(to guest: Endpoint, joining stream: consuming OwnedDescriptor) {
        connect(to: .tcp(guest), joining: stream, answered: { _ in })
    }

    func connect(
        to destination: ForwarderDestination,
        joining stream: consuming OwnedDescriptor,
        answered: @escaping (GuestAnswer) -> Void
    ) {
        guard case .tcp(let guest) = destination else { return Socket.resetOnClose(stream) }
        let client = WaitingClient(stream)
        let request = NamespaceSocketRequest(.stream, guest)
        sockets.make(request) { [weak relay] socket in
            guard let stream = client.take() else { return }
            guard let relay, let socket else {
                answered(.refused)
                return Socket.resetOnClose(stream)
            }
            do {
                try relay.join(stream, socket, answered: answered)
            } catch {
                relay.failed("\(error)")
            }
        }
    }

    func openDatagramPort(
        to guest: Endpoint,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)? {
        let port = NamespaceDatagramPort(relay, receiver)
        let request = NamespaceSocketRequest(.datagram, guest)
        sockets.make(request) { [weak port] socket in
            if let socket { port?.start(socket, to: guest) } else { port?.fail() }
        }
        return port
    }
}

/// A UDP port of the namespace; queues datagrams until its socket arrives.
private final class NamespaceDatagramPort: GuestDatagramPort {
    private static let maximumWaiting = 16

    private let relay: RelayConnector
    private weak var receiver: (any GuestDatagramReceiver)?
    private var port: (any GuestDatagramPort)?
    private var waiting: [[UInt8]] = []
    private var isClosed = false

    init(_ relay: RelayConnector, _ receiver: any GuestDatagramReceiver) {
        self.relay = relay
        self.receiver = receiver
    }

    func start(_ socket: consuming OwnedDescriptor, to guest: Endpoint) {
        guard !isClosed, let receiver,
            let port = relay.openDatagramPort(with: socket, to: guest, receiver: receiver)
        else { return fail() }
        self.port = port
        for octets in waiting { octets.withUnsafeBytes { port.send($0) } }
        waiting = []
    }

    func fail() {
        relay.counters.datagramsDropped += UInt64(waiting.count)
        waiting = []
        isClosed = true
    }

    func send(_ payload: UnsafeRawBufferPointer) {
        if let port { return port.send(payload) }
        guard !isClosed, waiting.count < Self.maximumWaiting else {
            relay.counters.datagramsDropped += 1
            return
        }
        waiting.append(Array(payload))
    }

    func openSibling(
        to guestPort: UInt16,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)? {
        port?.openSibling(to: guestPort, receiver: receiver)
    }

    func close() {
        isClosed = true
        port?.close()
        port = nil
    }
}
