/// The VM's side of a stream that carries datagrams for one destination.
///
/// Each client has its own socket, so that the destination's answers reach the right client. A
/// socket closes after 90 idle seconds, and the longest-idle one closes when there are too many. A
/// stream of one client names no client; its socket closes with the stream.
final class ForwarderDatagramExit {
    private static let maximumClients = UDPForward.maximumClients

    private let relay: RelayConnector
    private let destination: Endpoint
    private let reply: (UnsafeRawBufferPointer, Endpoint?) -> Void
    private var reader = ForwarderDatagramReader()
    private var clients: [Endpoint?: Client] = [:]

    /// Creates an exit without clients.
    ///
    /// - Parameters:
    ///   - destination: Where datagrams go.
    ///   - relay: Opens sockets.
    ///   - reply: Receives the destination's datagrams and their clients.
    init(
        to destination: Endpoint,
        _ relay: RelayConnector,
        reply: @escaping (UnsafeRawBufferPointer, Endpoint?) -> Void
    ) {
        self.destination = destination
        self.relay = relay
        self.reply = reply
    }

    /// Sends the datagrams of a piece of the stream.
    ///
    /// - Throws: `PacketError` if the stream cannot be read any further.
    func receive(_ octets: UnsafeRawBufferPointer, now: Instant) throws(PacketError) {
        for datagram in try reader.append(octets) {
            guard let client = clients[datagram.client] ?? open(datagram.client) else {
                relay.counters.datagramsDropped += 1
                continue
            }
            client.send(datagram.payload, now: now)
        }
    }

    /// Closes all sockets.
    func close() {
        for client in Array(clients.values) { client.close() }
    }

    private func open(_ endpoint: Endpoint?) -> Client? {
        if clients.count >= Self.maximumClients {
            clients.values.min { $0.lastUse < $1.lastUse }?.close()
        }
        let client = Client(
            relay.loop,
            isAlone: endpoint == nil,
            reply: { [unowned self] in reply($0, endpoint) },
            ended: { [unowned self] in clients[endpoint] = nil }
        )
        guard let port = relay.openDatagramPort(to: destination, receiver: client) else {
            return nil
        }
        clients[endpoint] = client
        client.start(port)
        return client
    }

    /// One client and its socket.
    private final class Client: GuestDatagramReceiver, TimerObserver {
        private let loop: EventLoop
        private let isAlone: Bool
        private let reply: (UnsafeRawBufferPointer) -> Void
        private let ended: () -> Void
        private var port: (any GuestDatagramPort)?
        private var timer: TimerWheel.Token?
        private(set) var lastUse: Instant

        init(
            _ loop: EventLoop,
            isAlone: Bool,
            reply: @escaping (UnsafeRawBufferPointer) -> Void,
            ended: @escaping () -> Void
        ) {
            self.loop = loop
            self.isAlone = isAlone
            self.reply = reply
            self.ended = ended
            lastUse = loop.now
        }

        func start(_ port: any GuestDatagramPort) {
            self.port = port
            if !isAlone { timer = loop.schedule(lastUse + UDPForward.idleTime, observer: self) }
        }

        func send(_ payload: [UInt8], now: Instant) {
            lastUse = now
            payload.withUnsafeBytes { port?.send($0) }
        }

        func close() {
            guard let port else { return }
            self.port = nil
            if let timer { loop.cancel(timer) }
            timer = nil
            port.close()
            ended()
        }

        func timerFired(now: Instant) {
            timer = nil
            let end = lastUse + UDPForward.idleTime
            guard end > now else { return close() }
            timer = loop.schedule(end, observer: self)
        }

        func receiveFromGuest(_ payload: UnsafeRawBufferPointer, now: Instant) {
            guard port != nil else { return }
            lastUse = now
            reply(payload)
        }

        func giveWay() {
            close()
        }

        func guestRefused(now: Instant) {
            close()
        }
    }
}

/// A channel that carries datagrams from the host.
final class MultiplexDatagramExit: MultiplexChannelEnd {
    private let number: UInt32
    private let connection: MultiplexConnection
    private var queue: DatagramStreamQueue
    private var exit: ForwarderDatagramExit?

    /// Creates the channel's end.
    init(
        _ number: UInt32,
        of connection: MultiplexConnection,
        to destination: Endpoint,
        _ relay: RelayConnector
    ) {
        self.number = number
        self.connection = connection
        queue = DatagramStreamQueue(counters: relay.counters)
        exit = ForwarderDatagramExit(to: destination, relay) { [unowned self] payload, client in
            queue.append(payload, of: client)
            connection.ask(number)
        }
    }

    func receive(_ octets: UnsafeRawBufferPointer, now: Instant) {
        do {
            try exit?.receive(octets, now: now)
            connection.consume(octets.count, on: number)
        } catch {
            exit?.close()
            connection.close(channel: number)
        }
    }

    func peerShutDown() {}

    func closed(wasReset: Bool, now: Instant) {
        exit?.close()
    }

    func takeTurn(limit: Int) -> Bool {
        queue.send(upTo: limit) { connection.send($0, on: number) }
    }
}

/// A stream of the host that carries datagrams for one destination, without a multiplexer.
final class ForwarderDatagramStream: ReadinessObserver {
    private let stream: OwnedDescriptor
    private let relay: RelayConnector
    private let ended: (ForwarderDatagramStream) -> Void
    private var queue: DatagramStreamQueue
    private var exit: ForwarderDatagramExit?
    private var watch: EventLoop.Watch?
    private var watched: Readiness = .readable

    /// Creates the stream's end.
    ///
    /// - Parameters:
    ///   - stream: The bytes after the destination.
    ///   - destination: Where datagrams go.
    ///   - relay: Opens sockets, and lends its buffer.
    ///   - ended: Called once, when the stream has ended.
    init(
        _ stream: consuming OwnedDescriptor,
        to destination: Endpoint,
        _ relay: RelayConnector,
        ended: @escaping (ForwarderDatagramStream) -> Void
    ) {
        self.stream = stream
        self.relay = relay
        self.ended = ended
        queue = DatagramStreamQueue(counters: relay.counters)
        exit = ForwarderDatagramExit(to: destination, relay) { [unowned self] payload, client in
            queue.append(payload, of: client)
            flush()
        }
    }

    /// Starts to read.
    func start() {
        do {
            watch = try relay.loop.watch(stream.number, for: watched, observer: self)
        } catch {
            relay.failed("\(error)")
            ended(self)
        }
    }

    /// Ends the stream and its sockets.
    func close() {
        guard let watch else { return }
        relay.loop.forget(watch)
        self.watch = nil
        exit?.close()
        ended(self)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        flush()
        do {
            let memory = relay.memory
            guard let count = try Socket.receive(stream, into: memory) else { return }
            guard count > 0 else { return close() }
            try exit?.receive(UnsafeRawBufferPointer(rebasing: memory[..<count]), now: now)
        } catch {
            close()
        }
    }

    private func flush() {
        guard let watch else { return }
        do {
            let isEmpty = try queue.send(to: stream)
            let wanted: Readiness = isEmpty ? .readable : [.readable, .writable]
            guard wanted != watched else { return }
            watched = wanted
            relay.loop.change(watch, to: wanted)
        } catch {
            close()
        }
    }
}
