/// A TAP device as a link: super-frames both ways, one system call per frame.
///
/// `commit` writes a frame to the kernel at once, not at the end of the turn. A TAP always takes
/// one frame per call, so batching saves nothing, and the guest's side starts its work sooner.
final class TAPLink: FrameLink, ReadinessObserver {
    /// Limits on frames read per turn, so that others get their turn.
    ///
    /// More short frames are read, because a turn's work per flow (sending, acknowledging) then
    /// covers many frames together.
    private static let framesPerTurn = 64
    private static let shortFramesPerTurn = 512
    private static let shortFramesOctets = 1 << 20
    /// A `virtio_net_hdr` and an Ethernet frame with the largest IP packet.
    private static let bufferLength = VirtioNetHeader.length + EthernetHeader.length + 65_535

    let name: String
    let receivesOffloadHeaders = true
    var counters = LinkCounters()
    private(set) var isClosed = false

    private let loop: EventLoop
    private let device: TAPDevice
    private let input: UnsafeMutableRawBufferPointer
    private let output: UnsafeMutableRawBufferPointer
    private var watch: EventLoop.Watch?
    private weak var receiver: (any FrameReceiver)?
    private var pull: ((Instant) -> Void)?
    private var isReading = true

    /// Creates a link that does not read yet.
    init(_ device: consuming TAPDevice, named name: String, loop: EventLoop) {
        self.device = device
        self.name = name
        self.loop = loop
        input = .allocate(byteCount: Self.bufferLength, alignment: 64)
        output = .allocate(byteCount: Self.bufferLength, alignment: 64)
    }

    deinit {
        input.deallocate()
        output.deallocate()
    }

    /// Starts reading frames for a receiver, which must outlive the link or close it.
    ///
    /// - Parameter receiver: Receives the frames; a weak reference.
    /// - Throws: `SystemError` when the kernel accepts no more watches.
    func start(for receiver: any FrameReceiver) throws(SystemError) {
        self.receiver = receiver
        watch = try loop.watch(device.descriptor.number, for: .readable, observer: self)
    }

    /// Starts calling a closure while frames wait; the closure reads them with `read(into:)`.
    ///
    /// - Parameters:
    /// - receiver: Receives the link's state changes; a weak reference.
    /// - pull: Called while frames wait.
    /// - Throws: `SystemError` when the kernel accepts no more watches.
    func start(
        for receiver: any FrameReceiver,
        pull: @escaping (Instant) -> Void
    ) throws(SystemError) {
        self.pull = pull
        try start(for: receiver)
    }

    func setReading(_ isReading: Bool) {
        guard let watch, !isClosed else { return }
        self.isReading = isReading
        loop.change(watch, to: isReading ? .readable : [])
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        // The kernel reports an error only for an interface that no longer exists, even while
        // nothing is to be read.
        if readiness.contains(.failed) { return fail("the interface was deleted", now: now) }
        if let pull { return pull(now) }
        guard let receiver else { return }
        do {
            let octetsBefore = counters.octetsReceived
            for frames in 1...Self.shortFramesPerTurn {
                guard try readFrame(for: receiver, now: now) else { break }
                let octets = counters.octetsReceived - octetsBefore
                if !isReading { break }
                if frames >= Self.framesPerTurn, octets >= Self.shortFramesOctets { break }
            }
        } catch {
            fail("\(error)", now: now)
            return
        }
        receiver.batchEnded(on: self, now: now)
    }

    /// Reads one frame directly into another link's room.
    ///
    /// - Parameter room: Large enough for the largest frame.
    /// - Returns: The frame's length and header; nil when no frame waits.
    /// - Throws: `SystemError` when the device no longer exists.
    func read(
        into room: UnsafeMutableRawBufferPointer
    ) throws(SystemError) -> (count: Int, header: VirtioNetHeader)? {
        let space = UnsafeMutableRawBufferPointer(rebasing: input[..<VirtioNetHeader.length])
        guard
            let count = try TAPDevice.read(device.descriptor.number, header: space, frame: room)
        else { return nil }
        let header: VirtioNetHeader
        do {
            header = try VirtioNetHeader(reading: space.bytes)
        } catch {
            counters.malformed &+= 1
            return nil
        }
        let length = count - VirtioNetHeader.length
        counters.framesReceived &+= 1
        counters.octetsReceived &+= UInt64(length)
        return (length, header)
    }

