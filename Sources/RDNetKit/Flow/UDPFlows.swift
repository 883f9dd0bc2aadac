/// All UDP flows, and the gateway's own UDP ports.
final class UDPFlows {
    /// Limit on flows; when full, the idlest one of the link with the most makes room.
    private static let maximumFlows = 8192

    let loop: EventLoop
    let descriptors: DescriptorBudget
    /// The buffer for a datagram between host socket and frame.
    let scratch: UnsafeMutableRawBufferPointer
    let path: any GuestPath
    private let limits: LimitLog
    private var flows: [Endpoint: UDPFlow] = [:]
    private var hairpins = HairpinPorts()
    /// The loopback services that listen on the other family's address only.
    var otherLoopbacks = OtherLoopbackPorts()
    private var queue: LinkShares<UDPFlow, IdleQueue<UDPFlow>>
    private var waiting = WaitingDatagrams()
    private var toHosts = DatagramStage<(flow: UDPFlow, host: Endpoint, path: PathOptions)>()
    private var toGuests = DatagramStage<(flow: UDPFlow, host: Endpoint)>()

    /// Creates an empty table.
    init(
        loop: EventLoop,
        path: any GuestPath,
        descriptors: DescriptorBudget,
        limits: LimitLog
    ) {
        self.loop = loop
        self.path = path
        self.descriptors = descriptors
        self.limits = limits
        queue = LinkShares(
            limit: Self.maximumFlows,
            perLink: path.flowsPerLink ?? .max,
            makeQueue: { IdleQueue() }
        )
        scratch = .allocate(byteCount: 1 << 16, alignment: 64)
    }

    deinit {
        scratch.deallocate()
    }

    /// The current number of flows.
    var count: Int { flows.count }

    /// Every flow, for the API.
    var all: [UDPFlow] { Array(flows.values) }

    // MARK: From guests

    /// Forwards a guest's datagram to a host.
    ///
    /// - Parameters:
    ///   - payload: May be empty.
    ///   - guest: Its sender.
    ///   - sent: Its destination on the host's network, and what an ICMP error would quote.
    ///   - options: Hop limit and fragmentation.
    ///   - now: The turn's clock.
    func send(
        _ payload: UnsafeRawBufferPointer,
        from guest: Endpoint,
        _ sent: SentPacket,
        _ options: PathOptions,
        now: Instant
    ) {
        guard let flow = flow(of: guest, sent, payload, now: now) else {
            return path.drop(.hostError)
        }
        let host = sent.host
        if let way = toHosts.way,
            way.flow !== flow || way.host != host || way.path != options
                || !toHosts.accepts(payload.count)
        {
            sendToHosts(now: now)
        }
        flow.sent.record(sent)
        guard toHosts.accepts(payload.count) else {
            return flow.send(payload, segmentSize: payload.count, to: host, options, now: now)
        }
        toHosts.append(payload, (flow, host, options))
    }

    /// The flow of a guest's port, if any.
    func flow(at guest: Endpoint) -> UDPFlow? { flows[guest] }

    private func flow(
        of guest: Endpoint,
        _ sent: SentPacket,
        _ payload: UnsafeRawBufferPointer,
        now: Instant
    ) -> UDPFlow? {
        if let flow = flows[guest] { return flow }
        do {
            let flow = try UDPFlow(guest, self, now: now)
            flows[guest] = flow
            if let victim = queue.append(flow) {
                limits.reached(
                    victim.isOverOwnLimit ? .guestFlows : .udpFlows,
                    maximum: victim.maximum
                )
                forget(victim.flow)
            }
            if path.watchesFlows { began(flow, to: sent.host) }
            return flow
        } catch {
            failed(guest, to: sent.host, FlowFailure(errno: error.errno), errno: error.errno)
            // A host without IPv6 has no such sockets.
            if let reason = QueuedError.unreachable(errno: error.errno) {
                report(.destinationUnreachable(reason), about: sent, payload, from: guest)
            }
            return nil
        }
    }

