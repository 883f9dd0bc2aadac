/// Connects to guests through the kernel's own sockets, for guests that this machine reaches
/// directly.
///
/// Every connection uses two descriptors, and every UDP client uses one. When they run out, the
/// longest-idle UDP client makes room for a new UDP client of any port or for a TCP client. TCP
/// always leaves UDP a few clients, and UDP always leaves TCP a few connections. Beyond that, TCP
/// clients wait in their listener's queue until a connection ends.
final class RelayConnector: GuestConnector, TurnParticipant {
    /// Approximate bytes that all relays together move in one direction per turn.
    private static let turnShare = 8_388_608
    /// Minimum share of each relay.
    private static let minimumShare = 65_536
    private static let relaysPerTurn = 256
    /// Limit on the reply bytes that the kernel queues for one UDP client, while this process
    /// sleeps.
    private static let maximumReplyLength: Int32 = 1_048_576

    let loop: EventLoop
    let counters: ForwardCounters
    private let log: Logger
    private let descriptors: Int
    private let replyOctets: Int32
    private let buffer = ReceiveBuffer()
    /// Whether clients come from another network namespace, where the same address means another
    /// machine.
    var servesOtherNamespace = false
    /// Pipes that relays borrow.
    var pipes = SplicePipePool()
    private var relays: [ObjectIdentifier: TCPRelay] = [:]
    private var due: [TCPRelay] = []
    private var datagramPorts = IdleQueue<RelayDatagramPort>(limit: .max)
    private let limits: LimitLog

    /// Creates a connector that takes turns in a loop; the loop keeps it alive until `close`.
    ///
    /// - Parameters:
    ///   - loop: The loop of all sockets and timers.
    ///   - log: For failures, at level debug.
    ///   - counters: Counts lost datagrams.
    ///   - descriptors: Limit on sockets.
    ///   - limits: Counts and reports clients that the descriptor limit affects.
    ///   - replyOctets: Limit on the UDP reply bytes that the kernel queues for a client, at most 1
    ///     MiB.
    init(
        loop: EventLoop,
        log: Logger,
        counters: ForwardCounters,
        descriptors: Int,
        limits: LimitLog = .discarding(),
        replyOctets: Int32
    ) {
        self.loop = loop
        self.log = log
        self.counters = counters
        self.descriptors = descriptors
        self.limits = limits
        self.replyOctets = min(replyOctets, Self.maximumReplyLength)
        SplicePipe.blockBrokenPipeSignal()
        loop.join(self)
    }

    /// Room for the largest datagram; the next use of the connector overwrites it.
    var memory: UnsafeMutableRawBufferPointer { buffer.memory }

    /// The number of relayed TCP connections.
    var relayCount: Int { relays.count }

    /// Descriptors that UDP leaves to TCP.
    private var connectionReserve: Int { descriptors / 8 }
    /// Minimum number of clients that UDP keeps, regardless of TCP.
    private var guaranteedDatagramPorts: Int { descriptors / 32 }

    var hasRoom: Bool {
        if hasRoom(for: 2) { return true }
        limits.reached(.descriptors, maximum: descriptors)
        while !hasRoom(for: 2), datagramPorts.count > guaranteedDatagramPorts {
            datagramPorts.idlest()?.giveWay()
        }
        return hasRoom(for: 2)
    }

    private func hasRoom(for sockets: Int) -> Bool {
        relays.count * 2 + datagramPorts.count + sockets <= descriptors
    }

    /// Whether there is room for a UDP client; closes the longest-idle one if necessary.
    private func makeDatagramRoom() -> Bool {
        if hasRoom(for: 1 + connectionReserve) { return true }
        if datagramPorts.count < guaranteedDatagramPorts, hasRoom(for: 1) { return true }
        limits.reached(.descriptors, maximum: descriptors)
        guard let idlest = datagramPorts.idlest() else { return false }
        idlest.giveWay()
        return true
    }

    /// Closes every connection.
    func close() {
        loop.leave(self)
        for relay in Array(relays.values) { relay.close() }
        due = []
    }

    // MARK: TCP

    func connect(to guest: Endpoint, joining stream: consuming OwnedDescriptor) {
        connect(to: guest, joining: stream, for: nil)
    }

    func connect(to destination: ForwarderDestination, joining stream: consuming OwnedDescriptor) {
        switch destination {
        case .tcp(let guest): connect(to: guest, joining: stream)
        case .unix(let path): connect(toSocketAt: path, joining: stream)
        case .udp: Socket.resetOnClose(stream)
        }
    }

    private func connect(toSocketAt path: String, joining stream: consuming OwnedDescriptor) {
        do throws(SystemError) {
            let upstream = try LinkOpener.dial(.unix(path))
            try join(stream, upstream.descriptor)
        } catch {
            failed("\(error)")
        }
    }

