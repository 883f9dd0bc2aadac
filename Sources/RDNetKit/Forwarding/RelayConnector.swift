/// The kernel's own sockets as the way to guests: for a guest whose address this machine reaches by
/// itself.
///
/// Every connection costs two descriptors and every UDP client one. When they are used up, the
/// longest-idle UDP client gives way to a new one of any port and to a TCP client, but TCP leaves
/// UDP a few clients and UDP leaves TCP a few connections. Beyond that, TCP clients wait in their
/// listener's queue until a connection ends.
final class RelayConnector: GuestConnector, TurnParticipant {
    /// Octets that all relays together move in one direction in a turn, about.
    private static let turnShare = 8_388_608
    /// What each may move at least.
    private static let minimumShare = 65_536
    private static let relaysPerTurn = 256
    /// Replies that wait in the kernel for one UDP client: what a server sends while this process
    /// sleeps.
    private static let maximumReplyLength: Int32 = 1_048_576

    let loop: EventLoop
    let counters: ForwardCounters
    private let log: Logger
    private let descriptors: Int
    private let replyOctets: Int32
    private let buffer = ReceiveBuffer()
    /// Lent to relays.
    var pipes = SplicePipePool()
    private var relays: [ObjectIdentifier: TCPRelay] = [:]
    private var due: [TCPRelay] = []
    private var datagramPorts = IdleQueue<RelayDatagramPort>(limit: .max)
    private let limits: LimitLog

    /// Begins to take turns in a loop, which keeps it until `close`.
    ///
    /// - Parameters:
    ///   - loop: Where everything runs.
    ///   - log: For what goes wrong, at level debug.
    ///   - counters: Counts datagrams that are lost.
    ///   - descriptors: How many sockets there may be.
    ///   - limits: Counts and reports what the limit of descriptors cuts off.
    ///   - replyOctets: How many octets of UDP replies the kernel may keep for a client, at most 1
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

    /// Room for the longest datagram, good until the next call of anyone.
    var memory: UnsafeMutableRawBufferPointer { buffer.memory }

    /// How many TCP connections are relayed.
    var relayCount: Int { relays.count }

    /// Descriptors that UDP leaves to TCP.
    private var connectionReserve: Int { descriptors / 8 }
    /// Clients that UDP keeps whatever TCP needs.
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

    /// Whether there is room for a UDP client; closes the longest-idle one to make that so.
    private func makeDatagramRoom() -> Bool {
        if hasRoom(for: 1 + connectionReserve) { return true }
        if datagramPorts.count < guaranteedDatagramPorts, hasRoom(for: 1) { return true }
        limits.reached(.descriptors, maximum: descriptors)
        guard let idlest = datagramPorts.idlest() else { return false }
        idlest.giveWay()
        return true
    }

    /// Cuts every connection.
    func close() {
        loop.leave(self)
        for relay in Array(relays.values) { relay.close() }
        due = []
    }

    // MARK: TCP

    func connect(to guest: Endpoint, joining stream: consuming OwnedDescriptor) {
        do throws(SystemError) {
            // Somebody who called the very address that this would call: ourselves, as likely as
            // not.
            if try Socket.localAddress(stream).endpoint == guest {
                failed("\(guest) would be relayed to itself")
                return Socket.resetOnClose(stream)
            }
            try dial(guest, stream)
        } catch {
            failed("\(error)")
        }
    }

    private func dial(
        _ guest: Endpoint,
        _ stream: consuming OwnedDescriptor
    ) throws(SystemError) {
        let upstream: OwnedDescriptor
        do throws(SystemError) {
            upstream = try Socket.relayingStream(to: guest)
        } catch {
            Socket.resetOnClose(stream)
            throw error
        }
        try join(stream, upstream)
    }

    /// Lets two stream sockets of any family act as one connection.
    ///
    /// - Parameters:
    ///   - stream: Connected.
    ///   - upstream: Connecting, or connected already.
    /// - Throws: `SystemError` when the loop cannot watch them; both are closed then.
    func join(
        _ stream: consuming OwnedDescriptor,
        _ upstream: consuming OwnedDescriptor
    ) throws(SystemError) {
        let relay = TCPRelay(stream, upstream, self)
        relays[ObjectIdentifier(relay)] = relay
        do {
            try relay.start()
        } catch {
            relay.abort()
            throw error
        }
    }

    /// Says why a client was not connected.
    func failed(_ cause: String) {
        log.debug("client refused", ["cause": cause])
    }

    /// Forgets a relay that has closed.
    func ended(_ relay: TCPRelay) {
        relays[ObjectIdentifier(relay)] = nil
    }

    /// Gives a relay its part of the turn.
    func enqueue(_ relay: TCPRelay) {
        due.append(relay)
    }

    func takeTurn(now: Instant) -> Bool {
        let count = min(due.count, Self.relaysPerTurn)
        guard count > 0 else { return false }
        let share = min(max(Self.turnShare / count, Self.minimumShare), SplicePipe.capacity)
        // Those that have more go to the end of the queue.
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

    /// Takes a UDP port for one client, with a socket that is made already.
    ///
    /// - Parameters:
    ///   - socket: Of `Socket.relayingDatagram`.
    ///   - guest: The only guest endpoint that datagrams go to and come from.
    ///   - receiver: Is given the guest's datagrams until the port is closed.
    /// - Returns: The port; nil when there is no room.
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

    /// Forgets a port that has closed.
    func closedDatagramPort(_ port: RelayDatagramPort) {
        datagramPorts.remove(port)
    }
}
