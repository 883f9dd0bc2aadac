/// A virtual machine's network device as a link: frames go through rings in the machine's memory.
///
/// How it works: the front end (QEMU, Cloud Hypervisor, crosvm) connects to a unix socket and
/// passes its guest's memory and, for each ring, two event descriptors: the guest's kick and its
/// call. Frames from the guest are copied once, out of the guest's memory, before anything judges
/// them. Frames to the guest are made in a buffer of this link and copied into the guest's buffers
/// by `commit`; nothing queues here. When the guest has no buffers, `reserve` refuses, and the link
/// asks for a kick. Both directions keep checksums and segmentation pending, if the guest agrees.
///
/// The guest may break its rings and the front end the protocol (`VhostFault`): this ends the link
/// and nothing else. A front end that reconnects starts over with the used index in the guest's
/// memory, so a guest survives the end of this process.
final class VhostLink: FrameLink, ReadinessObserver {
    private static let outputRing = 0
    private static let inputRing = 1
    /// Limits on frames read per turn, as `TAPLink` has them.
    private static let framesPerTurn = 64
    private static let shortFramesPerTurn = 512
    private static let shortFramesOctets = 1 << 20
    /// The guest starts its work on frames of this length while more are written.
    private static let octetsPerCall = 1 << 16

    let name: String
    let receivesOffloadHeaders = true
    var counters = LinkCounters()
    private(set) var isClosed = false

    private let loop: EventLoop
    private let log: Logger
    private var connection: VhostConnection
    private let device = VhostDevice()
    private var output: VhostOutput
    private var input: VirtioInput?
    /// The watches on the connection, and on the kicks of the output and input ring.
    private var watch: EventLoop.Watch?
    private var kicks: [EventLoop.Watch?] = [nil, nil]
    private let received: UnsafeMutableRawBufferPointer
    private var headerLength = 0
    private var isReading = true
    /// A fault that was found while a frame was made.
    private var pendingFault: VhostFault?
    private weak var receiver: (any FrameReceiver)?

    /// Creates a link that does not read yet.
    ///
    /// - Parameters:
    ///   - socket: A connected unix stream.
    ///   - name: The name in logs.
    ///   - mtu: The largest payload of a frame to a guest that takes no segments.
    ///   - loop: The event loop.
    ///   - log: Records a guest that breaks the rules.
    init(
        _ socket: consuming OwnedDescriptor,
        named name: String,
        mtu: Int,
        loop: EventLoop,
        log: Logger
    ) {
        self.name = name
        self.loop = loop
        self.log = log
        connection = VhostConnection(socket)
        output = VhostOutput(mtu: mtu)
        received = .allocate(byteCount: VhostOutput.bufferLength, alignment: 64)
    }

    deinit {
        received.deallocate()
    }

    /// Starts to answer the front end.
    ///
    /// - Parameter receiver: Receives the frames; a weak reference.
    /// - Throws: `SystemError` when the kernel accepts no more watches.
    func start(for receiver: any FrameReceiver) throws(SystemError) {
        self.receiver = receiver
        watch = try loop.watch(connection.socket.number, for: .readable, observer: self)
    }

