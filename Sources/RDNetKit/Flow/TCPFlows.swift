/// All TCP flows: lookup, opening, scheduling, and shared state.
///
/// Limits: all flows; flows in a handshake with a guest that may never answer, and flows in
/// TIME-WAIT (the oldest of the link with the most of them makes room); windows beyond the first
/// 64 KiB (they stop growing).
final class TCPFlows {
    /// The default MSS (RFC 9293, 3.7.1).
    static let defaultSegmentSize = 536
    /// The least that a router's report makes of it in IPv4; in IPv6 the minimum MTU says it.
    private static let smallestSegmentSize = 48
    /// The initial window; doubled for every window that the host accepts without stalling.
    private static let initialWindow = 1 << 16
    /// The initial window once there are so many flows that together they could buffer too much.
    private static let crowdedWindow = 1 << 14
    private static let crowd = 8192
    private static let maximumWindow = 4 << 20
    /// Limit on the growth of all windows together, which bounds what stalled hosts can make us
    /// buffer.
    private static let windowBudget = 256 << 20
    /// Our window scale shift: 7 extends the 16-bit field to 8 MiB.
    static let windowScale: UInt8 = 7

    /// Limit on retransmissions of SYN, SYN-ACK and ARP requests.
    static let synRetries = 5
    /// The time limit for a guest to accept a host client, as in gvproxy.
    static let guestDialLimit: Duration = .seconds(10)
    /// Limit on consecutive timeouts: with backoff from 200 ms to 60 s, more than the 100 s of RFC
    /// 9293, 3.8.3.
    static let maximumTimeouts = 12
    static let timeWait: Duration = .seconds(2)
    static let neighborRetry: Duration = .seconds(1)
    static let challengeInterval: Duration = .milliseconds(100)
    /// How long a flow may be idle before its guest is probed (RFC 5382, REQ-5: at least 2 hours 4
    /// minutes).
    static let idleLimit: Duration = .seconds(7_440)
    /// The same once either half has ended (RFC 5382, REQ-5: at least 4 minutes).
    static let halfClosedLimit: Duration = .seconds(240)

    static let maximumFlows = 1 << 17
    /// Connections that one guest may open: whatever it does, others still can.
    static let maximumFlowsPerLink = maximumFlows - (1 << 13)
    static let maximumHandshakes = 4096
    private static let maximumTimeWaits = 8192

    let loop: EventLoop
    let path: any GuestPath
    let scratch = PeekScratch()
    let spareBuffers = SpareBuffers()
    var counters = TCPCounters()
    /// The services on the gateway's own TCP ports; a flow's host stream is the other end of each
    /// connection.
    var services: [UInt16: (consuming OwnedDescriptor, Endpoint) -> Void] = [:]
    /// Called when a guest stops answering on one of its flows; set by `GuestPresence`.
    var guestIsSilent: (IPAddress) -> Void = { _ in }

    let log: Logger
    let descriptors: DescriptorBudget
    let limits: LimitLog
    let support: PeekOffsetSupport
    var table: FlowTable<TCPFlow>
    private var ready: [TCPFlow] = []
    private var turn: [TCPFlow] = []
    private var acknowledging: [TCPFlow] = []
    private var blocked: [TCPFlow] = []
    private var unrouted: [TCPFlow] = []
    private var routeEpoch: UInt64 = 0
    var handshakes = LinkShares(limit: maximumHandshakes) { FlowQueue(.handshakes) }
    private var timeWaits = LinkShares(limit: maximumTimeWaits) { FlowQueue(.timeWaits) }
    /// Connections that guests have opened, by link.
    var opened = LinkCounts()
    private var grown = 0
    let initialSequenceKey: UInt64
    var nextPort: UInt16 = 49_152
    private var upload = UploadStage()
    private let heap: HeapTrimmer

    /// Creates an empty table.
    ///
    /// - Parameters:
    ///   - loop: Where sockets and timers are watched.
    ///   - path: The way to guests.
    ///   - log: Receives one debug line per flow.
    ///   - descriptors: What host sockets count against.
    ///   - limits: Counts what a full table refuses.
    ///   - support: Which sockets can peek at an offset.
    ///   - seed: Random and secret from guests.
    init(
        loop: EventLoop,
        path: any GuestPath,
        log: Logger,
        descriptors: DescriptorBudget,
        limits: LimitLog,
        support: PeekOffsetSupport,
        seed: UInt64
    ) {
        self.loop = loop
        self.path = path
        self.log = log
        self.descriptors = descriptors
        self.limits = limits
        self.support = support
        table = FlowTable(seed: seed)
        initialSequenceKey = seed
        heap = HeapTrimmer(loop)
    }

    /// The number of flows in the table, in any phase.
    var count: Int { table.count }

    /// Every flow, for the API.
    var all: [TCPFlow] { table.all }

    // MARK: From guests

