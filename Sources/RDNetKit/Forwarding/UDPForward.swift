/// A UDP socket on the host whose clients exchange datagrams with one guest's UDP port.
///
/// Each client has its own port on the guest's side, so that the guest's answers reach the right
/// client. A port is released after 90 seconds of idle time; when there are too many ports, the
/// longest-idle one is released. Answers come from the local address that the client sent to, as
/// the client expects; a client that sends to two addresses counts as two. Answers from another
/// port of the guest reach the client from a second host port, see `UDPAnswerPorts`.
final class UDPForward: OpenForward, ReadinessObserver {
    static let idleTime: Duration = .seconds(90)
    static let maximumClients = 1024
    private static let datagramsPerTurn = 64

    /// A client and the local address that it sends to.
    private struct Conversation: Hashable {
        var client: Endpoint
        /// Nil if the socket has just one address.
        var local: LocalAddress?
    }

    let usage: ForwardUsage?
    private let socket: OwnedDescriptor
    private let guest: Endpoint
    private weak var connector: (any GuestConnector)?
    private let loop: EventLoop
    private let counters: ForwardCounters
    private let limits: LimitLog
    private let pool: UDPForwardPool
    private var clients: [Conversation: UDPForwardClient] = [:]
    private var watch: EventLoop.Watch?

    /// Creates a forward and starts receiving.
    ///
    /// - Parameters:
    ///   - socket: A bound socket from `ListeningSocket.udp`.
    ///   - guest: The destination of the datagrams.
    ///   - connector: Allocates the gateway ports; not kept alive.
    ///   - loop: Reports datagrams and idle clients.
    ///   - counters: Counts the datagrams.
    ///   - limits: Counts clients that lose their port.
    ///   - pool: Shared with the other forwards of a table.
    ///   - usage: Counts the clients of this forward; nil where nobody asks.
    /// - Throws: `SystemError` if the loop cannot watch the socket.
    init(
        _ socket: consuming OwnedDescriptor,
        to guest: Endpoint,
        connector: any GuestConnector,
        loop: EventLoop,
        counters: ForwardCounters,
        limits: LimitLog = .discarding(),
        pool: UDPForwardPool = UDPForwardPool(),
        usage: ForwardUsage? = nil
    ) throws(SystemError) {
        self.usage = usage
        self.socket = socket
        self.guest = guest
        self.connector = connector
        self.loop = loop
        self.counters = counters
        self.limits = limits
        self.pool = pool
        watch = try loop.watch(self.socket.number, for: .readable, observer: self)
    }

    /// The listening endpoint.
    var endpoint: Endpoint? {
        do {
            return try Socket.localAddress(socket).endpoint
        } catch {
            return nil
        }
    }

    /// The number of clients that have a port.
    var clientCount: Int { clients.count }

    func close() {
        guard let watch else { return }
        loop.forget(watch)
        self.watch = nil
        for client in Array(clients.values) { client.close() }
    }

