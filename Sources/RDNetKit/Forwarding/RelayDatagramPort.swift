/// A host UDP socket that exchanges datagrams with one server for one client.
///
/// An IPv4 socket is not connected, because a server may answer from another of its ports and then
/// expect the rest of the exchange there. So the port itself drops datagrams from other machines.
final class RelayDatagramPort: GuestDatagramPort, ReadinessObserver, IdleCandidate {
    private static let datagramsPerTurn = 64

    private let socket: OwnedDescriptor
    private let server: Endpoint
    private let connector: RelayConnector
    private weak var receiver: (any GuestDatagramReceiver)?
    private var siblings: [UInt16: RelaySiblingPort] = [:]
    private var watch: EventLoop.Watch?
    private(set) var lastUsed: Instant
    var queueIndex = 0

    /// Creates a port that takes over a socket.
    ///
    /// - Parameters:
    ///   - socket: From `Socket.relayingDatagram`.
    ///   - server: The destination of the datagrams.
    ///   - receiver: Receives the server's datagrams.
    ///   - connector: Lends its buffer and counts datagrams.
    init(
        _ socket: consuming OwnedDescriptor,
        to server: Endpoint,
        _ receiver: any GuestDatagramReceiver,
        _ connector: RelayConnector
    ) {
        self.socket = socket
        self.server = server
        self.receiver = receiver
        self.connector = connector
        lastUsed = connector.loop.now
    }

    /// Starts receiving.
    func start() throws(SystemError) {
        watch = try connector.loop.watch(socket.number, for: .readable, observer: self)
    }

    // MARK: To the server

    func send(_ payload: UnsafeRawBufferPointer) {
        send(payload, to: server.port)
    }

    fileprivate func send(_ payload: UnsafeRawBufferPointer, to port: UInt16) {
        lastUsed = connector.loop.now
        let address = SocketAddress(Endpoint(address: server.address, port: port))
        // A pending error of an earlier datagram fails the first call; this datagram itself did not
        // fail.
        for _ in 0..<2 {
            do {
                if try Socket.sendDatagram(socket, payload, to: address) != nil { return }
                break
            } catch {
                continue
            }
        }
        connector.counters.datagramsDropped += 1
    }

    func openSibling(
        to guestPort: UInt16,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)? {
        guard watch != nil, siblings[guestPort] == nil else { return nil }
        let sibling = RelaySiblingPort(guestPort, self, receiver)
        siblings[guestPort] = sibling
        return sibling
    }

    fileprivate func closed(_ sibling: RelaySiblingPort) {
        siblings[sibling.port] = nil
    }

    // MARK: From the server

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if readiness.contains(.failed) { readErrors(now: now) }
        for _ in 0..<Self.datagramsPerTurn {
            // A receiver may have closed the port.
            guard watch != nil else { return }
            do {
                let memory = connector.memory
                guard let received = try Socket.receiveDatagram(socket, into: memory) else {
                    return
                }
                let payload = UnsafeRawBufferPointer(rebasing: memory[..<received.count])
                lastUsed = now
                receive(payload, from: received.sender.endpoint, now: now)
            } catch {
                readErrors(now: now)
            }
        }
    }

    private func receive(
        _ payload: UnsafeRawBufferPointer,
        from sender: Endpoint?,
        now: Instant
    ) {
        if sender == server {
            receiver?.receiveFromGuest(payload, now: now)
            return
        }
        if let sender, sender.address == server.address {
            if let sibling = siblings[sender.port]?.receiver {
                return sibling.receiveFromGuest(payload, now: now)
            }
            if receiver?.receiveFromGuest(payload, at: sender.port, now: now) ?? false { return }
        }
        connector.counters.datagramsDropped += 1
    }

    /// Notifies the receivers of the server's closed ports; the errors concern earlier datagrams.
    private func readErrors(now: Instant) {
        guard server.address.isIPv4 else {
            receiver?.guestRefused(now: now)
            return
        }
        var refused: Set<UInt16> = []
        _ = QueuedError.drain(socket, into: connector.memory, limit: Self.datagramsPerTurn) {
            error,
            _ in
            if error.kind == .destinationUnreachable(.port) {
                refused.insert(error.destination.port)
            }
        }
        for port in refused where port != server.port {
            siblings[port]?.receiver?.guestRefused(now: now)
        }
        if refused.contains(server.port) { receiver?.guestRefused(now: now) }
    }

    /// Closes the port on the connector's behalf.
    func giveWay() {
        receiver?.giveWay()
        // If the receiver no longer exists, nobody else closes the port.
        close()
    }

    func close() {
        guard let watch else { return }
        connector.loop.forget(watch)
        self.watch = nil
        siblings = [:]
        connector.closedDatagramPort(self)
    }
}

/// The same socket for another port of the server.
private final class RelaySiblingPort: GuestDatagramPort {
    let port: UInt16
    private weak var owner: RelayDatagramPort?
    private(set) weak var receiver: (any GuestDatagramReceiver)?

    init(_ port: UInt16, _ owner: RelayDatagramPort, _ receiver: any GuestDatagramReceiver) {
        self.port = port
        self.owner = owner
        self.receiver = receiver
    }

    func send(_ payload: UnsafeRawBufferPointer) {
        owner?.send(payload, to: port)
    }

    func openSibling(
        to guestPort: UInt16,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)? {
        owner?.openSibling(to: guestPort, receiver: receiver)
    }

    func close() {
        owner?.closed(self)
        owner = nil
    }
}