    private func readFrame(
        for receiver: any FrameReceiver,
        now: Instant
    ) throws(SystemError) -> Bool {
        let room = UnsafeMutableRawBufferPointer(rebasing: input[VirtioNetHeader.length...])
        guard let (count, header) = try read(into: room) else { return false }
        guard count >= EthernetHeader.length else {
            counters.malformed &+= 1
            return true
        }
        let frame = Frame(UnsafeRawBufferPointer(rebasing: room[..<count]), header)
        receiver.receive(frame, from: self, now: now)
        return !isClosed
    }

    func reserve(_ count: Int, _ priority: FramePriority) -> UnsafeMutableRawBufferPointer? {
        guard !isClosed else { return nil }
        let start = VirtioNetHeader.length
        return UnsafeMutableRawBufferPointer(rebasing: output[start..<(start + count)])
    }

    /// The offloads that the interface supports.
    var capabilities: OffloadCapabilities {
        device.hasUSO ? .all : OffloadCapabilities.all.subtracting(.udp)
    }

    func commit(_ count: Int, _ header: VirtioNetHeader) {
        guard !isClosed else { return }
        if header.segmentation == .udp, !device.hasUSO { return cut(count, header) }
        let whole = UnsafeMutableRawBufferPointer(
            rebasing: output[..<(VirtioNetHeader.length + count)]
        )
        var octets = whole.mutableBytes
        header.write(to: &octets)
        do {
            guard
                try TAPDevice.write(device.descriptor.number, UnsafeRawBufferPointer(whole)) != nil
            else { return counters.dropped &+= 1 }
            counters.framesSent &+= 1
            counters.octetsSent &+= UInt64(count)
        } catch {
            // EIO: the interface is down; EINVAL: the kernel rejects the header. Neither ends the
            // link.
            counters.dropped &+= 1
        }
    }

    /// Sends a UDP super-frame as single datagrams, for a kernel without USO.
    private func cut(_ count: Int, _ header: VirtioNetHeader) {
        let start = VirtioNetHeader.length
        // A copy, because each packet overwrites the original.
        let whole = Array(output[start..<(start + count)])
        whole.withUnsafeBytes { octets in
            do {
                let segments = try FrameSegments(octets, header)
                for index in 0..<segments.count {
                    segments.write(
                        index,
                        to: UnsafeMutableRawBufferPointer(rebasing: output[start...])
                    )
                    commit(segments.length(of: index), .finished)
                }
            } catch {
                counters.dropped &+= 1
            }
        }
    }

    /// Writes a frame directly from its buffer.
    func send(_ frame: Frame, _ priority: FramePriority) {
        guard !isClosed else { return }
        if frame.header.segmentation == .udp, !device.hasUSO {
            output[VirtioNetHeader.length...].copyBytes(from: frame.octets)
            return cut(frame.octets.count, frame.header)
        }
        let space = UnsafeMutableRawBufferPointer(rebasing: output[..<VirtioNetHeader.length])
        var octets = space.mutableBytes
        frame.header.write(to: &octets)
        do {
            let written = try TAPDevice.write(
                device.descriptor.number,
                header: UnsafeRawBufferPointer(space),
                frame: frame.octets
            )
            guard written != nil else { return counters.dropped &+= 1 }
            counters.framesSent &+= 1
            counters.octetsSent &+= UInt64(frame.octets.count)
        } catch {
            counters.dropped &+= 1
        }
    }

    func flush(now: Instant) {}

    func close() {
        guard !isClosed else { return }
        isClosed = true
        if let watch { loop.forget(watch) }
        watch = nil
        device.refuseOffloads()
    }

    private func fail(_ reason: String, now: Instant) {
        close()
        receiver?.closed(self, reason: reason, now: now)
    }
}
