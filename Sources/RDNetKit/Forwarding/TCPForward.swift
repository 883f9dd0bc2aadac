/// A listener on the host, on TCP or a unix socket, whose clients are connected to a guest's TCP
/// port.
final class TCPForward: OpenForward {
    private let listener: StreamListener

    /// Starts to listen.
    ///
    /// - Parameters:
    ///   - socket: Listens already.
    ///   - path: The file of a unix socket; nil for TCP.
    ///   - guest: Where the clients are connected to.
    ///   - connector: Opens the connections; not kept alive.
    ///   - loop: Tells when clients come.
    ///   - counters: Counts the clients.
    ///   - limits: Counts when no descriptor is left for a client.
    /// - Throws: `SystemError` when the loop cannot watch the socket.
    init(
        _ socket: consuming OwnedDescriptor,
        path: String? = nil,
        to guest: Endpoint,
        connector: any GuestConnector,
        loop: EventLoop,
        counters: ForwardCounters,
        limits: LimitLog = .discarding()
    ) throws(SystemError) {
        listener = try StreamListener(
            socket,
            path: path,
            loop: loop,
            limits: limits,
            admitting: { [weak connector] in connector?.hasRoom ?? true }
        ) { [weak connector] stream, _ in
            counters.connections += 1
            connector?.connect(to: guest, joining: stream)
        }
    }

    var endpoint: Endpoint? { listener.endpoint }

    func close() {
        listener.close()
    }
}
