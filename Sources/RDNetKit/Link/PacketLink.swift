/// A connected packet socket as a link: for BESS ports and User Mode Linux's `bess` transport.
///
/// Each packet is one frame, both ways, without a prefix. Only the buffers limit its length, so a
/// runt or an oversized frame affects no other frame. One system call transfers many packets.
/// Packets that the other end does not take now wait in a bounded queue.
final class PacketLink: FrameLink, ReadinessObserver {
    /// Limit on batches read per turn, so that others get their turn.
    private static let batchesPerTurn = 2
    /// The requested size of each kernel buffer; the kernel grants up to `net.core.wmem_max`.
    private static let socketBuffer: Int32 = 4 << 20

    let name: String
    var counters = LinkCounters()
    private(set) var isClosed = false
    var queuedOctets: Int { output.count }

    private let loop: EventLoop
    private let descriptor: OwnedDescriptor
    private var input = ReceivedPackets(maximumLength: Frame.maximumReceivedLength)
    private var output: PacketOutput
    private var watch: EventLoop.Watch?
    private var waitsForWriting = false
    private var isReading = true
    private weak var receiver: (any FrameReceiver)?

    /// Creates a link that does not read yet, and enlarges the socket's buffers.
    ///
    /// - Parameters:
    /// - descriptor: A connected SOCK_SEQPACKET socket.
    /// - name: The name in logs.
    /// - mtu: The largest payload of a frame to the other end.
    /// - loop: The event loop.
    init(_ descriptor: consuming OwnedDescriptor, named name: String, mtu: Int, loop: EventLoop) {
        Socket.enlargeBuffers(descriptor, to: Self.socketBuffer)
        self.descriptor = descriptor
        self.name = name
        self.loop = loop
        output = PacketOutput(mtu: mtu)
    }

    /// Starts reading frames for a receiver.
    ///
    /// - Parameter receiver: Receives the frames; a weak reference.
    /// - Throws: `SystemError` when the kernel accepts no more watches.
    func start(for receiver: any FrameReceiver) throws(SystemError) {
        self.receiver = receiver
        watch = try loop.watch(descriptor.number, for: readiness, observer: self)
    }

    // MARK: Inwards

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if readiness.contains(.writable) { flush(now: now) }
        let hasEnded = !readiness.isDisjoint(with: [.ended, .hungUp])
        // The watch would report the end until reading resumes.
        if hasEnded, !isReading { return fail("the other end closed the connection", now: now) }
        guard isReading else { return }
        do {
            for _ in 0..<Self.batchesPerTurn {
                if isClosed { return }
                if !isReading { break }
                let count = try input.receive(from: descriptor)
                for index in 0..<count where !isClosed {
                    // The end of the connection also reads as an empty packet; the socket's state
                    // tells them apart.
                    if hasEnded, input.packet(index)?.isEmpty == true {
                        return fail("the other end closed the connection", now: now)
                    }
                    deliver(input.packet(index), now: now)
                }
                if count < ReceivedPackets.maximumCount { break }
            }
        } catch {
            return fail("\(error)", now: now)
        }
        receiver?.batchEnded(on: self, now: now)
    }

    private func deliver(_ packet: UnsafeRawBufferPointer?, now: Instant) {
        guard let packet, packet.count >= EthernetHeader.length else {
            counters.malformed &+= 1
            return
        }
        counters.framesReceived &+= 1
        counters.octetsReceived &+= UInt64(packet.count)
        receiver?.receive(Frame(packet), from: self, now: now)
    }

    // MARK: Outwards

    func reserve(_ count: Int, _ priority: FramePriority) -> UnsafeMutableRawBufferPointer? {
        isClosed ? nil : output.reserve(count, priority, &counters)
    }

    func commit(_ count: Int, _ header: VirtioNetHeader) {
        output.commit(count, header, &counters)
    }

    func flush(now: Instant) {
        guard !isClosed, !output.isEmpty else { return }
        do {
            _ = try output.drain(&counters) { (batch) throws(SystemError) in
                try batch.send(over: descriptor, to: nil)
            }
        } catch {
            return fail("\(error)", now: now)
        }
        waitForWriting(!output.isEmpty)
        if output.hasRoomAgain() { receiver?.hasRoom(self, now: now) }
    }

    private func waitForWriting(_ wanted: Bool) {
        guard wanted != waitsForWriting, let watch else { return }
        waitsForWriting = wanted
        loop.change(watch, to: readiness)
    }

    func setReading(_ isReading: Bool) {
        guard isReading != self.isReading, !isClosed else { return }
        self.isReading = isReading
        if let watch { loop.change(watch, to: readiness) }
    }

    private var readiness: Readiness {
        let input: Readiness = isReading ? [.readable, .ended] : .ended
        return waitsForWriting ? input.union(.writable) : input
    }

    func verifyPeer(now: Instant) {
        guard Socket.hasEnded(descriptor) else { return }
        fail("the other end closed the connection", now: now)
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        if let watch { loop.forget(watch) }
        watch = nil
        Socket.shutDownBoth(descriptor)
    }

    private func fail(_ reason: String, now: Instant) {
        guard !isClosed else { return }
        close()
        receiver?.closed(self, reason: reason, now: now)
    }
}
