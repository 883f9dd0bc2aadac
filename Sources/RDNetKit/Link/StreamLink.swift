/// A byte stream as a link: a unix, TCP or vsock connection, or a pair of pipes, with
/// length-prefixed frames.
///
/// How it works: When the stream is readable, one large read fills a buffer; frames are parsed in
/// place and go to the receiver as one batch. Outgoing frames collect in one buffer during the turn
/// and leave in one write; bytes that the kernel does not take stay at the front.
///
/// The link also negotiates offloads (DESIGN, section 4). The guest's end sends an offer. The
/// host's end accepts it and writes extended frames from then on. The guest's end answers with a
/// start message and then does the same. Each direction changes its format exactly after the
/// message that announces the change, wherever reads and writes happen to be cut.
final class StreamLink: FrameLink, ReadinessObserver {
    /// The role of this end in the negotiation.
    enum NegotiationRole: Equatable {
        /// No negotiation: the peer does not know of it (QEMU).
        case silent
        /// The guest's end: offers what its interface takes.
        case offering(OffloadCapabilities)
        /// The host's end: answers an offer.
        case accepting
    }

    /// The configuration of this end of a stream.
    struct Configuration {
        var name: String
        var format: StreamFormat
        var mtu: Int
        var role: NegotiationRole
        /// Compared with the other end's subnet.
        var subnet: Subnet
        /// The source address of negotiation messages.
        var mac: MACAddress
    }

    /// Limit on reads per turn, so that others get their turn.
    private static let readsPerTurn = 2
    /// The requested size of each kernel buffer; the kernel grants up to `net.core.wmem_max`.
    private static let socketBuffer: Int32 = 4 << 20

    var counters = LinkCounters()
    private(set) var isClosed = false
    /// The format of outgoing frames.
    var format: StreamFormat? { output.format }
    var receivesOffloadHeaders: Bool { input.format == .extended }
    /// Whether outgoing frames are in extended format.
    var isExtended: Bool { output.format == .extended }
    var name: String { configuration.name }
    var queuedOctets: Int { output.count }

    private let configuration: Configuration
    private let loop: EventLoop
    private let log: Logger
    private let stream: ByteStream
    private var input: StreamInput
    private var output: StreamOutput
    private var watch: EventLoop.Watch?
    /// The watch on a separate output descriptor; set only while a write has to wait.
    private var outputWatch: EventLoop.Watch?
    private var waitsForWriting = false
    private var isReading = true
    /// Whether enough of the stream has arrived to tell what it is.
    private var isIdentified = false
    private var refusedRoom = false
    private weak var receiver: (any FrameReceiver)?

    /// Creates a link over a connected socket that does not read yet, and enlarges its buffers.
    convenience init(
        _ socket: consuming OwnedDescriptor,
        _ configuration: Configuration,
        loop: EventLoop,
        log: Logger
    ) {
        self.init(ByteStream(socket), configuration, loop: loop, log: log)
    }

    /// Creates a link that does not read yet, and enlarges the stream's buffers.
    init(
        _ stream: consuming ByteStream,
        _ configuration: Configuration,
        loop: EventLoop,
        log: Logger
    ) {
        stream.enlargeBuffers(to: Self.socketBuffer)
        self.stream = stream
        self.configuration = configuration
        self.loop = loop
        self.log = log
        input = StreamInput(format: configuration.format)
        output = StreamOutput(format: configuration.format, mtu: configuration.mtu)
    }

    /// Starts reading frames for a receiver, and offers offloads if that is this end's role.
    ///
    /// - Parameters:
    /// - receiver: Receives the frames; a weak reference.
    /// - now: The turn's clock.
    /// - Throws: `SystemError` when the kernel accepts no more watches.
    func start(for receiver: any FrameReceiver, now: Instant) throws(SystemError) {
        self.receiver = receiver
        watch = try loop.watch(stream.input.number, for: .readable, observer: self)
        if case .offering(let capabilities) = configuration.role {
            _ = negotiate(.offer, capabilities)
            flush(now: now)
        }
    }

