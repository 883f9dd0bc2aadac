/// The VM's side of VPNKit's data plane: connects to destinations for the host.
///
/// Every stream of the host says with its first bytes which of three protocols it speaks: one
/// destination for this stream, or the multiplexer, without or with a handshake.
final class ForwarderExit {
    /// Limit on multiplexers, each of which has a buffer of half a MiB.
    private static let maximumConnections = 64

    private let relay: RelayConnector
    private let log: Logger
    private let buffer = ReceiveBuffer()
    private var arrivals: [ObjectIdentifier: ForwarderArrival] = [:]
    private var datagrams: [ObjectIdentifier: ForwarderDatagramStream] = [:]
    private var connections: [ObjectIdentifier: MultiplexConnection] = [:]
    /// The sockets of channels.
    private var streams = 0
    private let descriptors: Int

    /// Creates the VM's side.
    ///
    /// - Parameters:
    ///   - relay: Connects to destinations, and relays streams without a multiplexer.
    ///   - log: The log.
    ///   - descriptors: Limit on the sockets of channels.
    init(_ relay: RelayConnector, log: Logger, descriptors: Int) {
        self.relay = relay
        self.log = log
        self.descriptors = descriptors
    }

    /// Whether another stream of the host can be accepted.
    var hasRoom: Bool { relay.hasRoom && arrivals.count < descriptors / 4 }

    /// Takes over a stream of the host.
    ///
    /// - Parameters:
    ///   - stream: Connected.
    ///   - side: Whether this side accepted or opened it.
    ///   - ended: Called once, when the stream has ended.
    func serve(
        _ stream: consuming OwnedDescriptor,
        _ side: Multiplexer.Side,
        ended: @escaping (_ reason: String) -> Void = { _ in }
    ) {
        let arrival = ForwarderArrival(stream, loop: relay.loop) { [weak self] arrival, result in
            self?.arrivals[ObjectIdentifier(arrival)] = nil
            switch result {
            case .failed(let reason): ended(reason)
            case .destination(let destination):
                if let stream = arrival.take() { self?.open(destination, stream) }
                ended("the stream has one destination")
            case .multiplexer(let hasHandshake):
                guard let stream = arrival.take() else { return }
                self?.multiplex(stream, side, hasHandshake, ended)
            }
        }
        arrivals[ObjectIdentifier(arrival)] = arrival
        arrival.start()
    }

    /// Ends everything.
    func close() {
        for arrival in Array(arrivals.values) { arrival.close() }
        for connection in Array(connections.values) { connection.close("exiting") }
        for stream in Array(datagrams.values) { stream.close() }
    }

    // MARK: One destination

    private func open(_ destination: ForwarderDestination, _ stream: consuming OwnedDescriptor) {
        switch destination {
        case .tcp(let endpoint):
            do throws(SystemError) {
                try relay.join(stream, Socket.relayingStream(to: endpoint))
            } catch {
                log.debug("destination refused", ["cause": "\(error)"])
            }
        case .udp(let endpoint):
            let datagrams = ForwarderDatagramStream(stream, to: endpoint, relay) { [weak self] in
                self?.datagrams[ObjectIdentifier($0)] = nil
            }
            self.datagrams[ObjectIdentifier(datagrams)] = datagrams
            datagrams.start()
        case .unix: break
        }
    }

    // MARK: Channels

    private func multiplex(
        _ stream: consuming OwnedDescriptor,
        _ side: Multiplexer.Side,
        _ hasHandshake: Bool,
        _ ended: @escaping (String) -> Void
    ) {
        guard connections.count < Self.maximumConnections else {
            return ended("too many connections")
        }
        let connection = MultiplexConnection(
            stream,
            side,
            hasHandshake: hasHandshake,
            loop: relay.loop
        )
        let key = ObjectIdentifier(connection)
        connection.events.opened = { [weak self, unowned connection] number, destination in
            self?.open(destination, number, connection)
        }
        connection.events.ended = { [weak self] reason in
            self?.connections[key] = nil
            ended(reason)
        }
        connections[key] = connection
        do {
            try connection.start()
            log.info("host connected", ["handshake": hasHandshake ? "yes" : "no"])
        } catch {
            connections[key] = nil
            ended("\(error)")
        }
    }

    private func open(
        _ destination: ForwarderDestination,
        _ number: UInt32,
        _ connection: MultiplexConnection
    ) -> (any MultiplexChannelEnd)? {
        if case .udp(let endpoint) = destination {
            return MultiplexDatagramExit(number, of: connection, to: endpoint, relay)
        }
        guard relay.hasRoom, streams < descriptors else { return nil }
        do throws(SystemError) {
            let dialed = try dial(destination)
            let isConnected = dialed.isConnected
            let stream = MultiplexStream(
                dialed.descriptor,
                isConnected: isConnected,
                number,
                of: connection,
                buffer: buffer
            ) { [weak self] _ in self?.streams -= 1 }
            streams += 1
            try stream.start()
            return stream
        } catch {
            log.debug("destination refused", ["to": "\(destination)", "cause": "\(error)"])
            return nil
        }
    }

    private func dial(_ destination: ForwarderDestination) throws(SystemError) -> DialedSocket {
        switch destination {
        case .tcp(let endpoint), .udp(let endpoint):
            let socket = try Socket.relayingStream(to: endpoint)
            return DialedSocket(descriptor: socket, isConnected: false)
        case .unix(let path): return try LinkOpener.dial(.unix(path))
        }
    }
}
