/// All UDP flows, and the gateway's own UDP ports.
final class UDPFlows {
    /// Limit on flows; when full, the idlest one of the link with the most makes room.
    private static let maximumFlows = 8192
    /// The largest payload of an IPv4 datagram.
    private static let maximumPayload = 65_507

    let loop: EventLoop
    let descriptors: DescriptorBudget
    /// The buffer for a datagram between host socket and frame.
    let scratch: UnsafeMutableRawBufferPointer
    let ethernet: VirtualEthernet
    private let limits: LimitLog
    private var flows: [Endpoint: UDPFlow] = [:]
    private var hairpins = HairpinPorts()
    private var queue = LinkShares(limit: maximumFlows) { IdleQueue<UDPFlow>() }
    private let output: UnsafeMutableRawBufferPointer
    private var waiting = WaitingDatagrams()
    private var toHosts = DatagramStage<(flow: UDPFlow, host: Endpoint, path: PathOptions)>()
    private var toGuests = DatagramStage<(flow: UDPFlow, host: Endpoint)>()
    /// Counts a dropped packet; set by the engine.
    var dropped: (DropReason) -> Void = { _ in }
    /// Sends an ICMP error about a guest's packet; set by the engine.
    var sendError: (GuestError) -> Void = { _ in }

    /// Creates an empty table.
    init(
        loop: EventLoop,
        ethernet: VirtualEthernet,
        descriptors: DescriptorBudget,
        limits: LimitLog
    ) {
        self.loop = loop
        self.ethernet = ethernet
        self.descriptors = descriptors
        self.limits = limits
        scratch = .allocate(byteCount: 1 << 16, alignment: 64)
        output = .allocate(byteCount: 1 << 16, alignment: 64)
    }

