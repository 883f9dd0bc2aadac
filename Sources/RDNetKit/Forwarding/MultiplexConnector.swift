/// Connects clients on the host to destinations in the VM, through the VM's `port-forwarder` or
/// VPNKit's `vpnkit-forwarder`.
///
/// While there is no connection to the VM, clients wait for a few seconds and are then reset. Each
/// connection of a client is a channel, and so is each UDP client.
final class MultiplexConnector: GuestConnector {
    /// How long a client waits for the connection to the VM.
    static let patience: Duration = .seconds(5)
    private static let maximumWaiting = 1_024

    /// A client without a channel yet.
    private final class WaitingClient {
        let destination: ForwarderDestination
        let deadline: Instant
        private var stream: OwnedDescriptor?

        init(
            _ stream: consuming OwnedDescriptor,
            _ destination: ForwarderDestination,
            until deadline: Instant
        ) {
            self.destination = destination
            self.deadline = deadline
            self.stream = .some(stream)
        }

        func take() -> OwnedDescriptor? {
            let taken = stream.take()
            return taken
        }
    }

    let counters: ForwardCounters
    private let loop: EventLoop
    private let log: Logger
    private let limits: LimitLog
    private let descriptors: Int
    private let buffer = ReceiveBuffer()
    private var connection: MultiplexConnection?
    private var waiting: [WaitingClient] = []
    private var timer: TimerWheel.Token?
    private var streams: [ObjectIdentifier: MultiplexStream] = [:]

    /// Creates a connector without a connection to the VM.
    ///
    /// - Parameters:
    ///   - loop: The loop of all sockets and timers.
    ///   - log: For failures, at level debug.
    ///   - counters: Counts lost datagrams.
    ///   - limits: Counts clients that wait for a descriptor.
    ///   - descriptors: Limit on clients.
    init(
        loop: EventLoop,
        log: Logger,
        counters: ForwardCounters,
        limits: LimitLog,
        descriptors: Int
    ) {
        self.loop = loop
        self.log = log
        self.counters = counters
        self.limits = limits
        self.descriptors = descriptors
    }

    /// Whether the VM is connected.
    var isConnected: Bool { connection?.isReady ?? false }

    /// Uses a connection that is ready, instead of the earlier one, whose clients are reset.
    func use(_ newer: MultiplexConnection) {
        let older = connection
        connection = newer
        older?.close("replaced by a newer connection")
        let clients = waiting
        waiting = []
        for client in clients { join(client) }
    }

    /// Forgets a connection that has ended.
    ///
    /// - Returns: Whether it was the one in use.
    func lost(_ ended: MultiplexConnection) -> Bool {
        guard connection === ended else { return false }
        connection = nil
        return true
    }

    /// Resets every client and closes the connection.
    func close() {
        if let timer { loop.cancel(timer) }
        timer = nil
        for client in waiting { refuse(client) }
        waiting = []
        connection?.close("exiting")
        connection = nil
    }

    /// The state in lines of text: the connection and its channels.
    var report: String {
        guard let connection, connection.isReady else {
            return "data connection: none\nwaiting clients: \(waiting.count)\n"
        }
        var text = "data connection: up\nchannels: \(connection.channels.count)\n"
        for (number, channel) in connection.channels {
            text += "\(number) \(channel.destination) sent=\(channel.sent)/\(channel.allowed)"
            text += " received=\(channel.received)/\(channel.granted)"
            text += channel.hasShutDown ? " write-closed" : ""
            text += channel.peerHasShutDown ? " read-closed" : ""
            text += channel.hasClosed ? " closing\n" : "\n"
        }
        return text
    }

    // MARK: GuestConnector

    var hasRoom: Bool {
        guard streams.count + waiting.count < descriptors else {
            limits.reached(.descriptors, maximum: descriptors)
            return false
        }
        return connection?.hasRoom ?? (waiting.count < Self.maximumWaiting)
    }

    func connect(to guest: Endpoint, joining stream: consuming OwnedDescriptor) {
        connect(to: .tcp(guest), joining: stream)
    }

    /// Opens a channel and joins it to a stream.
    ///
    /// The stream is reset if the VM refuses the destination, or if there is no connection to the
    /// VM in time.
    func connect(to destination: ForwarderDestination, joining stream: consuming OwnedDescriptor) {
        let client = WaitingClient(stream, destination, until: loop.now + Self.patience)
        guard !isConnected else { return join(client) }
        waiting.append(client)
        if timer == nil { setTimer() }
    }

    func openDatagramPort(
        to guest: Endpoint,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)? {
        guard let connection, let number = connection.open(.udp(guest)) else { return nil }
        let port = MultiplexDatagramPort(
            number,
            of: connection,
            counters: counters,
            receiver: receiver
        )
        connection.attach(port, to: number)
        return port
    }

    private func join(_ client: WaitingClient) {
        guard let connection, let number = connection.open(client.destination) else {
            return refuse(client)
        }
        guard let socket = client.take() else { return }
        let stream = MultiplexStream(
            socket,
            isConnected: true,
            number,
            of: connection,
            buffer: buffer
        ) { [weak self] in self?.streams[ObjectIdentifier($0)] = nil }
        connection.attach(stream, to: number)
        streams[ObjectIdentifier(stream)] = stream
        do {
            try stream.start()
        } catch {
            log.debug("client refused", ["cause": "\(error)"])
        }
    }

    // MARK: Waiting

    private func refuse(_ client: WaitingClient) {
        guard let stream = client.take() else { return }
        Socket.resetOnClose(stream)
        log.debug(
            "client refused",
            ["destination": "\(client.destination)", "cause": "no connection to the VM"]
        )
    }

    private func setTimer() {
        guard let first = waiting.first else { return }
        timer = loop.after(first.deadline - loop.now) { [weak self] in self?.refuseLate(now: $0) }
    }

    private func refuseLate(now: Instant) {
        timer = nil
        let late = waiting.prefix { $0.deadline <= now }
        waiting.removeFirst(late.count)
        for client in late { refuse(client) }
        setTimer()
    }
}
