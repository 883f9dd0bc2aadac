/// Joins a channel of a multiplexer and a stream socket into one connection.
///
/// How it works: bytes from the channel go to the socket at once; what it does not accept waits
/// here, and the channel's window limits that to 64 KiB. The socket is read only when the peer's
/// window allows more bytes. An end of stream is passed on as such, and the connection ends when
/// both directions have ended. A reset of the socket closes the channel without a shutdown, and a
/// channel that closes in this way resets the socket, after the bytes before it.
final class MultiplexStream: MultiplexChannelEnd, ReadinessObserver, TimerObserver {
    private static let changes: Readiness = [.readable, .writable, .ended, .onChange]

    private enum Phase {
        /// The socket's handshake is in progress.
        case dialing
        case open
        /// The channel is gone; the waiting bytes still go to the socket.
        case draining
        case closed
    }

    private let connection: MultiplexConnection
    private let number: UInt32
    private let socket: OwnedDescriptor
    private let buffer: ReceiveBuffer
    private let ended: (MultiplexStream) -> Void
    private var phase: Phase
    private var waiting: [UInt8] = []
    private var written = 0
    private var mayWrite = false
    private var mayRead = false
    /// Whether the socket's end of stream was read.
    private var inputEnded = false
    /// Whether the end of stream is unread; the loop does not report it again.
    private var endWaits = false
    /// Whether sending fails; the socket's waiting bytes are its last.
    private var hasFailed = false
    /// Whether the channel's end of stream follows the waiting bytes.
    private var outputEnds = false
    /// Whether a reset follows the waiting bytes.
    private var resets = false
    private var watch: EventLoop.Watch?
    private var dialTimer: TimerWheel.Token?

    /// Creates the connection's two halves.
    ///
    /// - Parameters:
    ///   - socket: Connected or connecting.
    ///   - isConnected: Whether it is connected.
    ///   - number: A channel of the connection.
    ///   - connection: The multiplexer's stream.
    ///   - buffer: Scratch memory of the loop.
    ///   - ended: Called once, at the end.
    init(
        _ socket: consuming OwnedDescriptor,
        isConnected: Bool,
        _ number: UInt32,
        of connection: MultiplexConnection,
        buffer: ReceiveBuffer,
        ended: @escaping (MultiplexStream) -> Void
    ) {
        self.socket = socket
        self.number = number
        self.connection = connection
        self.buffer = buffer
        self.ended = ended
        phase = isConnected ? .open : .dialing
        mayWrite = isConnected
    }

    /// Starts; the loop and the connection keep the stream alive.
    ///
    /// - Throws: `SystemError` if the loop cannot watch the socket; the stream has ended then.
    func start() throws(SystemError) {
        do {
            watch = try connection.loop.watch(socket.number, for: Self.changes, observer: self)
        } catch {
            abort()
            throw error
        }
        if phase == .dialing {
            let limit = connection.loop.now + TCPRelay.dialLimit
            dialTimer = connection.loop.schedule(limit, observer: self)
        } else {
            mayRead = true
            connection.ask(number)
        }
    }

    /// Resets both halves.
    func abort() {
        Socket.resetOnClose(socket)
        finish()
    }

    // MARK: The socket

    func timerFired(now: Instant) {
        dialTimer = nil
        abort()
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if phase == .dialing, !dialed(readiness) { return }
        let isOver = !readiness.isDisjoint(with: [.ended, .hungUp, .failed])
        if isOver { endWaits = true }
        if isOver || readiness.contains(.readable), !inputEnded {
            mayRead = true
            connection.ask(number)
        }
        if readiness.contains(.failed) { return fail() }
        if readiness.contains(.writable) { mayWrite = true }
        write()
    }

    /// Handles the end of the handshake; returns whether the socket is connected.
    private func dialed(_ readiness: Readiness) -> Bool {
        guard Socket.takeError(socket) == 0, !readiness.contains(.failed) else {
            abort()
            return false
        }
        guard readiness.contains(.writable) else { return false }
        if let dialTimer { connection.loop.cancel(dialTimer) }
        dialTimer = nil
        phase = .open
        return true
    }

    func takeTurn(limit: Int) -> Bool {
        guard phase == .open, mayRead, !inputEnded else { return false }
        // Without a window an end of stream cannot be told from waiting bytes, which may not be
        // read yet.
        guard limit > 0 else { return false }
        do {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer.memory[..<limit])
            guard let count = try Socket.receive(socket, into: room) else {
                mayRead = false
                return false
            }
            guard count > 0 else {
                endInput()
                return false
            }
            connection.send(UnsafeRawBufferPointer(rebasing: room[..<count]), on: number)
            if count < limit { mayRead = endWaits }
            return mayRead
        } catch {
            abort()
            return false
        }
    }

    private func endInput() {
        guard !hasFailed else { return abort() }
        inputEnded = true
        connection.shutDown(number)
        finishIfDone()
    }

    // MARK: The channel

    func receive(_ octets: UnsafeRawBufferPointer, now: Instant) {
        var rest = octets[...]
        if mayWrite, waiting.isEmpty, phase == .open {
            do {
                let count = try Socket.send(socket, octets) ?? 0
                if count < octets.count { mayWrite = false }
                connection.consume(count, on: number)
                rest = octets[count...]
            } catch {
                return fail()
            }
        }
        guard !hasFailed else { return connection.consume(rest.count, on: number) }
        waiting.append(contentsOf: rest)
    }

    func peerShutDown() {
        outputEnds = true
        write()
    }

    func closed(wasReset: Bool, now: Instant) {
        resets = wasReset
        outputEnds = true
        guard phase == .open else { return abort() }
        phase = .draining
        write()
    }

    /// Sends the waiting bytes, and then what follows them.
    private func write() {
        guard phase == .open || phase == .draining, !hasFailed else { return }
        do {
            while mayWrite, written < waiting.count {
                guard let count = try Socket.send(socket, waiting, from: written) else {
                    mayWrite = false
                    break
                }
                written += count
                if phase == .open { connection.consume(count, on: number) }
            }
        } catch {
            return fail()
        }
        guard written == waiting.count else { return }
        waiting = []
        written = 0
        guard outputEnds else { return }
        if phase == .draining {
            if resets { Socket.resetOnClose(socket) }
            return finish()
        }
        Socket.shutDownSending(socket)
        finishIfDone()
    }

    /// Records that sending failed; the bytes that the socket received before still go to the peer.
    private func fail() {
        hasFailed = true
        waiting = []
        written = 0
        guard phase == .open, !inputEnded else { return abort() }
        endWaits = true
        mayRead = true
        connection.ask(number)
    }

    private func finishIfDone() {
        if inputEnded, outputEnds, waiting.isEmpty { finish() }
    }

    private func finish() {
        guard phase != .closed else { return }
        if phase != .draining { connection.close(channel: number) }
        phase = .closed
        if let watch { connection.loop.forget(watch) }
        watch = nil
        if let dialTimer { connection.loop.cancel(dialTimer) }
        dialTimer = nil
        ended(self)
    }
}
