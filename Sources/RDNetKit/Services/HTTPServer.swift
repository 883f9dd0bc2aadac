/// An HTTP/1.1 server: the API on the gateway's port 80 and on the host.
///
/// How it works: Each connection reads a little, answers complete requests, and writes; everything
/// runs on the loop. While answers wait to be written, the connection reads nothing, so a client
/// that does not read only slows itself down. A request, an answer and an idle period each have a
/// deadline. Limits apply to the number of connections, the bytes of a request, and the bytes of
/// all requests and answers together. When the connections reach their limit, a new one closes the
/// longest-idle one; if none is idle, the one whose phase is the oldest.
///
/// A connection consumes only the requests that it answers. A route can therefore hand the socket
/// over to a new owner, with all bytes that the client sent after its request.
final class HTTPServer: StreamService {
    /// Limits on the clients' use of resources.
    struct Limits {
        /// From a request's first byte to its last.
        var readTimeout: Duration = .seconds(10)
        /// From an answer to the end of its transmission.
        var writeTimeout: Duration = .seconds(10)
        /// From an answer to the next request.
        var idleTimeout: Duration = .seconds(10)
        /// From the end of a connection's last answer to its close.
        var drainTimeout: Duration = .milliseconds(500)
        var connections = 256
        /// Bytes of requests and answers held for all connections together.
        var heldOctets = 16 << 20
    }

    private let loop: EventLoop
    private let router: HTTPRouter
    private let admission: HTTPAdmission
    private let limits: Limits
    private let limitLog: LimitLog
    private let date: () -> Int64
    private var connections: [ObjectIdentifier: HTTPConnection] = [:]
    private let held = HTTPHeldOctets()

    /// Creates a server without connections.
    ///
    /// - Parameters:
    ///   - loop: The event loop.
    ///   - routes: The paths.
    ///   - unknownPath: The answer for all others.
    ///   - admission: Which clients with an address are answered; clients on unix sockets always
    ///     are.
    ///   - limits: The limits on the clients' use of resources.
    ///   - limitLog: Counts connections that close early.
    ///   - date: Returns the time of day in seconds since 1970.
    init(
        loop: EventLoop,
        routes: [HTTPRoute],
        unknownPath: HTTPResponse = HTTPRouter.unknownPath,
        admitting admission: HTTPAdmission,
        limits: Limits = Limits(),
        reporting limitLog: LimitLog = .discarding(),
        date: @escaping () -> Int64 = { WallClock.microseconds() / 1_000_000 }
    ) {
        self.loop = loop
        router = HTTPRouter(routes, unknownPath: unknownPath)
        self.admission = admission
        self.limits = limits
        self.limitLog = limitLog
        self.date = date
    }

    /// The number of connected clients.
    var connectionCount: Int { connections.count }

    func accept(_ stream: consuming OwnedDescriptor, from peer: Endpoint?) {
        if connections.count >= limits.connections {
            limitLog.reached(.apiConnections, maximum: limits.connections)
            dropLongestIdle()
        }
        let local = peer == nil ? nil : Self.localAddress(stream)
        let connection = HTTPConnection(
            stream,
            loop: loop,
            limits: limits,
            held: held,
            deciding: { [router, admission] request in
                if peer != nil, let refusal = admission.refusal(of: request.head, at: local) {
                    return .response(refusal)
                }
                return router.decide(request, from: peer)
            },
            date: date
        ) { [weak self] in self?.connections[ObjectIdentifier($0)] = nil }
        // If the loop cannot watch another descriptor, the connection is not stored and therefore
        // closes.
        if connection.start() { connections[ObjectIdentifier(connection)] = connection }
    }

    /// The address that a client connected to; nil for a flow of the engine.
    private static func localAddress(_ stream: borrowing OwnedDescriptor) -> IPAddress? {
        do {
            return try Socket.localAddress(stream).endpoint?.address
        } catch {
            return nil
        }
    }

    /// Closes all connections.
    func close() {
        for connection in Array(connections.values) { connection.close() }
    }

    private func dropLongestIdle() {
        let victim = connections.values.min {
            ($0.isIdle ? 0 : 1, $0.since) < ($1.isIdle ? 0 : 1, $1.since)
        }
        victim?.close()
    }
}

/// The number of bytes of unfinished requests and unsent answers that a server holds.
final class HTTPHeldOctets {
    var count = 0
}
