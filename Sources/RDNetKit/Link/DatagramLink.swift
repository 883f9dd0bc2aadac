/// A link to one datagram sender: each datagram is one frame, and all senders share one socket.
///
/// The kernel queues few datagrams for a receiver (`net.unix.max_dgram_qlen`, 10 by default). It
/// does not report when the receiver has room again, unless the receiver is connected to our
/// socket. Unsent frames therefore wait in a bounded queue; each turn retries them, and so does a
/// timer. If the receiver takes none for a second, the link drops them, as the other end of a cable
/// would. The link closes only when nobody listens at the address any more.
final class DatagramLink: FrameLink {
    private static let minimumPause: Duration = .milliseconds(1)
    private static let maximumPause: Duration = .milliseconds(64)
    /// How long frames wait for a receiver that takes none.
    private static let patience: Duration = .seconds(1)

    let name: String
    var counters = LinkCounters()
    private(set) var isClosed = false
    var queuedOctets: Int { output.count }

    private let peer: SocketAddress
    private let loop: EventLoop
    /// Nil once the link is closed.
    private var listener: DatagramListener?
    /// The socket that the peer sent to last; it sends to the peer, too.
    var socket: DatagramSocket
    private var output: PacketOutput
    private var pause = DatagramLink.minimumPause
    private var retry: TimerWheel.Token?
    private var blockedSince: Instant?
    /// Frames received before the latest probe; a guest that has sent more since then is present.
    private var framesAtProbe: UInt64 = 0
    private weak var receiver: (any FrameReceiver)?

    /// Creates a link to one sender.
    ///
    /// - Parameters:
    /// - peer: The sender's address.
    /// - listener: Removes the link when it closes.
    /// - socket: The shared socket, which sends to the peer and receives from it.
    /// - name: The link's name in logs.
    /// - mtu: The largest payload of a frame to the other end.
    /// - loop: The event loop.
    init(
        _ peer: SocketAddress,
        of listener: DatagramListener,
        over socket: DatagramSocket,
        named name: String,
        mtu: Int,
        loop: EventLoop
    ) {
        self.peer = peer
        self.listener = listener
        self.socket = socket
        self.name = name
        self.loop = loop
        output = PacketOutput(mtu: mtu)
    }

    func start(for receiver: any FrameReceiver) {
        self.receiver = receiver
    }

    // MARK: Inwards

    /// Receives one datagram from the peer; nil stands for one that was too long.
    func receive(_ packet: UnsafeRawBufferPointer?, now: Instant) {
        guard let packet, packet.count >= EthernetHeader.length else {
            counters.malformed &+= 1
            return
        }
        counters.framesReceived &+= 1
        counters.octetsReceived &+= UInt64(packet.count)
        receiver?.receive(Frame(packet), from: self, now: now)
    }

    func batchEnded(now: Instant) {
        receiver?.batchEnded(on: self, now: now)
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
            let gone = try output.drain(&counters) { (batch) throws(SystemError) in
                try socket.send(&batch, to: peer)
            }
            if gone > 0 { (blockedSince, pause) = (nil, Self.minimumPause) }
        } catch {
            return fail("\(error)", now: now)
        }
        if !output.isEmpty { wait(now: now) }
        if output.hasRoomAgain() { receiver?.hasRoom(self, now: now) }
    }

    /// Schedules a retry, or drops frames that have waited too long.
    private func wait(now: Instant) {
        let start = blockedSince ?? now
        blockedSince = start
        if now - start >= Self.patience { return output.removeAll(&counters) }
        guard retry == nil else { return }
        retry = loop.after(pause) { [weak self] now in
            self?.retry = nil
            self?.flush(now: now)
        }
        pause = min(pause * 2, Self.maximumPause)
    }

    /// Closes the link if the guest's socket no longer exists.
    ///
    /// A connection would report its end. Here only a datagram to the guest reveals it, and an idle
    /// guest receives none.
    func probe(now: Instant) {
        defer { framesAtProbe = counters.framesReceived }
        guard framesAtProbe == counters.framesReceived else { return }
        verifyPeer(now: now)
    }

    func verifyPeer(now: Instant) {
        guard !isClosed, let error = StaleSocket.absence(of: peer) else { return }
        fail("\(error)", now: now)
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        if let retry { loop.cancel(retry) }
        listener?.forget(peer)
        listener = nil
    }

    private func fail(_ reason: String, now: Instant) {
        guard !isClosed else { return }
        listener?.pause(now: now)
        close()
        receiver?.closed(self, reason: reason, now: now)
    }
}
