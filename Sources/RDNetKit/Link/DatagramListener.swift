/// A unix socket of datagrams at which guests are heard: each sender's address is a link.
///
/// vfkit, libkrun and their kin bind a socket of their own and send each frame as one datagram;
/// there is no connection. A sender's first datagram makes its link: it may be a greeting that
/// begins with `VFKT`, as older ones send, or a frame already. The link ends when its address is
/// gone, which a timer finds out for a guest that is sent nothing, and begins anew with the next
/// datagram: a guest that comes back needs nothing to be done.
final class DatagramListener: ReadinessObserver {
    /// How much one turn reads before others get theirs: two batches.
    private static let batchesPerTurn = 2
    /// What the kernel is asked to queue each way; it grants what `net.core.wmem_max` allows.
    private static let socketBuffer: Int32 = 4 << 20
    /// After a link that ended or was refused no new one begins for so long, or a sender that
    /// cannot be answered would make one with each of its datagrams.
    private static let rest: Duration = .milliseconds(100)
    /// How often idle guests are probed.
    static let probeInterval: Duration = .seconds(5)
    private static let greeting = Array("VFKT".utf8)

    private let file: SocketFile
    /// Datagrams of senders that have no link: they cannot be answered, or there were too many.
    private(set) var ignored: UInt64 = 0

    private let descriptor: OwnedDescriptor
    private let mtu: Int
    private let loop: EventLoop
    private let taking: (DatagramLink) -> (any FrameReceiver)?
    private var input = ReceivedPackets(maximumLength: Frame.maximumReceivedLength)
    private var links: [String: DatagramLink] = [:]
    private var restingUntil = Instant(nanoseconds: 0)
    private var watch: EventLoop.Watch?
    /// Set while there are links.
    private var nextProbe: TimerWheel.Token?

    /// Starts to listen.
    ///
    /// - Parameters:
    ///   - path: At most 107 octets; mode 0600.
    ///   - mtu: The largest payload of a frame to a guest.
    ///   - loop: Where everything runs.
    ///   - taking: Is given each new link and says who takes its frames; nil refuses it.
    /// - Throws: `SystemError` with the path in it.
    init(
        path: String,
        mtu: Int,
        loop: EventLoop,
        taking: @escaping (DatagramLink) -> (any FrameReceiver)?
    ) throws(SystemError) {
        descriptor = try ListeningSocket.unix(path: path, .datagram)
        Socket.enlargeBuffers(descriptor, to: Self.socketBuffer)
        file = SocketFile(path)
        self.mtu = mtu
        self.loop = loop
        self.taking = taking
        do {
            watch = try loop.watch(descriptor.number, for: .readable, observer: self)
        } catch {
            file.remove()
            throw error
        }
    }

    /// Ends the socket, and with it all its links: they have no other way.
    func close() {
        guard let watch else { return }
        loop.forget(watch)
        self.watch = nil
        if let nextProbe { loop.cancel(nextProbe) }
        file.remove()
        for link in Array(links.values) { link.close() }
    }

    // MARK: Inwards

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        for _ in 0..<Self.batchesPerTurn {
            let count: Int
            do throws(SystemError) {
                count = try input.receive(from: descriptor)
            } catch {
                // An error is about one datagram; the socket itself does not fail.
                return
            }
            guard deliver(count, now: now), count == ReceivedPackets.maximumCount else { return }
        }
    }

    /// Hands each datagram to its sender's link; false when the listener was closed meanwhile.
    private func deliver(_ count: Int, now: Instant) -> Bool {
        var last: DatagramLink?
        for index in 0..<count {
            guard watch != nil else { return false }
            let sender = input.sender(index)
            guard let path = sender.path, path.hasPrefix("/") else {
                ignored &+= 1
                continue
            }
            let packet = input.packet(index)
            let known = links[path]
            guard let link = known ?? open(sender, path, now: now) else {
                ignored &+= 1
                continue
            }
            if link !== last { last?.batchEnded(now: now) }
            last = link
            if known == nil, packet?.starts(with: Self.greeting) == true { continue }
            link.receive(packet, now: now)
        }
        last?.batchEnded(now: now)
        return watch != nil
    }

    private func open(_ sender: SocketAddress, _ path: String, now: Instant) -> DatagramLink? {
        guard now >= restingUntil else { return nil }
        let name = "vfkit+unixgram://\(file.path) from \(path)"
        let link = DatagramLink(sender, of: self, named: name, mtu: mtu, loop: loop)
        guard let receiver = taking(link) else {
            link.close()
            pause(now: now)
            return nil
        }
        links[path] = link
        link.start(for: receiver)
        if nextProbe == nil { scheduleProbe() }
        return link
    }

    private func scheduleProbe() {
        nextProbe = loop.after(Self.probeInterval) { [weak self] now in self?.probe(now: now) }
    }

    private func probe(now: Instant) {
        nextProbe = nil
        for link in Array(links.values) { link.probe(now: now) }
        // A link that ended may have been the program's last: then the listener is closed.
        if watch != nil, !links.isEmpty { scheduleProbe() }
    }

    // MARK: Outwards

    /// Sends frames to one guest; nil when it takes none now.
    func send(
        _ batch: inout OutgoingPackets,
        to peer: SocketAddress
    ) throws(SystemError) -> Int? {
        try batch.send(over: descriptor, to: peer)
    }

    /// Lets go of a link that is closed.
    func forget(_ peer: SocketAddress) {
        if let path = peer.path { links[path] = nil }
    }

    /// Opens no new link for a moment.
    func pause(now: Instant) {
        restingUntil = now + Self.rest
    }
}