    /// The flow that gives way next, and the number of flows of its link; nil if there are none.
    var nextToGiveWay: (flow: UDPFlow, linkCount: Int)? { queue.next() }

    /// Sends the staged datagrams from guests, at the end of every batch of frames.
    func sendToHosts(now: Instant) {
        toHosts.flush { way, octets, segmentSize in
            way.flow.send(octets, segmentSize: segmentSize, to: way.host, way.path, now: now)
        }
    }

    /// Records the port of one of a flow's host sockets.
    func opened(_ port: HairpinPorts.Port, of flow: UDPFlow) {
        // A flow that closed with staged datagrams would never be removed.
        if flows[flow.guest] === flow { hairpins.insert(port, of: flow.guest.address) }
    }

    /// The guest whose flow has an endpoint of this machine (RFC 4787, REQ-9); nil if none has.
    func hairpinGuest(at endpoint: Endpoint) -> IPAddress? { hairpins.guest(at: endpoint) }

    /// The guest whose flow a datagram to an endpoint of this machine reaches; nil if none has it.
    func hairpinGuest(reachedAt endpoint: Endpoint) -> IPAddress? {
        hairpins.guest(reachedAt: endpoint)
    }

    // MARK: To guests

    /// Limit on datagrams that are read from one socket per turn.
    static let datagramsPerTurn = 64

    /// Reads what a flow's socket has received, and sends it to guests.
    ///
    /// - Parameters:
    ///   - socket: Readable, or with an error.
    ///   - reportErrors: Called for an error, which concerns an earlier datagram; the error queue
    ///     has the details.
    ///   - receive: Called for each train, whose payload is in `scratch`.
    @inline(__always)
    func read(
        _ socket: borrowing OwnedDescriptor,
        reportErrors: () -> Void,
        _ receive: (DatagramTrain) -> Void
    ) {
        defer { sendToGuests() }
        for _ in 0..<Self.datagramsPerTurn {
            do {
                guard let train = try Socket.receiveTrain(socket, into: scratch) else { return }
                receive(train)
            } catch {
                reportErrors()
            }
        }
    }

    /// Stages a host's datagrams for a flow's guest until `sendToGuests`.
    ///
    /// - Parameters:
    ///   - train: One datagram, or several that the kernel combined.
    ///   - flow: The flow that received them.
    ///   - host: Their sender.
    func receive(_ train: DatagramTrain, of flow: UDPFlow, from host: Endpoint) {
        let octets = UnsafeRawBufferPointer(rebasing: scratch[..<train.count])
        let fits = train.count == train.segmentSize && toGuests.accepts(train.count)
        if let way = toGuests.way, way.flow !== flow || way.host != host || !fits { sendToGuests() }
        guard train.count == train.segmentSize, toGuests.accepts(train.count) else {
            return sendToGuest(octets, segmentSize: train.segmentSize, from: host, to: flow.guest)
        }
        toGuests.append(octets, (flow, host))
    }

    /// Sends the staged datagrams from hosts, after a socket was read.
    func sendToGuests() {
        toGuests.flush { way, octets, segmentSize in
            sendToGuest(octets, segmentSize: segmentSize, from: way.host, to: way.flow.guest)
        }
    }

    /// Sends datagrams of equal length, the last possibly shorter; guests see 127.0.0.1 as the host
    /// alias.
    private func sendToGuest(
        _ octets: UnsafeRawBufferPointer,
        segmentSize: Int,
        from host: Endpoint,
        to guest: Endpoint
    ) {
        let source = seenByGuest(host)
        let headers = IPHeader.length(for: guest.address) + UDPHeader.length
        let fits = segmentSize > 0 && segmentSize + headers <= path.mtu
        // As many whole datagrams as one frame holds; a single one needs no segmentation.
        let room = OutboundPacket.capacity(for: guest.address) - UDPHeader.length
        let most = room / max(segmentSize, 1)
        let step = fits && octets.count > segmentSize ? segmentSize * most : max(segmentSize, 1)
        var offset = 0
        repeat {
            let end = min(offset + step, octets.count)
            let part = UnsafeRawBufferPointer(rebasing: octets[offset..<end])
            if part.count > segmentSize {
                sendTrain(part, segmentSize: segmentSize, from: source, to: guest)
            } else {
                send(part, from: source, to: guest)
            }
            offset = end
        } while offset < octets.count
    }

