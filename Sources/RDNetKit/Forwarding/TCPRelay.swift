/// Two connections, on TCP or unix sockets, that act as one: a client's, and ours to the server
/// that it wants.
///
/// How it works: a turn moves what waits on one side through a pipe to the other, without copying
/// (splice(2)). The pipe is a loan for that moment, unless the receiver does not take everything:
/// then the relay keeps it, with the rest inside, and takes no more until it is empty, so that a
/// slow receiver slows its peer down through the peer's own window. When all pipes are kept, a turn
/// peeks at what waits, sends it, and discards as much as was taken: that needs nothing to be kept.
/// So the memory is bounded, and an idle relay costs two descriptors.
///
/// Both sockets are watched for changes (edge-triggered), once; a side remembers what it may do. An
/// end of stream is passed on as one, and the relay ends when both directions have. A reset is
/// passed on as a reset, after what came before it; a server that refuses, or does not answer
/// within five seconds, resets the client.
final class TCPRelay: TimerObserver {
    /// How long a server may take to answer.
    static let dialLimit: Duration = .seconds(5)

    private enum Phase {
        /// Upstream's handshake is under way; the client is not looked at.
        case dialling
        case open
        case closed
    }

    private unowned let connector: RelayConnector
    private let client: TCPRelaySide
    private let upstream: TCPRelaySide
    private var phase = Phase.dialling
    private var dialTimer: TimerWheel.Token?
    /// Whether the connector is to give it a turn.
    private var isDue = false

    /// Takes over two sockets.
    ///
    /// - Parameters:
    ///   - client: Connected.
    ///   - upstream: Connecting, or connected already.
    ///   - connector: Gives turns, lends pipes, and forgets the relay at its end.
    init(
        _ client: consuming OwnedDescriptor,
        _ upstream: consuming OwnedDescriptor,
        _ connector: RelayConnector
    ) {
        self.client = TCPRelaySide(client)
        self.upstream = TCPRelaySide(upstream)
        self.connector = connector
        self.client.relay = self
        self.upstream.relay = self
    }

    /// Begins to wait for the server.
    ///
    /// - Throws: `SystemError` when the loop cannot watch it; then the relay is to be aborted.
    func start() throws(SystemError) {
        try upstream.watch(connector.loop)
        dialTimer = connector.loop.schedule(connector.loop.now + Self.dialLimit, observer: self)
    }

    // MARK: Events

    func timerFired(now: Instant) {
        dialTimer = nil
        fail("no answer in \(Self.dialLimit)")
    }

    /// Takes note of news from either side.
    func changed() {
        switch phase {
        case .closed: return
        case .dialling: dialled()
        case .open: ask()
        }
    }

    /// The handshake has ended, one way or the other.
    private func dialled() {
        let code = Socket.takeError(upstream.descriptor)
        guard code == 0 else { return fail(SystemError.message(code)) }
        guard upstream.mayWrite else { return }
        if let dialTimer { connector.loop.cancel(dialTimer) }
        dialTimer = nil
        phase = .open
        do {
            try client.watch(connector.loop)
        } catch {
            return fail("\(error)")
        }
        // Most clients speak first, and have spoken by now.
        client.mayRead = true
        client.mayWrite = true
        ask()
    }

    private func fail(_ cause: String) {
        connector.failed(cause)
        abort()
    }

    private func ask() {
        guard !isDue else { return }
        isDue = true
        connector.enqueue(self)
    }

    // MARK: Octets

    /// Moves a share in each direction.
    ///
    /// - Parameter share: At most so many octets in each direction.
    /// - Returns: Whether there is more to move at once.
    func takeTurn(share: Int) -> Bool {
        isDue = false
        guard phase == .open else { return false }
        do {
            try move(from: client, to: upstream, share)
            try move(from: upstream, to: client, share)
        } catch {
            abort()
            return false
        }
        if client.isLost || upstream.isLost {
            abort()
            return false
        }
        if client.hasEnded, upstream.hasEnded {
            close()
            return false
        }
        isDue = client.canMove(to: upstream) || upstream.canMove(to: client)
        return isDue
    }

    /// Moves what waits on one side.
    ///
    /// - Throws: `SystemError` when the source has failed and has nothing more to give.
    private func move(
        from source: TCPRelaySide,
        to sink: TCPRelaySide,
        _ share: Int
    ) throws(SystemError) {
        guard source.canMove(to: sink) else { return }
        guard !source.hasUrgent, let pipe = source.kept ?? connector.pipes.take() else {
            return try copy(from: source, to: sink)
        }
        // Until it is given back, so that no failure loses it.
        source.kept = pipe
        if pipe.count == 0 {
            if let filled = try pipe.fill(from: source.descriptor, upTo: share) {
                if filled.count == 0 { end(of: source, for: sink) }
                if filled.isAll { source.hasGivenAll() }
            } else {
                source.mayRead = false
            }
        }
        sink.take(from: pipe)
        if pipe.count == 0 { giveBackPipe(of: source) }
    }

    /// Moves without a pipe: by peeking, sending, and discarding what was sent.
    private func copy(from source: TCPRelaySide, to sink: TCPRelaySide) throws(SystemError) {
        let room = connector.memory
        guard let count = try Socket.peek(source.descriptor, into: room) else {
            source.mayRead = false
            return
        }
        guard count > 0 else { return end(of: source, for: sink) }
        let sent = sink.send(UnsafeRawBufferPointer(rebasing: room[..<count]))
        try Socket.skip(source.descriptor, sent, over: room)
        if sent == count, count < room.count { source.hasGivenAll() }
    }

    private func end(of source: TCPRelaySide, for sink: TCPRelaySide) {
        source.end()
        // Of a failed one the end is no end: a reset follows.
        if !source.hasFailed { Socket.shutDownSending(sink.descriptor) }
    }

    // MARK: The end

    /// Resets both connections.
    func abort() {
        Socket.resetOnClose(client.descriptor)
        Socket.resetOnClose(upstream.descriptor)
        close()
    }

    /// Ends the relay; the sockets close with it.
    func close() {
        guard phase != .closed else { return }
        phase = .closed
        if let dialTimer { connector.loop.cancel(dialTimer) }
        for side in [client, upstream] {
            side.forget(connector.loop)
            giveBackPipe(of: side)
        }
        connector.ended(self)
    }

    private func giveBackPipe(of side: TCPRelaySide) {
        guard let pipe = side.kept else { return }
        side.kept = nil
        connector.pipes.giveBack(pipe)
    }
}
