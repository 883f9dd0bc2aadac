/// A TCP or unix listener on the host whose clients are connected to a port or a unix
/// socket of a guest.
final class TCPForward: OpenForward {
    private let listener: StreamListener
    let usage: ForwardUsage?

    /// Creates a forward and starts listening.
    ///
    /// - Parameters:
    ///   - socket: A listening socket.
    ///   - path: The file of a unix socket; nil for TCP.
    ///   - target: Where to connect clients to; not UDP.
    ///   - connector: Opens the connections; not kept alive.
    ///   - loop: Reports new clients.
    ///   - counters: Counts the clients.
    ///   - log: For a socket file that disappears.
    ///   - limits: Counts clients for which no descriptor is left.
    ///   - usage: Counts the clients of this forward; nil where nobody asks.
    /// - Throws: `SystemError` if the loop cannot watch the socket.
    init(
        _ socket: consuming OwnedDescriptor,
        path: String? = nil,
        to target: ForwarderDestination,
        connector: any GuestConnector,
        loop: EventLoop,
        counters: ForwardCounters,
        log: Logger = .discarding(),
        limits: LimitLog = .discarding(),
        usage: ForwardUsage? = nil
    ) throws(SystemError) {
        self.usage = usage
        listener = try StreamListener(
            socket,
            path: path,
            loop: loop,
            log: log,
            limits: limits,
            counters: counters.listeners,
            admitting: { [weak connector] in connector?.hasRoom ?? true }
        ) { [weak connector] stream, client in
            counters.connections += 1
            if client?.address.isLoopback == true { Socket.sendUnpaced(stream) }
            guard let usage else {
                connector?.connect(to: target, joining: stream, from: client)
                return
            }
            usage.accepted()
            connector?.connect(
                to: target,
                joining: stream,
                answered: { usage.answered($0, to: client) }
            )
        }
    }

    var endpoint: Endpoint? { listener.endpoint }

    func close() {
        listener.close()
    }
}
