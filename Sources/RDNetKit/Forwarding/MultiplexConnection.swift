/// What a channel of a multiplexer is connected to on this side.
protocol MultiplexChannelEnd: AnyObject {
    /// Receives bytes, valid only during the call; `MultiplexConnection.consume` lets the peer send
    /// more.
    func receive(_ octets: UnsafeRawBufferPointer, now: Instant)
    /// The peer sends no more.
    func peerShutDown()
    /// The channel no longer exists.
    func closed(wasReset: Bool, now: Instant)
    /// Sends one piece.
    ///
    /// - Parameter limit: Limit on the bytes, at most what the peer's window allows; 0 if it allows
    ///   none.
    /// - Returns: Whether more can be sent at once.
    func takeTurn(limit: Int) -> Bool
}

/// A stream that carries the channels of VPNKit's multiplexer.
///
/// How it works: each event reads a limited amount and delivers it to the channels' ends, which
/// keep what their own sockets do not accept; the window limits that. In each turn the channels
/// that have something to send send one piece each, in the order in which they asked. When the
/// stream does not accept the output, they wait, and when answers to the peer pile up because the
/// peer does not read them, the connection reads no more either. A slow channel therefore holds
/// back only itself.
final class MultiplexConnection: ReadinessObserver, TurnParticipant {
    /// Unsent bytes at which channels stop sending.
    private static let sendLimit = 512 * 1024
    /// Unsent bytes at which the connection stops reading.
    private static let readLimit = 2 * sendLimit
    private static let inputSize = 512 * 1024
    private static let piece = ReceiveBuffer.size
    private static let piecesPerTurn = 256
    private static let bufferSize: Int32 = 1 << 20

    /// What the owner of a connection learns.
    struct Events {
        /// The peer's handshake has arrived.
        var ready: () -> Void = {}
        /// The peer opened a channel; nil refuses it.
        var opened: (UInt32, ForwarderDestination) -> (any MultiplexChannelEnd)? = { _, _ in nil }
        /// The connection has ended, after its channels.
        var ended: (_ reason: String) -> Void = { _ in }
    }

    let loop: EventLoop
    /// Set before `start`.
    var events = Events()
    private let stream: OwnedDescriptor
    private var mux: Multiplexer
    private var ends: [UInt32: any MultiplexChannelEnd] = [:]
    private var due: [UInt32] = []
    private var isDue: Set<UInt32> = []
    private let input = UnsafeMutableRawBufferPointer.allocate(byteCount: inputSize, alignment: 64)
    /// Bytes of an incomplete frame at the start of `input`.
    private var held = 0
    private var sent = 0
    private var wasReady = false
    private var watch: EventLoop.Watch?
    private var watched: Readiness = .readable

    /// Creates a connection; nothing happens before `start`.
    ///
    /// - Parameters:
    ///   - stream: Connected, non-blocking.
    ///   - side: Which end of the stream this is.
    ///   - hasHandshake: Whether both ends send the handshake.
    ///   - loop: The loop, which keeps the connection alive until it ends.
    init(
        _ stream: consuming OwnedDescriptor,
        _ side: Multiplexer.Side,
        hasHandshake: Bool,
        loop: EventLoop
    ) {
        Socket.enlargeBuffers(stream, to: Self.bufferSize)
        self.stream = stream
        self.loop = loop
        mux = Multiplexer(side, hasHandshake: hasHandshake)
    }

    deinit {
        input.deallocate()
    }

    /// Starts to exchange frames.
    func start() throws(SystemError) {
        watch = try loop.watch(stream.number, for: watched, observer: self)
        loop.join(self)
        flush()
    }

    /// Ends the connection and resets its channels.
    func close(_ reason: String = "closed") {
        guard let watch else { return }
        loop.forget(watch)
        self.watch = nil
        loop.leave(self)
        let channels = mux.channels
        let ends = ends
        self.ends = [:]
        for (number, end) in ends {
            end.closed(wasReset: !(channels[number]?.peerHasShutDown ?? false), now: loop.now)
        }
        events.ended(reason)
        events = Events()
    }

    /// Whether frames can be exchanged.
    var isReady: Bool { watch != nil && mux.isReady }
    /// Whether another channel can be opened.
    var hasRoom: Bool { isReady && mux.hasRoom && unsent < Self.readLimit }
    private var unsent: Int { mux.output.count - sent }