    // MARK: Inwards

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if readiness.contains(.writable) { flush(now: now) }
        guard !isClosed, !readiness.isDisjoint(with: [.readable, .hungUp, .failed]) else { return }
        guard isReading else {
            // The watch would report the end until reading resumes.
            if readiness.isDisjoint(with: [.hungUp, .failed]) { return }
            return fail("the other end closed the stream", now: now)
        }
        do {
            for _ in 0..<Self.readsPerTurn {
                let count = try input.fill { (room) throws(SystemError) in
                    try stream.receive(into: room)
                }
                guard let count else { break }
                if count == 0 { return fail("the other end closed the stream", now: now) }
                if !isIdentified, let fault = contradiction { return breakOff(fault, now: now) }
                let mayHaveMore = input.wasFilled
                try deliverFrames(now: now)
                if isClosed { return }
                if !isReading { break }
                // A short read emptied the socket; another read would return nothing.
                if !mayHaveMore { break }
            }
        } catch let error as StreamInput.FramingError {
            return breakOff("\(error)", now: now)
        } catch {
            return fail("\(error)", now: now)
        }
        receiver?.batchEnded(on: self, now: now)
    }

    /// What the stream's first bytes say against its framing; nil if they fit.
    private var contradiction: String? {
        guard let opening = StreamOpening(input.opening) else { return nil }
        isIdentified = true
        return opening.contradiction(of: configuration.format)
    }

    private func breakOff(_ fault: String, now: Instant) {
        log.warning("link is not of this kind", ["link": name, "reason": fault])
        fail(fault, now: now)
    }

    private func deliverFrames(now: Instant) throws(StreamInput.FramingError) {
        guard let receiver else { return }
        while !isClosed, isReading, let frame = try input.next() {
            guard frame.hasReceivableLength else {
                counters.malformed &+= 1
                continue
            }
            if isNegotiation(frame) { continue }
            counters.framesReceived &+= 1
            counters.octetsReceived &+= UInt64(frame.octets.count)
            receiver.receive(frame, from: self, now: now)
        }
    }

    func setReading(_ isReading: Bool) {
        guard isReading != self.isReading, !isClosed else { return }
        self.isReading = isReading
        if let watch { loop.change(watch, to: readiness) }
        guard isReading else { return }
        // Frames that were read before, which no watch reports.
        do {
            try deliverFrames(now: loop.now)
        } catch {
            return breakOff("\(error)", now: loop.now)
        }
        receiver?.batchEnded(on: self, now: loop.now)
    }

    /// What the watch on the input waits for.
    private var readiness: Readiness {
        let input: Readiness = isReading ? .readable : []
        let isTwoWay = stream.outputNumber == stream.input.number
        return waitsForWriting && isTwoWay ? input.union(.writable) : input
    }

    // MARK: Negotiation

    private func isNegotiation(_ frame: Frame) -> Bool {
        guard configuration.role != .silent, frame.octets.count == OffloadMessage.length else {
            return false
        }
        do {
            receive(try OffloadMessage(reading: frame.octets.bytes))
            return true
        } catch {
            return false
        }
    }

    private func receive(_ message: OffloadMessage) {
        switch (message.kind, configuration.role) {
        case (.offer, .accepting) where !isExtended:
            warnOfOtherSubnet(message.subnet)
            let common = message.capabilities.intersection(.all)
            if negotiate(.accept, common) { extendOutput(common, message.maximumFrame) }
        case (.accept, .offering) where !isExtended:
            warnOfOtherSubnet(message.subnet)
            input.format = .extended
            if negotiate(.start, message.capabilities) {
                extendOutput(message.capabilities, message.maximumFrame)
            }
        case (.start, .accepting) where isExtended:
            input.format = .extended
        case (.offer, _), (.accept, _), (.start, _):
            // A repeated message, or one that this end must not receive.
            counters.malformed &+= 1
        }
    }

    /// Queues a message; returns false if the queue is full, and the format must not change then.
    private func negotiate(
        _ kind: OffloadMessage.Kind,
        _ capabilities: OffloadCapabilities
    ) -> Bool {
        guard let room = reserve(OffloadMessage.length, .control) else { return false }
        let message = OffloadMessage(
            kind: kind,
            capabilities: capabilities,
            maximumFrame: Frame.maximumLength,
            subnet: configuration.subnet
        )
        var octets = room.mutableBytes
        message.write(to: &octets, source: configuration.mac)
        commit(OffloadMessage.length, .finished)
        return true
    }

    private func extendOutput(_ capabilities: OffloadCapabilities, _ maximumFrame: Int) {
        output.extend(capabilities, maximumFrame: maximumFrame)
        if maximumFrame < EthernetHeader.length + configuration.mtu {
            log.warning(
                "peer's maximum frame is below the MTU; longer packets are dropped",
                ["link": name, "mtu": "\(configuration.mtu)", "longest": "\(maximumFrame)"]
            )
        }
        log.debug(
            "offloads agreed",
            [
                "link": name, "capabilities": "\(capabilities.rawValue)",
                "longest": "\(maximumFrame)",
            ]
        )
    }

    private func warnOfOtherSubnet(_ other: Subnet) {
        let own = configuration.subnet
        guard own.network != other.network || own.prefixLength != other.prefixLength else { return }
        log.warning(
            "peer is configured for another subnet",
            ["link": name, "own": "\(own)", "other": "\(other)"]
        )
    }

    // MARK: Outwards

    func reserve(_ count: Int, _ priority: FramePriority) -> UnsafeMutableRawBufferPointer? {
        guard !isClosed else { return nil }
        if let room = output.reserve(count, priority) { return room }
        counters.dropped &+= priority == .control ? 1 : 0
        refusedRoom = true
        return nil
    }

    func commit(_ count: Int, _ header: VirtioNetHeader) {
        let frames = output.commit(count, header)
        counters.framesSent &+= UInt64(frames)
        if frames == 0 { counters.dropped &+= 1 } else { counters.octetsSent &+= UInt64(count) }
    }

    func flush(now: Instant) {
        guard !isClosed else { return }
        do {
            try output.drain { (octets) throws(SystemError) in try stream.send(octets) }
            try waitForWriting(output.count > 0)
        } catch {
            return fail("\(error)", now: now)
        }
        if refusedRoom, output.hasRoom {
            refusedRoom = false
            receiver?.hasRoom(self, now: now)
        }
    }

    private func waitForWriting(_ wanted: Bool) throws(SystemError) {
        guard wanted != waitsForWriting, let watch else { return }
        waitsForWriting = wanted
        guard stream.outputNumber != stream.input.number else {
            return loop.change(watch, to: readiness)
        }
        if let outputWatch { loop.forget(outputWatch) }
        outputWatch =
            wanted
            ? try loop.watch(stream.outputNumber, for: .writable, observer: OutputObserver(self))
            : nil
    }

    /// Observes a descriptor that is only written to; the write reports any error there.
    private final class OutputObserver: ReadinessObserver {
        private unowned let link: StreamLink

        init(_ link: StreamLink) {
            self.link = link
        }

        func descriptorReady(_ readiness: Readiness, now: Instant) {
            link.flush(now: now)
        }
    }

    func verifyPeer(now: Instant) {
        if stream.hasEnded { return fail("the other end closed the stream", now: now) }
        stream.probePeer()
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        if let watch { loop.forget(watch) }
        watch = nil
        if let outputWatch { loop.forget(outputWatch) }
        outputWatch = nil
        stream.shutDown()
    }

    private func fail(_ reason: String, now: Instant) {
        guard !isClosed else { return }
        close()
        receiver?.closed(self, reason: reason, now: now)
    }
}
