/// A byte stream as a link: unix, TCP or vsock connection, or a pair of pipes, with length-prefixed
/// frames.
///
/// How it works: readable → one large read, frames parsed in place and handed to the receiver as
/// one batch. Outwards, frames collect in one buffer during the turn and leave in one write; what
/// the kernel does not take stays in front. The offload negotiation (DESIGN, section 4) runs
/// inside: the guest's end offers, the host's end accepts and from then on writes extended frames,
/// the guest's end starts to. Each direction changes format exactly behind the message that
/// announces it, wherever reads and writes happen to be cut.
final class StreamLink: FrameLink, ReadinessObserver {
    /// Which part of the negotiation this end plays.
    enum NegotiationRole: Equatable {
        /// None: the peer cannot know of it (QEMU).
        case silent
        /// The guest's end: sends the offer of what its interface takes.
        case offering(OffloadCapabilities)
        /// The host's end: answers an offer.
        case accepting
    }

    /// How this end of a stream is set up.
    struct Configuration {
        var name: String
        var format: StreamFormat
        var mtu: Int
        var role: NegotiationRole
        /// For the comparison with the other end's.
        var subnet: Subnet
        /// The source address of negotiation messages.
        var mac: MACAddress
    }

    /// How much one turn reads before others get theirs: two buffers.
    private static let readsPerTurn = 2
    /// What the kernel is asked to queue each way; it grants what `net.core.wmem_max` allows.
    private static let socketBuffer: Int32 = 4 << 20

    var counters = LinkCounters()
    private(set) var isClosed = false
    /// How frames go out.
    var format: StreamFormat? { output.format }
    var receivesOffloadHeaders: Bool { input.format == .extended }
    /// Whether frames go out in extended form.
    var isExtended: Bool { output.format == .extended }
    var name: String { configuration.name }

    private let configuration: Configuration
    private let loop: EventLoop
    private let log: Logger
    private let stream: ByteStream
    private var input: StreamInput
    private var output: StreamOutput
    private var watch: EventLoop.Watch?
    /// Of the descriptor that is written to where that is another one, and only while writing has
    /// to wait.
    private var outputWatch: EventLoop.Watch?
    private var waitsForWriting = false
    private var refusedRoom = false
    private weak var receiver: (any FrameReceiver)?

    /// Makes a link over a connected socket that does not read yet, and gives it large buffers.
    convenience init(
        _ socket: consuming OwnedDescriptor,
        _ configuration: Configuration,
        loop: EventLoop,
        log: Logger
    ) {
        self.init(ByteStream(socket), configuration, loop: loop, log: log)
    }

    /// Makes a link that does not read yet, and gives the stream large buffers.
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

    /// Begins to read frames for a receiver, and offers offloads if that is this end's part.
    ///
    /// - Parameters:
    ///   - receiver: Not kept alive.
    ///   - now: The turn's clock.
    /// - Throws: `SystemError` when the kernel takes no more watches.
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
        do {
            for _ in 0..<Self.readsPerTurn {
                let count = try input.fill { (room) throws(SystemError) in
                    try stream.receive(into: room)
                }
                guard let count else { break }
                if count == 0 { return fail("the other end closed the stream", now: now) }
                let mayHaveMore = input.wasFilled
                try deliverFrames(now: now)
                if isClosed { return }
                // A short read took all there was: asking again would only hear so.
                if !mayHaveMore { break }
            }
        } catch let error as StreamInput.FramingError {
            return fail("framing lost: \(error)", now: now)
        } catch {
            return fail("\(error)", now: now)
        }
        receiver?.batchEnded(on: self, now: now)
    }

    private func deliverFrames(now: Instant) throws(StreamInput.FramingError) {
        guard let receiver else { return }
        while !isClosed, let frame = try input.next() {
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
            // Repeated, or not this end's to receive.
            counters.malformed &+= 1
        }
    }

    /// Queues a message; the format may change only behind one that is on its way.
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
            return loop.change(watch, to: wanted ? [.readable, .writable] : .readable)
        }
        if let outputWatch { loop.forget(outputWatch) }
        outputWatch =
            wanted
            ? try loop.watch(stream.outputNumber, for: .writable, observer: OutputObserver(self))
            : nil
    }

    /// Hears of the descriptor that is only written to: an error there is met by the write.
    private final class OutputObserver: ReadinessObserver {
        private unowned let link: StreamLink

        init(_ link: StreamLink) {
            self.link = link
        }

        func descriptorReady(_ readiness: Readiness, now: Instant) {
            link.flush(now: now)
        }
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