    /// Handles a segment from a guest.
    ///
    /// - Parameter packet: Its payload is the segment.
    /// - Throws: `PacketError` for a wrong checksum or a header that cannot be read.
    func receive(_ packet: InboundPacket) throws(PacketError) {
        try packet.verifyChecksum(of: packet.payload)
        let header = try TCPHeader(reading: packet.payload.bytes)
        let payload = UnsafeRawBufferPointer(rebasing: packet.payload[header.headerLength...])
        let key = FlowKey(
            guest: Endpoint(address: packet.source, port: header.sourcePort),
            remote: Endpoint(address: packet.destination, port: header.destinationPort)
        )
        let opens =
            header.flags.isSuperset(of: .syn) && header.flags.isDisjoint(with: [.ack, .rst])
        if let flow = table[key] {
            // A new connection may take the place of one in TIME-WAIT (RFC 9293, 3.10.7.4; RFC
            // 6191).
            let replaces =
                opens && flow.phase == .timeWait
                && flow.timestamps.mayBeReplaced(by: header, next: flow.receiver.next)
            if opens { flow.reopen(packet.header) }
            guard replaces else { return flow.receive(header, payload, now: packet.now) }
            flow.close()
        }
        if opens {
            open(key, header, packet)
        } else if !header.flags.contains(.rst) {
            refuseStray(key, header, length: payload.count)
        }
    }

    /// Answers a segment that belongs to no flow (RFC 9293, 3.10.7.1).
    func refuseStray(_ key: FlowKey, _ header: TCPHeader, length: Int) {
        counters.strays &+= 1
        let isSYN = header.flags.contains(.syn)
        let taken = length + (isSYN ? 1 : 0) + (header.flags.contains(.fin) ? 1 : 0)
        let hasACK = header.flags.contains(.ack)
        let answer = TCPHeader(
            sourcePort: key.remote.port,
            destinationPort: key.guest.port,
            sequence: hasACK ? header.acknowledgment : SequenceNumber(0),
            acknowledgment: hasACK ? SequenceNumber(0) : header.sequence + taken,
            flags: hasACK ? [.rst] : [.rst, .ack],
            window: 0
        )
        send(answer, key)
    }

    private func send(_ header: TCPHeader, _ key: FlowKey) {
        guard let route = path.route(to: key.guest.address),
            let packet = path.reserve(
                TCPHeader.length,
                from: key.remote.address,
                to: key.guest.address,
                over: route,
                .control
            )
        else { return }
        path.commit(packet, header, payload: 0, segmentSize: Self.defaultSegmentSize)
    }

    /// A router behind a guest reports that packets were too long (RFC 1191, 3; RFC 5927, 7.2).
    ///
    /// - Parameters:
    ///   - key: The quoted segment's flow.
    ///   - sequence: The quoted segment's; it must be in flight, or the message is a forgery.
    ///   - mtu: The next hop's MTU; 0 from routers that do not report it.
    func reducePath(_ key: FlowKey, sequence: SequenceNumber, mtu: Int) {
        guard let flow = table[key], flow.phase == .open,
            sequence >= flow.sender.unacknowledged, sequence < flow.sender.next
        else { return }
        let headers = path.mtu - path.maximumSegmentSize(to: key.guest.address)
        let most = mtu == 0 ? Self.defaultSegmentSize : mtu - headers
        let least =
            key.guest.address.isIPv4
            ? Self.smallestSegmentSize
            // RFC 8201, 4.
            : IPHeader.minimumMTUIPv6 - headers
        let size = max(most, least) - flow.timestamps.length
        guard size < flow.sender.segmentSize else { return }
        flow.sender.segmentSize = size
        flow.sender.timedOut(now: loop.now)
        enqueue(flow)
    }

    /// A guest, or a router behind it, reports that a SYN did not reach its destination (RFC 1122,
    /// 4.2.3.9).
    ///
    /// - Parameters:
    ///   - key: The quoted segment's flow.
    ///   - sequence: The quoted segment's; a forgery does not know it.
    ///   - now: The turn's clock.
    func refused(by key: FlowKey, sequence: SequenceNumber, now: Instant) {
        // An open connection is not ended by ICMP (RFC 5382, REQ-10).
        guard let flow = table[key], flow.phase == .synSent, sequence == flow.initialSequence
        else { return path.drop(.noRoute) }
        flow.giveUp(.refused, now: now)
    }

    // MARK: Turns

    /// A flow has work: it gets a turn.
    @inline(__always)
    func enqueue(_ flow: TCPFlow) {
        guard !flow.isQueued else { return }
        flow.isQueued = true
        ready.append(flow)
    }

    /// A flow owes an ACK at the end of the turn.
    @inline(__always)
    func acknowledgeLater(_ flow: TCPFlow) {
        guard !flow.isAcknowledging else { return }
        flow.isAcknowledging = true
        acknowledging.append(flow)
    }

