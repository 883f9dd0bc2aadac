/// One of the host's resolvers, and the transport to it.
struct DNSUpstream: Hashable, Sendable {
    enum Transport: Sendable {
        case datagram
        case stream
    }

    var server: ZonedEndpoint
    var transport: Transport
}

/// One socket to one server, and the queries that wait for answers on it.
///
/// The kernel accepts datagrams from that server only. This type checks the identifier and the
/// question, so a forger has to guess the port, the identifier and the name (RFC 5452).
final class DNSUpstreamChannel {
    /// Limit on datagrams read per turn.
    private static let datagramsPerTurn = 64

    let upstream: DNSUpstream
    /// The number of queries sent on this socket.
    private(set) var uses = 0
    private(set) var waiting: [UInt16: ForwardedQuery] = [:]
    private let descriptor: OwnedDescriptor
    private let loop: EventLoop
    private unowned let forwarder: DNSForwarder
    private var watch: EventLoop.Watch?
    private var stream = DNSStreamBuffer(limit: Int(UInt16.max))
    private var isConnected: Bool
    private var hasAnswered = false

    /// Opens a socket.
    ///
    /// - Parameters:
    ///   - upstream: The server and the transport.
    ///   - loop: The loop that watches the socket until `close`.
    ///   - forwarder: Receives answers and failures; outlives the channel.
    /// - Throws: `SystemError` when the server is unreachable or no descriptor is free.
    init(
        to upstream: DNSUpstream,
        loop: EventLoop,
        forwarder: DNSForwarder
    ) throws(SystemError) {
        self.upstream = upstream
        self.loop = loop
        self.forwarder = forwarder
        switch upstream.transport {
        case .datagram:
            descriptor = try Socket.connectedDatagram(to: upstream.server.resolved())
            isConnected = true
        case .stream:
            descriptor = try Socket.connectingStream(to: upstream.server.resolved())
            isConnected = false
        }
        watch = try loop.watch(
            descriptor.number,
            for: isConnected ? .readable : .writable,
            observer: self
        )
    }

    /// Stops watching; the socket closes when the last reference to the channel is released.
    func close() {
        guard let watch else { return }
        loop.forget(watch)
        self.watch = nil
        waiting = [:]
    }

    /// Sends a query with an identifier that is unique on this socket.
    ///
    /// - Parameters:
    ///   - query: The query, which waits for the answer from now on.
    ///   - id: An identifier that is not in `waiting`.
    /// - Throws: `SystemError` when the socket is no longer usable.
    func send(_ query: ForwardedQuery, id: UInt16) throws(SystemError) {
        let message = query.query.message(withID: id)
        switch upstream.transport {
        case .datagram:
            // A full queue drops the datagram, as the network might; a retry follows after the
            // timeout.
            _ = try Socket.send(descriptor, message)
        case .stream:
            stream.queue(message)
            if isConnected { try flush() }
        }
        uses += 1
        waiting[id] = query
    }

    /// Stops waiting for an identifier's answer.
    func release(_ id: UInt16) {
        waiting[id] = nil
    }

    private func flush() throws(SystemError) {
        try stream.flush(to: descriptor)
        if let watch {
            loop.change(watch, to: stream.unsent > 0 ? [.readable, .writable] : .readable)
        }
    }
}

extension DNSUpstreamChannel: ReadinessObserver {
    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do {
            switch upstream.transport {
            case .datagram: try receiveDatagrams()
            case .stream: try continueStream(readiness)
            }
        } catch {
            forwarder.channelFailed(self, because: error.description, isUsable: false)
        }
    }

    private func receiveDatagrams() throws(SystemError) {
        let buffer = forwarder.buffer
        for _ in 0..<Self.datagramsPerTurn {
            guard watch != nil, let count = try Socket.receive(descriptor, into: buffer.memory)
            else {
                return
            }
            deliver(buffer.prefix(count))
        }
    }

    private func continueStream(_ readiness: Readiness) throws(SystemError) {
        if readiness.contains(.writable) {
            isConnected = true
            try flush()
        }
        guard !readiness.isDisjoint(with: [.readable, .failed, .hungUp]) else { return }
        let arrival = try stream.fill(from: descriptor, through: forwarder.buffer)
        while watch != nil, let message = stream.nextMessage() { deliver(message) }
        if case .end = arrival, watch != nil {
            // RFC 7766, 6.2.4: a server may close at any time; its unanswered queries are sent
            // again.
            forwarder.channelFailed(self, because: "closed by the server", isUsable: hasAnswered)
        }
    }

    private func deliver(_ message: [UInt8]) {
        guard message.count >= DNSHeader.length else { return forwarder.dropped() }
        let id = UInt16(message[0]) << 8 | UInt16(message[1])
        guard let query = waiting[id], query.query.isAnswered(by: message) else {
            return forwarder.dropped()
        }
        hasAnswered = true
        forwarder.answered(query, by: message, on: self, id: id)
    }
}
