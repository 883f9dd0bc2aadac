/// An HTTP/1.1 server: the API on the gateway's port 80 and on the host.
///
/// How it works: each connection reads a little, answers what is complete, and writes; all on the
/// loop. While answers wait to be written nothing more is read, so a client that does not read
/// slows itself. A request, an answer and idleness each have a deadline; the number of connections,
/// the octets of a request and those of all requests and answers together have a limit. The longest
/// idle connection gives way to a new one.
///
/// A connection never takes more out of its socket than the requests that it answers need, so a
/// route can hand the socket over to somebody else, with everything that the client sent behind its
/// request.
final class HTTPServer: StreamService {
    /// What clients may use up.
    struct Limits {
        /// From a request's first octet to its last.
        var readTimeout: Duration = .seconds(10)
        /// For an answer to be taken.
        var writeTimeout: Duration = .seconds(10)
        /// From an answer to the next request.
        var idleTimeout: Duration = .seconds(10)
        /// From the end of a connection's last answer to its close.
        var drainTimeout: Duration = .milliseconds(500)
        var connections = 256
        /// Octets of requests and answers that are held for all connections together.
        var heldOctets = 16 << 20
    }

    private let loop: EventLoop
    private let router: HTTPRouter
    private let limits: Limits
    private let limitLog: LimitLog
    private let date: () -> Int64
    private var connections: [ObjectIdentifier: HTTPConnection] = [:]
    private let held = HTTPHeldOctets()

    /// Makes a server without connections.
    ///
    /// - Parameters:
    ///   - loop: Tells when clients send and when deadlines pass.
    ///   - routes: The paths; all others are answered with 404.
    ///   - limits: What clients may use up.
    ///   - limitLog: Counts connections that close early.
    ///   - date: The time of day in seconds since 1970.
    init(
        loop: EventLoop,
        routes: [HTTPRoute],
        limits: Limits = Limits(),
        reporting limitLog: LimitLog = .discarding(),
        date: @escaping () -> Int64 = { WallClock.microseconds() / 1_000_000 }
    ) {
        self.loop = loop
        router = HTTPRouter(routes)
        self.limits = limits
        self.limitLog = limitLog
        self.date = date
    }

    /// How many clients are connected.
    var connectionCount: Int { connections.count }

    func accept(_ stream: consuming OwnedDescriptor, from peer: Endpoint?) {
        if connections.count >= limits.connections {
            limitLog.reached(.apiConnections, maximum: limits.connections)
            dropLongestIdle()
        }
        let connection = HTTPConnection(
            stream,
            loop: loop,
            limits: limits,
            held: held,
            deciding: { [router] in router.decide($0, from: peer) },
            date: date
        ) { [weak self] in self?.connections[ObjectIdentifier($0)] = nil }
        // A loop that cannot watch any more descriptors leaves the connection unregistered: closed.
        if connection.start() { connections[ObjectIdentifier(connection)] = connection }
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

/// How many octets of unfinished requests and of answers a server holds.
final class HTTPHeldOctets {
    var count = 0
}