    deinit {
        scratch.deallocate()
        output.deallocate()
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
    ///   - path: Hop limit and fragmentation.
    ///   - now: The turn's clock.
    func send(
        _ payload: UnsafeRawBufferPointer,
        from guest: Endpoint,
        _ sent: SentPacket,
        _ path: PathOptions,
        now: Instant
    ) {
        guard let flow = flow(of: guest, now: now) else { return dropped(.hostError) }
        let host = sent.host
        if let way = toHosts.way,
            way.flow !== flow || way.host != host || way.path != path
                || !toHosts.accepts(payload.count)
        {
            sendToHosts(now: now)
        }
        flow.sent.record(sent)
        guard toHosts.accepts(payload.count) else {
            return flow.send(payload, segmentSize: payload.count, to: host, path, now: now)
        }
        toHosts.append(payload, (flow, host, path))
    }

    /// The flow of a guest's port, if any.
    func flow(at guest: Endpoint) -> UDPFlow? { flows[guest] }

    private func flow(of guest: Endpoint, now: Instant) -> UDPFlow? {
        if let flow = flows[guest] { return flow }
        do {
            let flow = try UDPFlow(guest, self, now: now)
            flows[guest] = flow
            if let victim = queue.append(flow) {
                limits.reached(.udpFlows, maximum: Self.maximumFlows)
                forget(victim)
            }
            return flow
        } catch {
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

    /// Records the port of a flow's host socket.
    func opened(_ flow: UDPFlow) {
        // A flow that closed with staged datagrams would never be removed.
        if flows[flow.guest] === flow {
            hairpins.insert(flow.externalPort, of: flow.guest.address)
        }
    }

    /// The guest whose flow has an endpoint of this machine (RFC 4787, REQ-9); nil if none has.
    func hairpinGuest(at endpoint: Endpoint) -> IPAddress? { hairpins.guest(at: endpoint) }

    // MARK: To guests

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
        let headers = IPv4Header.length + UDPHeader.length
        let fits = segmentSize > 0 && segmentSize + headers <= ethernet.plan.mtu
        // As many whole datagrams as one frame holds; a single one needs no segmentation.
        let most = (Frame.maximumLength - EthernetHeader.length - headers) / max(segmentSize, 1)
        let step = fits && octets.count > segmentSize ? segmentSize * most : max(segmentSize, 1)
        var offset = 0
        repeat {
            let end = min(offset + step, octets.count)
            let part = UnsafeRawBufferPointer(rebasing: octets[offset..<end])
            if part.count > segmentSize {
                sendTrain(part, segmentSize: segmentSize, from: source, to: guest)
            } else {
                send(part, from: source, to: guest, mac: nil)
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
        guard let route = ethernet.route(to: guest.address) else {
            let start = (octets.count - 1) / segmentSize * segmentSize
            let newest = UnsafeRawBufferPointer(rebasing: octets[start...])
            return keep(newest, from: source, to: guest)
        }
        let transport = EthernetHeader.length + IPv4Header.length
        let start = transport + UDPHeader.length
        guard let room = route.link.reserve(start + octets.count, .bulk) else {
            return dropped(.full)
        }
        var ip = IPv4Header(
            transport: IPProtocol.udp,
            source: source.address,
            destination: guest.address,
            payloadLength: UDPHeader.length + octets.count
        )
        ip.identification = ethernet.nextIdentification(octets.count / segmentSize + 1)
        ethernet.writeHeaders(ip, to: route.mac, room)
        var header = UDPHeader(
            sourcePort: source.port,
            destinationPort: guest.port,
            payloadLength: octets.count
        )
        let pseudo = InternetChecksum.pseudoHeaderSum(
            source: source.address,
            destination: guest.address,
            transport: IPProtocol.udp,
            length: UDPHeader.length + octets.count
        )
        header.checksum = InternetChecksum.fold(pseudo)
        let datagram = UnsafeMutableRawBufferPointer(rebasing: room[transport...])
        var span = datagram.mutableBytes
        header.write(to: &span)
        UnsafeMutableRawBufferPointer(rebasing: room[start...]).copyMemory(from: octets)
        var offload = VirtioNetHeader()
        offload.needsChecksum = true
        offload.checksumStart = UInt16(transport)
        offload.checksumOffset = 6
        offload.segmentation = .udp
        offload.segmentSize = UInt16(truncatingIfNeeded: segmentSize)
        offload.headerLength = UInt16(start)
        ethernet.commit(start + octets.count, offload, room, on: route.link)
    }

    /// Sends a datagram to a guest.
    ///
    /// - Parameters:
    ///   - payload: At most 65,507 bytes.
    ///   - source: The source that the guest sees.
    ///   - guest: The destination.
    ///   - mac: The Ethernet destination; nil to look it up.
    ///   - link: The guest's link; nil to look it up.
    func send(
        _ payload: UnsafeRawBufferPointer,
        from source: Endpoint,
        to guest: Endpoint,
        mac: MACAddress?,
        on link: (any FrameLink)? = nil
    ) {
        let route = ethernet.route(to: guest.address)
        guard payload.count <= Self.maximumPayload else { return dropped(.malformed) }
        guard let destination = mac ?? route?.mac else {
            return keep(payload, from: source, to: guest)
        }
        let count = UDPHeader.length + payload.count
        let datagram = UnsafeMutableRawBufferPointer(rebasing: output[..<count])
        UnsafeMutableRawBufferPointer(rebasing: datagram[UDPHeader.length...])
            .copyMemory(from: payload)
        writeHeader(datagram, from: source, to: guest)
        let ip = IPv4Header(
            transport: IPProtocol.udp,
            source: source.address,
            destination: guest.address,
            payloadLength: count
        )
        // An address without a route (broadcast, client without a lease) is sent on every link.
        let link = link ?? (mac == nil || mac == route?.mac ? route?.link : nil)
        ethernet.send(ip, UnsafeRawBufferPointer(datagram), to: destination, on: link)
    }

    /// Keeps a datagram for a guest whose MAC address is unknown, and requests that address by ARP.
    private func keep(
        _ payload: UnsafeRawBufferPointer,
        from source: Endpoint,
        to guest: Endpoint
    ) {
        guard ethernet.leads(to: guest.address) else { return dropped(.noNeighbor) }
        let datagram = WaitingDatagrams.Datagram(
            source: source,
            guest: guest,
            payload: Array(payload)
        )
        let (requestIsDue, discarded) = waiting.keep(datagram, now: loop.now)
        for _ in 0..<discarded { dropped(.noNeighbor) }
        if requestIsDue { ethernet.askFor(guest.address) }
    }

    /// Sends the datagram that waited for a guest's MAC address.
    func sendWaiting(to guest: IPAddress, now: Instant) {
        guard !waiting.isEmpty, let datagram = waiting.take(guest, now: now) else { return }
        datagram.payload.withUnsafeBytes { payload in
            send(payload, from: datagram.source, to: datagram.guest, mac: nil)
        }
    }

    /// Always with a complete checksum, because clients with packet sockets (DHCP) do not handle
    /// partial ones.
    private func writeHeader(
        _ datagram: UnsafeMutableRawBufferPointer,
        from source: Endpoint,
        to guest: Endpoint
    ) {
        var header = UDPHeader(
            sourcePort: source.port,
            destinationPort: guest.port,
            payloadLength: datagram.count - UDPHeader.length
        )
        var octets = datagram.mutableBytes
        header.write(to: &octets)
        let pseudo = InternetChecksum.pseudoHeaderSum(
            source: source.address,
            destination: guest.address,
            transport: IPProtocol.udp,
            length: datagram.count
        )
        let sum = InternetChecksum.checksum(UnsafeRawBufferPointer(datagram), adding: pseudo)
        header.checksum = sum == 0 ? 0xffff : sum
        header.write(to: &octets)
    }

    /// A host's endpoint as guests see it.
    func seenByGuest(_ host: Endpoint) -> Endpoint {
        Endpoint(address: ethernet.plan.seenByGuests(host.address), port: host.port)
    }

    // MARK: The end

    /// Removes a flow whose idle timeout passed.
    func expired(_ flow: UDPFlow) {
        queue.remove(flow)
        forget(flow)
    }

    private func forget(_ flow: UDPFlow) {
        flow.close()
        hairpins.remove(flow.externalPort)
        if flows[flow.guest] === flow { flows[flow.guest] = nil }
    }
}
