/// Resources shared by the UDP forwards of one table.
final class UDPForwardPool {
    /// Limit on second host ports.
    let maximumAnswerPorts: Int
    private let limits: LimitLog
    /// Holds a datagram between a host socket and the guest.
    let buffer = ReceiveBuffer()
    /// The current number of second host ports.
    var answerPorts = 0

    /// Creates a pool that limits guests to a small share of the descriptors.
    ///
    /// - Parameters:
    ///   - descriptors: The process's descriptor limit.
    ///   - limits: Counts and reports refused ports.
    init(descriptors: Int = .max, limits: LimitLog = .discarding()) {
        maximumAnswerPorts = min(descriptors / 16, 1024)
        self.limits = limits
    }

    /// Whether another second host port can be opened.
    var hasRoom: Bool {
        if answerPorts < maximumAnswerPorts { return true }
        limits.reached(.answerPorts, maximum: maximumAnswerPorts)
        return false
    }
}

/// The second host ports of one client of a UDP forward.
///
/// How it works: some servers, such as every TFTP server, answer from a different port than the one
/// that received the request (RFC 1350, 4), and expect the rest of the exchange there. On the host,
/// each such guest port gets its own socket: it has the forward's address and is connected to the
/// client, so it receives no other client's datagrams. On the guest's side it shares the client's
/// gateway port, because the server may be connected to that port. Guests can create these sockets
/// at will, so each client may have only a few; when full, the longest-idle one is closed.
final class UDPAnswerPorts {
    private static let maximumPorts = 4

    /// Both endpoints of a conversation on the host's side.
    struct Conversation {
        /// As received from the kernel, with the scope of an fe80::/10 address.
        var client: SocketAddress
        /// The local address that the client sends to.
        var local: IPAddress
    }

    private let conversation: Conversation
    private let loop: EventLoop
    private let counters: ForwardCounters
    private let pool: UDPForwardPool
    private var ports: [UInt16: UDPAnswerPort] = [:]

    /// Creates an empty set.
    init(
        _ conversation: Conversation,
        loop: EventLoop,
        counters: ForwardCounters,
        pool: UDPForwardPool
    ) {
        self.conversation = conversation
        self.loop = loop
        self.counters = counters
        self.pool = pool
    }

    /// The time of the last datagram in either direction; nil without ports.
    var lastUse: Instant? { ports.values.lazy.map(\.lastUse).max() }

    /// Sends the client a datagram from a guest port that has no host port yet.
    ///
    /// - Parameters:
    ///   - payload: Valid only during the call.
    ///   - guestPort: The port that the guest sent it from.
    ///   - clientPort: The client's port on the guest's side.
    ///   - now: The turn's clock.
    /// - Returns: Whether the guest port has a host port now.
    func receive(
        _ payload: UnsafeRawBufferPointer,
        at guestPort: UInt16,
        beside clientPort: any GuestDatagramPort,
        now: Instant
    ) -> Bool {
        if ports.count >= Self.maximumPorts { closeOldest() }
        guard pool.hasRoom,
            let port = open(guestPort, beside: clientPort, now: now)
        else {
            counters.datagramsDropped += 1
            return false
        }
        port.receiveFromGuest(payload, now: now)
        return true
    }

    private func open(
        _ guestPort: UInt16,
        beside clientPort: any GuestDatagramPort,
        now: Instant
    ) -> UDPAnswerPort? {
        do {
            let socket = try Socket.answeringDatagram(
                from: conversation.local,
                to: conversation.client
            )
            let port = UDPAnswerPort(socket, self, guestPort, now: now)
            guard let sibling = clientPort.openSibling(to: guestPort, receiver: port) else {
                return nil
            }
            do {
                try port.start(sibling, loop)
            } catch {
                sibling.close()
                throw error
            }
            ports[guestPort] = port
            pool.answerPorts += 1
            return port
        } catch {
            return nil
        }
    }

    private func closeOldest() {
        ports.values.min { $0.lastUse < $1.lastUse }?.close(loop)
    }

    /// Closes the ports that have reached a client's idle timeout.
    func closeIdle(now: Instant) {
        for port in Array(ports.values) where port.lastUse + UDPForward.idleTime <= now {
            port.close(loop)
        }
    }

    /// Closes every port.
    func close() {
        for port in Array(ports.values) { port.close(loop) }
    }

    // MARK: For the ports

    fileprivate var buffer: UnsafeMutableRawBufferPointer { pool.buffer.memory }

    fileprivate func sentToHost(_ wasSent: Bool) {
        if wasSent { counters.datagramsToHost += 1 } else { counters.datagramsDropped += 1 }
    }

    fileprivate func sentToGuest() {
        counters.datagramsToGuest += 1
    }

    fileprivate func closed(_ guestPort: UInt16) {
        ports[guestPort] = nil
        pool.answerPorts -= 1
    }

    fileprivate func failed(_ port: UDPAnswerPort) {
        port.close(loop)
    }
}

/// A host socket between one client and one port of the guest.
private final class UDPAnswerPort: GuestDatagramReceiver, ReadinessObserver {
    private static let datagramsPerTurn = 64

    private let socket: OwnedDescriptor
    private unowned let owner: UDPAnswerPorts
    private let guestPort: UInt16
    private var guest: (any GuestDatagramPort)?
    private var watch: EventLoop.Watch?
    private(set) var lastUse: Instant

    init(
        _ socket: consuming OwnedDescriptor,
        _ owner: UDPAnswerPorts,
        _ guestPort: UInt16,
        now: Instant
    ) {
        self.socket = socket
        self.owner = owner
        self.guestPort = guestPort
        lastUse = now
    }

    func start(_ guest: any GuestDatagramPort, _ loop: EventLoop) throws(SystemError) {
        watch = try loop.watch(socket.number, for: .readable, observer: self)
        self.guest = guest
    }

    func close(_ loop: EventLoop) {
        guard let watch else { return }
        loop.forget(watch)
        self.watch = nil
        guest?.close()
        guest = nil
        owner.closed(guestPort)
    }

    func receiveFromGuest(_ payload: UnsafeRawBufferPointer, now: Instant) {
        lastUse = now
        do {
            owner.sentToHost(try Socket.send(socket, payload) != nil)
        } catch {
            // The client has closed its port or is no longer reachable.
            owner.sentToHost(false)
            owner.failed(self)
        }
    }

    func giveWay() {
        owner.failed(self)
    }

    func guestRefused(now: Instant) {
        // The server's part of the exchange has ended.
        owner.failed(self)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        for _ in 0..<Self.datagramsPerTurn {
            do {
                let buffer = owner.buffer
                guard let count = try Socket.receive(socket, into: buffer) else { return }
                lastUse = now
                owner.sentToGuest()
                guest?.send(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            } catch {
                return owner.failed(self)
            }
            // Sending to the guest may close this port.
            guard watch != nil else { return }
        }
    }
}