    /// Connects on behalf of an owner, whose relays end with it.
    func connect(
        to guest: Endpoint,
        joining stream: consuming OwnedDescriptor,
        for owner: ObjectIdentifier?
    ) {
        do throws(SystemError) {
            // The client connected to the very address that the relay would connect to: most likely
            // the relay would connect to itself.
            if !servesOtherNamespace, try Socket.localAddress(stream).endpoint == guest {
                failed("\(guest) would be relayed to itself")
                return Socket.resetOnClose(stream)
            }
            try dial(guest, stream, owner)
        } catch {
            failed("\(error)")
        }
    }

    private func dial(
        _ guest: Endpoint,
        _ stream: consuming OwnedDescriptor,
        _ owner: ObjectIdentifier?
    ) throws(SystemError) {
        let upstream: OwnedDescriptor
        do throws(SystemError) {
            upstream = try Socket.relayingStream(to: guest)
        } catch {
            Socket.resetOnClose(stream)
            throw error
        }
        try join(stream, upstream, for: owner)
    }

    /// Joins two stream sockets of any family into one connection.
    ///
    /// - Parameters:
    ///   - stream: Connected.
    ///   - upstream: Connecting or connected.
    ///   - owner: Whose relays end together; nil for none.
    ///   - answered: Called once with the answer of the server behind `upstream`.
    /// - Throws: `SystemError` if the loop cannot watch them; both are closed then.
    func join(
        _ stream: consuming OwnedDescriptor,
        _ upstream: consuming OwnedDescriptor,
        for owner: ObjectIdentifier? = nil,
        answered: ((GuestAnswer) -> Void)? = nil
    ) throws(SystemError) {
        let relay = TCPRelay(stream, upstream, for: owner, self)
        relay.answered = answered
        relays[ObjectIdentifier(relay)] = relay
        do {
            try relay.start()
        } catch {
            relay.abort()
            throw error
        }
    }

    /// Closes every connection of an owner.
    func close(relaysOf owner: ObjectIdentifier) {
        for relay in Array(relays.values) where relay.owner == owner { relay.close() }
    }

    /// Resets every connection with a socket whose local address the machine has lost.
    ///
    /// - Parameter addresses: The lost addresses.
    /// - Returns: The number of connections that ended.
    func end(losing addresses: LostAddresses) -> Int {
        let lost = relays.values.filter { $0.usesLocalAddress(of: addresses) }
        for relay in lost { relay.abort() }
        return lost.count
    }

    /// Logs why a client was not connected.
    func failed(_ cause: String) {
        log.debug("client refused", ["cause": cause])
    }

    /// Removes a relay that has closed.
    func ended(_ relay: TCPRelay) {
        relays[ObjectIdentifier(relay)] = nil
    }

    /// Queues a relay for its share of the turn.
    func enqueue(_ relay: TCPRelay) {
        due.append(relay)
    }

    func takeTurn(now: Instant) -> Bool {
        let count = min(due.count, Self.relaysPerTurn)
        guard count > 0 else { return false }
        let share = min(max(Self.turnShare / count, Self.minimumShare), SplicePipe.capacity)
        // Relays with more data go to the end of the queue.
        for index in 0..<count {
            let relay = due[index]
            if relay.takeTurn(share: share) { due.append(relay) }
        }
        due.removeFirst(count)
        return !due.isEmpty
    }

    // MARK: UDP

    func openDatagramPort(
        to guest: Endpoint,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)? {
        do {
            let socket = try Socket.relayingDatagram(to: guest)
            return openDatagramPort(with: socket, to: guest, receiver: receiver)
        } catch {
            failed("\(error)")
            return nil
        }
    }

    /// Opens a UDP port for one client with an existing socket.
    ///
    /// - Parameters:
    ///   - socket: From `Socket.relayingDatagram`.
    ///   - guest: The guest endpoint to exchange datagrams with.
    ///   - receiver: Receives the guest's datagrams until the port is closed.
    /// - Returns: The port; nil if there is no room.
    func openDatagramPort(
        with socket: consuming OwnedDescriptor,
        to guest: Endpoint,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)? {
        guard makeDatagramRoom() else { return nil }
        do {
            Socket.enlargeBuffers(socket, to: replyOctets)
            let port = RelayDatagramPort(socket, to: guest, receiver, self)
            try port.start()
            _ = datagramPorts.append(port)
            return port
        } catch {
            failed("\(error)")
            return nil
        }
    }

    /// Removes a port that has closed.
    func closedDatagramPort(_ port: RelayDatagramPort) {
        datagramPorts.remove(port)
    }
}