    // MARK: The front end

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do throws(VhostFault) {
            while !isClosed, let (header, request) = try connection.next() {
                stopRings()
                let reply = try device.receive(request, header, &connection.descriptors)
                if case .other = request {
                    let number = "\(header.request)"
                    log.debug("vhost-user request ignored", ["link": name, "number": number])
                }
                try startRings()
                if let reply { try connection.send(reply) }
            }
        } catch {
            fail(error, now: now)
        }
    }

    /// Stops both rings and stores where they stopped.
    private func stopRings() {
        for watch in kicks { if let watch { loop.forget(watch) } }
        kicks = [nil, nil]
        call()
        if let next = output.stop() { device.setBase(of: Self.outputRing, to: next) }
        if let input { device.setBase(of: Self.inputRing, to: input.next) }
        input = nil
    }

    /// Takes up the rings that are ready.
    private func startRings() throws(VhostFault) {
        headerLength = device.features.headerLength
        if let memory = device.memory, device.isReady(Self.outputRing) {
            output.start(try device.makeRing(Self.outputRing), in: memory, device.features)
            kicks[Self.outputRing] = try watchKick(of: Self.outputRing) { [unowned self] now in
                offerRoom(now: now)
            }
        }
        if device.isReady(Self.inputRing) {
            input = VirtioInput(try device.makeRing(Self.inputRing))
            kicks[Self.inputRing] = try watchKick(of: Self.inputRing) { [unowned self] now in
                receiveFrames(now: now)
            }
        }
    }

    private func watchKick(
        of ring: Int,
        _ action: @escaping (Instant) -> Void
    ) throws(VhostFault) -> EventLoop.Watch? {
        do throws(SystemError) {
            return try device.rings[ring].watchKick(on: loop, KickObserver(action))
        } catch {
            throw .system(error)
        }
    }

    /// Observes the guest's kicks of one ring.
    private final class KickObserver: ReadinessObserver {
        private let action: (Instant) -> Void

        init(_ action: @escaping (Instant) -> Void) {
            self.action = action
        }

        func descriptorReady(_ readiness: Readiness, now: Instant) {
            action(now)
        }
    }

    // MARK: From the guest

    private func receiveFrames(now: Instant) {
        guard let input, let memory = device.memory, isReading, !isClosed else { return }
        do throws(VirtioFault) {
            input.refuseKicks()
            let isEmpty = try receiveFrames(input, memory, now: now)
            if isClosed { return }
            if input.needsNotification() { device.rings[Self.inputRing].callGuest() }
            // The next turn goes on as if the guest had kicked.
            if !isEmpty { device.rings[Self.inputRing].kickSelf() }
        } catch {
            return fail(.ring(Self.inputRing, error), now: now)
        }
        if memory.isLost { return fail(.lostMemory, now: now) }
        receiver?.batchEnded(on: self, now: now)
    }

    /// Receives a turn's frames.
    ///
    /// - Returns: Whether the ring is empty, and the guest kicks it next.
    private func receiveFrames(
        _ input: VirtioInput,
        _ memory: GuestMemory,
        now: Instant
    ) throws(VirtioFault) -> Bool {
        let octetsBefore = counters.octetsReceived
        for frames in 1... {
            guard let length = try input.take(into: received, from: memory) else {
                if try input.awaitKick() { return true }
                input.refuseKicks()
                continue
            }
            deliver(length, now: now)
            // A frame can close the link, or make it stop reading.
            if isClosed || !isReading { return true }
            let octets = counters.octetsReceived - octetsBefore
            if frames >= Self.shortFramesPerTurn { break }
            if frames >= Self.framesPerTurn, octets >= Self.shortFramesOctets { break }
        }
        return false
    }

    private func deliver(_ length: Int, now: Instant) {
        let count = length - headerLength
        guard count >= EthernetHeader.length, count <= Frame.maximumReceivedLength else {
            return counters.malformed &+= 1
        }
        let header: VirtioNetHeader
        do throws(PacketError) {
            header = try VirtioNetHeader(reading: UnsafeRawBufferPointer(received).bytes)
        } catch {
            preconditionFailure("the buffer has room for a header")
        }
        counters.framesReceived &+= 1
        counters.octetsReceived &+= UInt64(count)
        let octets = UnsafeRawBufferPointer(rebasing: received[headerLength..<length])
        receiver?.receive(Frame(octets, header), from: self, now: now)
    }

    func setReading(_ isReading: Bool) {
        guard isReading != self.isReading, !isClosed else { return }
        self.isReading = isReading
        if isReading, input != nil { device.rings[Self.inputRing].kickSelf() }
    }

    // MARK: To the guest

    func reserve(_ count: Int, _ priority: FramePriority) -> UnsafeMutableRawBufferPointer? {
        guard !isClosed else { return nil }
        do throws(VirtioFault) {
            if let room = try output.reserve(count, priority) { return room }
        } catch {
            failLater(.ring(Self.outputRing, error))
        }
        if priority == .control { counters.dropped &+= 1 }
        return nil
    }

    func commit(_ count: Int, _ header: VirtioNetHeader) {
        guard !isClosed else { return }
        do throws(VirtioFault) {
            try output.commit(count, header, &counters)
        } catch {
            failLater(.ring(Self.outputRing, error))
        }
        if output.octetsSinceCall >= Self.octetsPerCall { call() }
    }

    func flush(now: Instant) {
        guard !isClosed else { return }
        if let fault = pendingFault { return fail(fault, now: now) }
        if output.octetsSinceCall > 0 { call() }
    }

    /// Notifies the guest of frames and of those that were taken, unless it is at work anyway.
    private func call() {
        if output.needsNotification() { device.rings[Self.outputRing].callGuest() }
        if let input, input.needsNotification() { device.rings[Self.inputRing].callGuest() }
    }

    /// The guest has provided buffers.
    private func offerRoom(now: Instant) {
        if !isClosed, output.hasRoomAgain() { receiver?.hasRoom(self, now: now) }
    }

    // MARK: The end

    func verifyPeer(now: Instant) {
        if Socket.hasEnded(connection.socket) { fail(.closed, now: now) }
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        stopRings()
        if let watch { loop.forget(watch) }
        watch = nil
        device.release()
        Socket.shutDownBoth(connection.socket)
    }

    /// Ends the link at the next flush: code that sends a frame does not expect its link to close.
    private func failLater(_ fault: VhostFault) {
        if pendingFault == nil { pendingFault = fault }
    }

    private func fail(_ fault: VhostFault, now: Instant) {
        guard !isClosed else { return }
        // Rings in lost memory look broken.
        let fault = device.memory?.isLost == true ? .lostMemory : fault
        close()
        if !fault.isOrdinary {
            log.warning("vhost-user link broken", ["link": name, "reason": "\(fault)"])
        }
        receiver?.closed(self, reason: "\(fault)", now: now)
    }
}
