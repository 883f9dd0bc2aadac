/// A UDP socket of ours that talks to one server for one client.
final class RelayDatagramPort: GuestDatagramPort, ReadinessObserver {
    private static let datagramsPerTurn = 64

    private let socket: OwnedDescriptor
    private let connector: RelayConnector
    private weak var receiver: (any GuestDatagramReceiver)?
    private var watch: EventLoop.Watch?

    /// Takes over a socket.
    ///
    /// - Parameters:
    ///   - socket: Connected to the server.
    ///   - receiver: Is given what the server sends.
    ///   - connector: Lends its memory, and counts.
    init(
        _ socket: consuming OwnedDescriptor,
        _ receiver: any GuestDatagramReceiver,
        _ connector: RelayConnector
    ) {
        self.socket = socket
        self.receiver = receiver
        self.connector = connector
    }

    /// Begins to receive.
    func start() throws(SystemError) {
        watch = try connector.loop.watch(socket.number, for: .readable, observer: self)
    }

    func send(_ payload: UnsafeRawBufferPointer) {
        // A server that was not there leaves its refusal behind for the next call: that one did not fail itself.
        for _ in 0..<2 {
            do {
                if try Socket.send(socket, payload) != nil { return }
                break
            } catch {
                continue
            }
        }
        connector.counters.datagramsDropped += 1
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        for _ in 0..<Self.datagramsPerTurn {
            do {
                let memory = connector.memory
                guard let count = try Socket.receive(socket, into: memory) else { return }
                let payload = UnsafeRawBufferPointer(rebasing: memory[..<count])
                receiver?.receiveFromGuest(payload, now: now)
            } catch {
                // The server has closed its port; the error concerns a datagram that was sent before.
                receiver?.guestRefused(now: now)
                guard watch != nil else { return }
            }
        }
    }

    func close() {
        guard let watch else { return }
        connector.loop.forget(watch)
        self.watch = nil
        connector.closedDatagramPort()
    }
}