    /// A flow waits until its link has room.
    func block(_ flow: TCPFlow) {
        guard !flow.isBlocked else { return }
        flow.isBlocked = true
        blocked.append(flow)
    }

    /// A link has room again: whoever waited for one goes before those who have just had their
    /// turn.
    func unblock() {
        guard !blocked.isEmpty else { return }
        // What is ready joins behind, and the two lists change places: nothing is allocated.
        for flow in blocked { flow.isBlocked = false }
        blocked.removeAll { $0.isQueued }
        for flow in blocked { flow.isQueued = true }
        blocked.append(contentsOf: ready)
        swap(&blocked, &ready)
        blocked.removeAll(keepingCapacity: true)
    }

    /// A flow waits until its guest is heard again.
    func waitForRoute(_ flow: TCPFlow) {
        guard !flow.isUnrouted else { return }
        flow.isUnrouted = true
        unrouted.append(flow)
    }

    /// Gives every flow that has work its turn, then sends the ACKs that are still owed.
    ///
    /// - Parameter now: The turn's clock.
    func takeTurn(now: Instant) {
        reroute(now: now)
        swap(&ready, &turn)
        for flow in turn {
            flow.isQueued = false
            if flow.pump(now: now) { enqueue(flow) }
        }
        turn.removeAll(keepingCapacity: true)
        for flow in acknowledging {
            flow.isAcknowledging = false
            flow.acknowledge()
        }
        acknowledging.removeAll(keepingCapacity: true)
    }

    /// Whether some flow has more to do.
    var hasWork: Bool { !ready.isEmpty }

    /// Looks again for guests that could not be found, once something has changed.
    private func reroute(now: Instant) {
        guard !unrouted.isEmpty, routeEpoch != path.epoch else { return }
        routeEpoch = path.epoch
        let waiting = unrouted
        unrouted = []
        for flow in waiting {
            flow.isUnrouted = false
            guard flow.phase != .closed else { continue }
            if path.route(to: flow.key.guest.address) == nil {
                waitForRoute(flow)
            } else if flow.phase == .synSent {
                flow.sendSYN(now: now)
            } else {
                enqueue(flow)
            }
        }
    }

    // MARK: Uploads

    /// Collects small payloads, so that a batch costs each flow one call to the host's socket.
    ///
    /// - Parameters:
    ///   - payload: In order, and behind what was staged of this flow before.
    ///   - flow: Whose it is.
    ///   - now: The turn's clock.
    /// - Returns: False when the payload is to be passed on by itself, now: nothing of the flow is
    ///   staged then.
    @inline(__always)
    func stage(_ payload: UnsafeRawBufferPointer, of flow: TCPFlow, now: Instant) -> Bool {
        let isWorth = UploadStage.isWorth(payload.count)
        if isWorth ? !upload.hasRoom(payload.count) : !flow.staged.isEmpty { flushStage(now: now) }
        guard isWorth, flow.pending.isEmpty else { return false }
        upload.append(payload, of: flow)
        return true
    }

    /// Passes on what was staged: at the end of every batch of frames.
    func flushStage(now: Instant) {
        upload.flush { flow, octets in flow.pass(octets, now: now) }
    }

    // MARK: What flows share

    /// What a new flow offers.
    var firstWindow: Int { table.count < Self.crowd ? Self.initialWindow : Self.crowdedWindow }

    /// Lets a window grow by so much, as far as the budget goes.
    func grant(_ more: Int, to flow: TCPFlow) -> Int {
        let granted = min(more, Self.maximumWindow - flow.windowLimit, Self.windowBudget - grown)
        guard granted > 0 else { return 0 }
        grown += granted
        return granted
    }

    /// Takes back what a window has shrunk by.
    func giveBack(_ less: Int) {
        grown -= less
    }

    /// A flow's handshake is complete.
    func leftHandshake(_ flow: TCPFlow) {
        handshakes.remove(flow)
    }

    /// A flow has entered TIME-WAIT.
    func enteredTimeWait(_ flow: TCPFlow) {
        forgetOpened(flow)
        if path.watchesFlows { path.changed(flow.record, isOver: true) }
        if let oldest = timeWaits.append(flow) { oldest.flow.close() }
    }

    /// A flow no longer counts among those that its guest may have.
    private func forgetOpened(_ flow: TCPFlow) {
        guard flow.isCounted else { return }
        flow.isCounted = false
        opened[flow.port] -= 1
    }

    /// A flow is over.
    func closed(_ flow: TCPFlow) {
        let hasEnded = flow.queue == .timeWaits
        table.remove(flow, for: flow.key)
        handshakes.remove(flow)
        timeWaits.remove(flow)
        forgetOpened(flow)
        grown -= flow.grantedWindow
        counters.closed &+= 1
        if flow.server != nil, path.recordsFlows { path.ended(flow.record) }
        if !hasEnded, path.watchesFlows { path.changed(flow.record, isOver: true) }
        heap.memoryWasFreed()
    }
}