    /// The channels for a report, by number.
    var channels: [(number: UInt32, channel: MultiplexChannel)] {
        mux.channels.map { ($0, $1) }.sorted { $0.number < $1.number }
    }

    // MARK: For channels

    /// Opens a channel.
    ///
    /// - Returns: Its number, for `attach`; nil if there is no room.
    func open(_ destination: ForwarderDestination) -> UInt32? {
        guard hasRoom else { return nil }
        return mux.open(destination)
    }

    /// Connects a channel to its end.
    func attach(_ end: any MultiplexChannelEnd, to number: UInt32) {
        ends[number] = end
    }

    /// Asks for a turn to send.
    func ask(_ number: UInt32) {
        guard isDue.insert(number).inserted else { return }
        due.append(number)
    }

    /// Queues bytes on a channel, at most the limit of the turn.
    func send(_ octets: UnsafeRawBufferPointer, on number: UInt32) {
        mux.startData(octets.count, on: number)
        mux.output.append(contentsOf: octets)
    }

    /// Counts received bytes that an end has passed on.
    func consume(_ count: Int, on number: UInt32) {
        mux.consume(count, on: number)
    }

    /// Ends this side's direction of a channel.
    func shutDown(_ number: UInt32) {
        mux.shutDown(number)
    }

    /// Ends a channel; its end gets no more calls.
    func close(channel number: UInt32) {
        ends[number] = nil
        mux.close(number)
    }

    // MARK: Receiving

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if watched.contains(.readable), !readiness.isDisjoint(with: [.readable, .hungUp, .failed]) {
            read(now: now)
        }
        flush()
    }

    private func read(now: Instant) {
        do {
            let room = UnsafeMutableRawBufferPointer(rebasing: input[held...])
            guard let count = try Socket.receive(stream, into: room) else { return }
            guard count > 0 else { return close("closed by the peer") }
            held += count
            try deliver(now: now)
        } catch {
            close("\(error)")
        }
    }

    private func deliver(now: Instant) throws(MultiplexError) {
        let octets = UnsafeRawBufferPointer(rebasing: input[..<held])
        var start = 0
        while let event = try mux.read(octets.bytes, from: &start) {
            handle(event, octets, now: now)
            // An end may have closed the connection.
            guard watch != nil else { return }
        }
        if start > 0, start < held {
            input.copyMemory(from: UnsafeRawBufferPointer(rebasing: octets[start...]))
        }
        held -= start
        if !wasReady, mux.isReady {
            wasReady = true
            events.ready()
        }
    }

    private func handle(
        _ event: Multiplexer.Event,
        _ octets: UnsafeRawBufferPointer,
        now: Instant
    ) {
        switch event {
        case .opened(let number, let destination):
            guard let end = events.opened(number, destination) else { return mux.close(number) }
            ends[number] = end
            mux.accept(number)
        case .data(let number, let range):
            ends[number]?.receive(UnsafeRawBufferPointer(rebasing: octets[range]), now: now)
        case .shutDown(let number): ends[number]?.peerShutDown()
        case .closed(let number, let wasReset):
            ends.removeValue(forKey: number)?.closed(wasReset: wasReset, now: now)
        case .allowed(let number): ask(number)
        }
    }

    // MARK: Sending

    func takeTurn(now: Instant) -> Bool {
        var count = min(due.count, Self.piecesPerTurn)
        var index = 0
        while count > 0, unsent < Self.sendLimit {
            let number = due[index]
            index += 1
            count -= 1
            isDue.remove(number)
            let limit = min(mux.allowance(of: number), Self.piece)
            if let end = ends[number], end.takeTurn(limit: limit) { ask(number) }
        }
        due.removeFirst(index)
        flush()
        return watch != nil && !due.isEmpty && unsent < Self.sendLimit
    }

    private func flush() {
        guard watch != nil else { return }
        while unsent > 0 {
            do {
                guard let count = try Socket.send(stream, mux.output, from: sent) else { break }
                sent += count
            } catch {
                return close("\(error)")
            }
        }
        if unsent == 0 {
            mux.output.removeAll(keepingCapacity: true)
            sent = 0
        } else if sent > mux.output.count / 2 {
            mux.output.removeSubrange(..<sent)
            sent = 0
        }
        let readable: Readiness = unsent < Self.readLimit ? .readable : []
        let writable: Readiness = unsent > 0 ? .writable : []
        let wanted = readable.union(writable)
        guard wanted != watched, let watch else { return }
        watched = wanted
        loop.change(watch, to: wanted)
    }
}