    // MARK: Host to guest

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        for _ in 0..<Self.datagramsPerTurn {
            do {
                let memory = pool.buffer.memory
                guard let received = try Socket.receiveAddressed(socket, into: memory) else {
                    return
                }
                let payload = UnsafeRawBufferPointer(rebasing: memory[..<received.count])
                receive(payload, of: received, now: now)
            } catch {
                // A pending error in the socket concerns an earlier datagram.
                counters.datagramsDropped += 1
            }
            // The receiver of a datagram may have closed the forward.
            guard watch != nil else { return }
        }
    }

    private func receive(
        _ payload: UnsafeRawBufferPointer,
        of datagram: AddressedDatagram,
        now: Instant
    ) {
        guard let client = client(of: datagram) else {
            counters.datagramsDropped += 1
            return
        }
        counters.datagramsToGuest += 1
        client.send(payload, now: now)
    }

    private func client(of datagram: AddressedDatagram) -> UDPForwardClient? {
        guard let source = datagram.sender.endpoint else { return nil }
        let conversation = Conversation(client: source, local: datagram.local)
        return clients[conversation] ?? admit(conversation, at: datagram.sender)
    }

    private func admit(
        _ conversation: Conversation,
        at address: SocketAddress
    ) -> UDPForwardClient? {
        guard connector?.admits(conversation.client, to: guest) ?? true else { return nil }
        if clients.count >= Self.maximumClients {
            limits.reached(.forwardClients, maximum: Self.maximumClients)
            closeOldest()
        }
        let client = UDPForwardClient(loop: loop) { [weak self] payload in
            self?.reply(payload, from: conversation.local, to: address)
        } answerPorts: { [weak self] in
            self?.makeAnswerPorts(from: conversation.local, to: address)
        } ended: { [weak self] in
            self?.clients[conversation] = nil
        }
        client.answered = { [usage] in usage?.answered($0, to: conversation.client) }
        usage?.accepted()
        guard let port = openPort(for: client, at: conversation.client) else { return nil }
        client.start(port)
        clients[conversation] = client
        return client
    }

    private func makeAnswerPorts(
        from local: LocalAddress?,
        to address: SocketAddress
    ) -> UDPAnswerPorts {
        UDPAnswerPorts(
            UDPAnswerPorts.Conversation(
                client: address,
                local: local?.address ?? endpoint?.address ?? .anyIPv4
            ),
            loop: loop,
            counters: counters,
            pool: pool
        )
    }

    /// Opens a port for a client; closes the longest-idle client if no port is free.
    private func openPort(
        for client: UDPForwardClient,
        at address: Endpoint
    ) -> (any GuestDatagramPort)? {
        func open() -> (any GuestDatagramPort)? {
            connector?.openDatagramPort(to: guest, from: address, receiver: client)
        }
        if let port = open() { return port }
        guard !clients.isEmpty else { return nil }
        closeOldest()
        return open()
    }

    private func closeOldest() {
        clients.values.min { $0.lastUse < $1.lastUse }?.close()
    }

    // MARK: Guest to host

    private func reply(
        _ payload: UnsafeRawBufferPointer,
        from local: LocalAddress?,
        to address: SocketAddress
    ) {
        do {
            let sent =
                if let local {
                    try Socket.sendDatagram(socket, payload, from: local, to: address)
                } else {
                    try Socket.sendDatagram(socket, payload, to: address)
                }
            if sent != nil {
                counters.datagramsToHost += 1
                return
            }
        } catch {
            // For example, the client is no longer reachable; its port closes after the idle time.
        }
        counters.datagramsDropped += 1
    }
}

/// One host client of a UDP forward, with its port on the gateway.
final class UDPForwardClient: GuestDatagramReceiver, TimerObserver {
    private let loop: EventLoop
    private let reply: (UnsafeRawBufferPointer) -> Void
    private let makeAnswerPorts: () -> UDPAnswerPorts?
    private let ended: () -> Void
    private var port: (any GuestDatagramPort)?
    /// Nil for most clients: their servers answer from the port that received the request.
    private var answerPorts: UDPAnswerPorts?
    private var timer: TimerWheel.Token?
    private var lastOwnUse: Instant
    /// Called with the guest's first datagram, and when it refuses one.
    var answered: ((GuestAnswer) -> Void)?

    init(
        loop: EventLoop,
        reply: @escaping (UnsafeRawBufferPointer) -> Void,
        answerPorts: @escaping () -> UDPAnswerPorts?,
        ended: @escaping () -> Void
    ) {
        self.loop = loop
        self.reply = reply
        makeAnswerPorts = answerPorts
        self.ended = ended
        lastOwnUse = loop.now
    }

    /// The time of the last datagram in either direction.
    var lastUse: Instant { max(lastOwnUse, answerPorts?.lastUse ?? lastOwnUse) }

    /// Starts using a port.
    func start(_ port: any GuestDatagramPort) {
        self.port = port
        timer = loop.schedule(lastUse + UDPForward.idleTime, observer: self)
    }

    /// Releases the port.
    func close() {
        guard let port else { return }
        self.port = nil
        answerPorts?.close()
        port.close()
        if let timer { loop.cancel(timer) }
        ended()
    }

    func send(_ payload: UnsafeRawBufferPointer, now: Instant) {
        lastOwnUse = now
        port?.send(payload)
    }

    func receiveFromGuest(_ payload: UnsafeRawBufferPointer, now: Instant) {
        guard port != nil else { return }
        lastOwnUse = now
        answered?(.connected)
        answered = nil
        reply(payload)
    }

    func giveWay() {
        close()
    }

    func receiveFromGuest(
        _ payload: UnsafeRawBufferPointer,
        at guestPort: UInt16,
        now: Instant
    ) -> Bool {
        guard let port else { return false }
        answerPorts = answerPorts ?? makeAnswerPorts()
        return answerPorts?.receive(payload, at: guestPort, beside: port, now: now) ?? false
    }

    func guestRefused(now: Instant) {
        answered?(.refused)
        answered = nil
        // The guest's service has ended, and a new one would not know the client.
        close()
    }

    func timerFired(now: Instant) {
        answerPorts?.closeIdle(now: now)
        let idleUntil = lastUse + UDPForward.idleTime
        guard idleUntil > now else { return close() }
        timer = loop.schedule(idleUntil, observer: self)
    }
}