    /// Sends datagrams as one frame that the guest's kernel or the link segments.
    private func sendTrain(
        _ octets: UnsafeRawBufferPointer,
        segmentSize: Int,
        from source: Endpoint,
        to guest: Endpoint
    ) {
        guard let route = path.route(to: guest.address) else {
            let start = (octets.count - 1) / segmentSize * segmentSize
            let newest = UnsafeRawBufferPointer(rebasing: octets[start...])
            return keep(newest, from: source, to: guest)
        }
        let packet = path.reserve(
            UDPHeader.length + octets.count,
            from: source.address,
            to: guest.address,
            over: route,
            .datagram
        )
        guard let packet else { return path.drop(.full) }
        packet.payload(behind: UDPHeader.length).copyMemory(from: octets)
        let header = UDPHeader(
            sourcePort: source.port,
            destinationPort: guest.port,
            payloadLength: octets.count
        )
        path.commit(packet, header, payload: octets.count, segmentSize: segmentSize)
    }

    /// Sends a datagram to a guest, once its MAC address is known.
    ///
    /// - Parameters:
    ///   - payload: At most 65,507 bytes.
    ///   - source: The source that the guest sees.
    ///   - guest: The destination.
    func send(_ payload: UnsafeRawBufferPointer, from source: Endpoint, to guest: Endpoint) {
        guard let route = path.route(to: guest.address) else {
            return keep(payload, from: source, to: guest)
        }
        path.send(payload, from: source, to: guest, over: route)
    }

    /// Keeps a datagram for a guest whose MAC address is unknown, and requests that address by ARP.
    private func keep(
        _ payload: UnsafeRawBufferPointer,
        from source: Endpoint,
        to guest: Endpoint
    ) {
        guard path.leads(to: guest.address) else { return path.drop(.noNeighbor) }
        let datagram = WaitingDatagrams.Datagram(
            source: source,
            guest: guest,
            payload: Array(payload)
        )
        let (requestIsDue, discarded) = waiting.keep(datagram, now: loop.now)
        for _ in 0..<discarded { path.drop(.noNeighbor) }
        if requestIsDue { path.askFor(guest.address) }
    }

    /// Sends the datagram that waited for a guest's MAC address.
    func sendWaiting(to guest: IPAddress, now: Instant) {
        guard !waiting.isEmpty, let datagram = waiting.take(guest, now: now) else { return }
        datagram.payload.withUnsafeBytes { payload in
            send(payload, from: datagram.source, to: datagram.guest)
        }
    }

    /// A host's endpoint as guests see it.
    func seenByGuest(_ host: Endpoint) -> Endpoint {
        Endpoint(address: path.seenByGuests(host.address), port: host.port)
    }

    private func began(_ flow: UDPFlow, to host: Endpoint) {
        let record = FlowRecord(
            transport: IPProtocol.udp,
            guest: flow.guest,
            remote: seenByGuest(host),
            traffic: flow.traffic
        )
        path.changed(record, isOver: false)
    }

    // MARK: The end

    /// Takes back a host's right to answer a guest's port.
    func revoke(_ host: IPAddress, from guest: Endpoint) {
        guard let flow = flows[guest], flow.revoke(host) else { return }
        expired(flow)
    }

    /// Removes a flow whose idle timeout passed.
    func expired(_ flow: UDPFlow) {
        queue.remove(flow)
        forget(flow)
    }

    private func forget(_ flow: UDPFlow) {
        flow.close()
        let record = FlowRecord(
            transport: IPProtocol.udp,
            guest: flow.guest,
            traffic: flow.traffic
        )
        if path.recordsFlows { path.ended(record) }
        if path.watchesFlows { path.changed(record, isOver: true) }
        for port in flow.externalPorts { hairpins.remove(port) }
        if flows[flow.guest] === flow { flows[flow.guest] = nil }
    }
}
