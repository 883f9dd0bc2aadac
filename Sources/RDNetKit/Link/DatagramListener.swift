/// A unix datagram socket that receives frames from guests: each sender's address is a link.
///
/// vfkit, libkrun and similar programs bind their own socket and send each frame as one datagram,
/// without a connection. The first datagram from a sender creates its link. That datagram may
/// already be a frame, or a greeting that begins with `VFKT`, as older programs send. The link
/// closes when its address no longer exists; a timer detects this for a guest that receives no
/// frames. The next datagram creates the link again, so a guest that returns needs no action.
///
/// If another program removes the socket's file, the listener binds a new socket to the path
/// (`SocketFileKeeper`). A guest that is connected to the old socket accepts datagrams from that
/// socket only, so each link uses the socket that its guest sent to last.
final class DatagramListener {
    /// Limit on batches read per turn, so that others get their turn.
    private static let batchesPerTurn = 2
    /// The requested size of each kernel buffer; the kernel grants up to `net.core.wmem_max`.
    private static let socketBuffer: Int32 = 4 << 20
    /// The minimum time between the end or refusal of a link and the next link.
    ///
    /// Otherwise a sender that cannot be answered would create a link with each datagram.
    private static let rest: Duration = .milliseconds(100)
    /// The interval between probes of idle guests.
    static let probeInterval: Duration = .seconds(5)
    private static let greeting = Array("VFKT".utf8)

    private let path: String
    private let mtu: Int
    private let loop: EventLoop
    private let counters: ListenerCounters
    private let taking: (DatagramLink) -> (any FrameReceiver)?
    private var input = ReceivedPackets(maximumLength: Frame.maximumReceivedLength)
    private var links: [String: DatagramLink] = [:]
    private var restingUntil = Instant(nanoseconds: 0)
    /// Nil once the listener is closed.
    private var socket: DatagramSocket?
    /// Sockets before the latest, as long as links use them.
    private var formerSockets: [DatagramSocket] = []
    private var file: SocketFileKeeper?
    /// Set while links exist.
    private var nextProbe: TimerWheel.Token?

    /// Starts listening.
    ///
    /// - Parameters:
    /// - path: At most 107 bytes; the socket file gets mode 0600.
    /// - mtu: The largest payload of a frame to a guest.
    /// - loop: The event loop.
    /// - log: For a socket file that disappears.
    /// - counters: Counts datagrams without a link.
    /// - taking: Returns the receiver of a new link's frames; nil refuses the link.
    /// - Throws: `SystemError` with the path in it.
    init(
        path: String,
        mtu: Int,
        loop: EventLoop,
        log: Logger,
        counters: ListenerCounters = ListenerCounters(),
        taking: @escaping (DatagramLink) -> (any FrameReceiver)?
    ) throws(SystemError) {
        let bound = try ListeningSocket.unix(path: path, .datagram)
        self.path = path
        self.mtu = mtu
        self.loop = loop
        self.counters = counters
        self.taking = taking
        let file = SocketFileKeeper(path, .datagram, loop: loop, log: log) {
            [unowned self] newer throws(SystemError) in try replaceSocket(by: newer)
        }
        self.file = file
        do {
            socket = try makeSocket(bound)
        } catch {
            file.close()
            throw error
        }
    }

    private func makeSocket(
        _ bound: consuming OwnedDescriptor
    ) throws(SystemError) -> DatagramSocket {
        Socket.enlargeBuffers(bound, to: Self.socketBuffer)
        return try DatagramSocket(bound, of: self, loop: loop)
    }

    private func replaceSocket(by newer: consuming OwnedDescriptor) throws(SystemError) {
        let newest = try makeSocket(newer)
        if let socket { formerSockets.append(socket) }
        socket = newest
        closeUnusedSockets()
    }

    private func closeUnusedSockets() {
        formerSockets.removeAll { former in
            if links.values.contains(where: { $0.socket === former }) { return false }
            former.close()
            return true
        }
    }

    /// Closes the socket and all links, which cannot exist without it.
    func close() {
        guard let socket else { return }
        socket.close()
        self.socket = nil
        if let nextProbe { loop.cancel(nextProbe) }
        file?.close()
        for link in Array(links.values) { link.close() }
        closeUnusedSockets()
    }

    // MARK: Inwards

    /// Receives the datagrams that wait at a socket.
    fileprivate func receive(from socket: DatagramSocket, now: Instant) {
        for _ in 0..<Self.batchesPerTurn {
            let count: Int
            do throws(SystemError) {
                count = try input.receive(from: socket.descriptor)
            } catch {
                // The error is about one datagram; the socket itself does not fail.
                return
            }
            guard deliver(count, from: socket, now: now), count == ReceivedPackets.maximumCount
            else { return }
        }
    }

    /// Delivers each datagram to its sender's link; returns false if the listener was closed
    /// meanwhile.
    private func deliver(_ count: Int, from socket: DatagramSocket, now: Instant) -> Bool {
        var last: DatagramLink?
        for index in 0..<count {
            guard self.socket != nil else { return false }
            let sender = input.sender(index)
            guard let path = sender.path, path.hasPrefix("/") else {
                counters.ignoredDatagrams &+= 1
                continue
            }
            let packet = input.packet(index)
            let known = links[path]
            guard let link = known ?? open(sender, path, socket, now: now) else {
                counters.ignoredDatagrams &+= 1
                continue
            }
            if link.socket !== socket {
                link.socket = socket
                closeUnusedSockets()
            }
            if link !== last { last?.batchEnded(now: now) }
            last = link
            if known == nil, packet?.starts(with: Self.greeting) == true { continue }
            link.receive(packet, now: now)
        }
        last?.batchEnded(now: now)
        return self.socket != nil
    }

    private func open(
        _ sender: SocketAddress,
        _ path: String,
        _ socket: DatagramSocket,
        now: Instant
    ) -> DatagramLink? {
        guard now >= restingUntil else { return nil }
        let name = "vfkit+unixgram://\(self.path) from \(path)"
        let link = DatagramLink(sender, of: self, over: socket, named: name, mtu: mtu, loop: loop)
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
        // A closed link may have been the program's last; in that case the listener is closed.
        if socket != nil, !links.isEmpty { scheduleProbe() }
    }

    // MARK: The end of links

    /// Removes a closed link.
    func forget(_ peer: SocketAddress) {
        if let path = peer.path { links[path] = nil }
        if !formerSockets.isEmpty { closeUnusedSockets() }
    }

    /// Blocks new links for a moment.
    func pause(now: Instant) {
        restingUntil = now + Self.rest
    }
}

/// One socket of a `DatagramListener`: bound to its path now or earlier.
final class DatagramSocket: ReadinessObserver {
    fileprivate let descriptor: OwnedDescriptor
    /// Nil once the socket is no longer watched.
    private var listener: DatagramListener?
    private let loop: EventLoop
    private var watch: EventLoop.Watch?

    fileprivate init(
        _ descriptor: consuming OwnedDescriptor,
        of listener: DatagramListener,
        loop: EventLoop
    ) throws(SystemError) {
        self.descriptor = descriptor
        self.listener = listener
        self.loop = loop
        watch = try loop.watch(self.descriptor.number, for: .readable, observer: self)
    }

    /// Sends frames to one guest; returns nil when the guest takes none now.
    func send(
        _ batch: inout OutgoingPackets,
        to peer: SocketAddress
    ) throws(SystemError) -> Int? {
        try batch.send(over: descriptor, to: peer)
    }

    fileprivate func close() {
        if let watch { loop.forget(watch) }
        watch = nil
        listener = nil
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        listener?.receive(from: self, now: now)
    }
}
