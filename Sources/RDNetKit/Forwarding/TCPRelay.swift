/// Joins two connections, on TCP or unix sockets, into one: a client's, and the relay's own to the
/// server.
///
/// How it works: a turn moves waiting data from one side through a pipe to the other, without
/// copying (splice(2)). The relay borrows the pipe for that moment. If the receiver does not accept
/// everything, the relay keeps the pipe with the rest, and reads no more until it is empty, so a
/// slow receiver slows down its peer through the peer's own window. When all pipes are kept, a turn
/// peeks at the waiting data, sends it, and discards the accepted part: that keeps no data here. So
/// memory is bounded, and an idle relay costs two descriptors.
///
/// Both sockets are watched for changes (edge-triggered), once; each side remembers whether it may
/// read and write. An end of stream is passed on as such, and the relay ends when both directions
/// have ended. A reset is passed on as a reset, after the data before it. If a server refuses, or
/// does not answer within five seconds, the client is reset.
final class TCPRelay: TimerObserver {
    /// Time limit for a server's answer.
    static let dialLimit: Duration = .seconds(5)

    private enum Phase {
        /// The upstream handshake is in progress; the client is not watched yet.
        case dialing
        case open
        case closed
    }

    /// Whose relays end together; nil if the relay ends by itself only.
    let owner: ObjectIdentifier?
    private unowned let connector: RelayConnector
    private let client: TCPRelaySide
    private let upstream: TCPRelaySide
    private var phase = Phase.dialing
    private var dialTimer: TimerWheel.Token?
    /// Called once with the server's answer to the connection attempt.
    var answered: ((GuestAnswer) -> Void)?
    /// Whether the relay is queued for a turn.
    private var isDue = false

    /// Creates a relay that takes over two sockets.
    ///
    /// - Parameters:
    ///   - client: Connected.
    ///   - upstream: Connecting or connected.
    ///   - owner: Whose relays end together; nil for none.
    ///   - connector: Gives turns, lends pipes, and removes the relay at its end.
    init(
        _ client: consuming OwnedDescriptor,
        _ upstream: consuming OwnedDescriptor,
        for owner: ObjectIdentifier?,
        _ connector: RelayConnector
    ) {
        self.owner = owner
        self.client = TCPRelaySide(client)
        self.upstream = TCPRelaySide(upstream)
        self.connector = connector
        self.client.relay = self
        self.upstream.relay = self
    }

    /// Starts waiting for the server.
    ///
    /// - Throws: `SystemError` if the loop cannot watch the socket; the caller must then abort the
    ///   relay.
    func start() throws(SystemError) {
        try upstream.watch(connector.loop)
        dialTimer = connector.loop.schedule(connector.loop.now + Self.dialLimit, observer: self)
    }

    // MARK: Events

    func timerFired(now: Instant) {
        dialTimer = nil
        tell(.silent)
        fail("no answer in \(Self.dialLimit)")
    }

    /// Handles an event on either side.
    func changed() {
        switch phase {
        case .closed: return
        case .dialing: dialed()
        case .open: ask()
        }
    }

    /// Handles the end of the handshake, successful or not.
    private func dialed() {
        let code = Socket.takeError(upstream.descriptor)
        guard code == 0 else {
            tell(.refused)
            return fail(SystemError.message(code))
        }
        guard upstream.mayWrite else { return }
        if let dialTimer { connector.loop.cancel(dialTimer) }
        dialTimer = nil
        phase = .open
        tell(.connected)
        do {
            try client.watch(connector.loop)
        } catch {
            return fail("\(error)")
        }
        // Most clients send first, and their data is waiting by now.
        client.mayRead = true
        client.mayWrite = true
        ask()
    }

    private func tell(_ answer: GuestAnswer) {
        answered?(answer)
        answered = nil
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

    // MARK: Data

    /// Moves a share in each direction.
    ///
    /// - Parameter share: Limit on the bytes in each direction.
    /// - Returns: Whether more data can be moved immediately.
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

    /// Moves the waiting data of one side.
    ///
    /// - Throws: `SystemError` if the source has failed and has no more data.
    private func move(
        from source: TCPRelaySide,
        to sink: TCPRelaySide,
        _ share: Int
    ) throws(SystemError) {
        guard source.canMove(to: sink) else { return }
        guard !source.hasUrgent, let pipe = source.kept ?? connector.pipes.take() else {
            return try copy(from: source, to: sink)
        }
        // Set until the pipe is returned, so that no failure loses it.
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

    /// Moves data without a pipe: peeks, sends, and discards the sent part.
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
        // A failed source's end of stream is not passed on: a reset follows.
        if !source.hasFailed { Socket.shutDownSending(sink.descriptor) }
    }

    // MARK: Closing

    /// Whether one of the sockets has a local address that the machine has lost.
    func usesLocalAddress(of addresses: LostAddresses) -> Bool {
        addresses.contain(localAddressOf: client.descriptor)
            || addresses.contain(localAddressOf: upstream.descriptor)
    }

    /// Resets both connections.
    func abort() {
        Socket.resetOnClose(client.descriptor)
        Socket.resetOnClose(upstream.descriptor)
        close()
    }

    /// Ends the relay and closes its sockets.
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
