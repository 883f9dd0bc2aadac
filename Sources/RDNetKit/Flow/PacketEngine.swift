/// The gateway's packet engine: parses guests' packets and decides where each one goes.
///
/// How it works, along a packet's path: a link delivers a frame (`receive`); the virtual Ethernet
/// forwards frames for other guests; this type answers ARP; it validates an IPv4 packet,
/// reassembles fragments, and passes the packet to a service of the gateway or to a flow that
/// continues it on the host. At the end of a link's batch it sends staged uploads; once per turn
/// (`takeTurn`) flows send, ACKs follow, and links are flushed. Everything runs on the loop's
/// thread, and nothing blocks.
final class PacketEngine: FrameReceiver, TurnParticipant, TimerObserver {
    /// A service's datagram handler: the sender's MAC address, both endpoints, the payload.
    typealias DatagramService = (MACAddress, Endpoint, Endpoint, UnsafeRawBufferPointer) -> Void

    let loop: EventLoop
    let log: Logger
    let limits: LimitLog
    let descriptors: DescriptorBudget
    let ethernet: VirtualEthernet
    let tcp: TCPFlows
    let udp: UDPFlows
    let echo: EchoFlows
    let presence: GuestPresence
    var drops = DropCounters()
    /// Packets that need no answer, by reason.
    private(set) var ignored = IgnoreCounters()
    /// Why the current frame needs no answer if nothing here handles it; nil for a unicast frame.
    private var reasonToIgnore: IgnoreReason?
    /// The services on the gateway's own UDP ports.
    var datagramServices: [UInt16: DatagramService] = [:]
    /// Called when a link closes by itself.
    var linkClosed: (any FrameLink, String) -> Void = { _, _ in }
    /// Ports allocated for forwards, found by guest endpoint and gateway port.
    var datagramPorts = GatewayPorts()

    var plan: GatewayPlan { ethernet.plan }
    var reassembler = FragmentReassembler()
    /// Set while a packet is incomplete.
    var reassemblyTimer: TimerWheel.Token?
    var errorLimit = ErrorLimit()

    /// Creates an engine without links.
    ///
    /// - Parameters:
    ///   - plan: The addresses of the virtual network.
    ///   - loop: Where everything runs.
    ///   - log: The role's logger.
    ///   - limits: Counts and reports what limits cut off.
    ///   - descriptors: How many the process may have.
    ///   - support: Which sockets can peek at an offset.
    ///   - seed: Random and secret from guests.
    init(
        _ plan: GatewayPlan,
        loop: EventLoop,
        log: Logger,
        limits: LimitLog = .discarding(),
        descriptors: Int = .max,
        support: PeekOffsetSupport,
        seed: UInt64
    ) {
        self.loop = loop
        self.log = log
        ethernet = VirtualEthernet(plan)
        self.limits = limits
        self.descriptors = DescriptorBudget(limit: descriptors, limits: limits)
        tcp = TCPFlows(
            loop: loop,
            ethernet: ethernet,
            log: log,
            descriptors: self.descriptors,
            limits: limits,
            support: support,
            seed: seed
        )
        udp = UDPFlows(
            loop: loop,
            ethernet: ethernet,
            descriptors: self.descriptors,
            limits: limits
        )
        echo = EchoFlows(
            loop: loop,
            ethernet: ethernet,
            log: log,
            descriptors: self.descriptors,
            limits: limits
        )
        presence = GuestPresence(ethernet, tcp, udp, echo, log: log)
        loop.join(self)
        connectErrors()
        shareDescriptors()
    }

    private func connectErrors() {
        tcp.sendError = { [unowned self] in sendError($0) }
        udp.sendError = { [unowned self] in sendError($0) }
        echo.sendError = { [unowned self] in sendError($0) }
        tcp.dropped = { [unowned self] in drop($0) }
        udp.dropped = { [unowned self] in drop($0) }
        echo.dropped = { [unowned self] in drop($0) }
        ethernet.neighborLearned = { [unowned self] guest, now in
            udp.sendWaiting(to: guest, now: now)
            for address in ethernet.routers.addresses(behind: guest) {
                udp.sendWaiting(to: address, now: now)
            }
        }
        ethernet.addressReplaced = { [limits] in
            limits.reached(.linkAddresses, maximum: EthernetSwitch.addressesPerPort)
        }
    }

    private func shareDescriptors() {
        descriptors.datagramFlows = { [unowned self] in udp.count + echo.count }
        descriptors.closeIdlest = { [unowned self] in
            let (datagrams, ping) = (udp.nextToGiveWay, echo.nextToGiveWay)
            guard let datagrams else {
                if let ping { echo.expired(ping.flow) }
                return
            }
            guard let ping else { return udp.expired(datagrams.flow) }
            // A link's own flows compete by their idle time, those of two links by their number.
            let closesPing =
                datagrams.flow.port == ping.flow.port
                ? ping.flow.lastUsed < datagrams.flow.lastUsed
                : ping.linkCount > datagrams.linkCount
            if closesPing { echo.expired(ping.flow) } else { udp.expired(datagrams.flow) }
        }
    }

    /// Closes links and timers.
    func stop() {
        loop.leave(self)
        if let reassemblyTimer { loop.cancel(reassemblyTimer) }
        reassemblyTimer = nil
        for link in ethernet.attached {
            link.close()
            ethernet.detach(link)
        }
        presence.stop()
        ethernet.capture?.flush()
    }

    // MARK: Inwards

    func receive(_ frame: Frame, from link: any FrameLink, now: Instant) {
        do {
            let header = try EthernetHeader(reading: frame.octets.bytes)
            switch ethernet.forward(frame, header, from: link, now: now) {
            case .gateway: break
            case .elsewhere: return
            case .dropped(let reason): return drops.count(reason)
            }
            ethernet.capture?.record(ethernet.described(frame, from: link))
            let start = EthernetHeader.length
            let packet = UnsafeRawBufferPointer(rebasing: frame.octets[start...])
            if header.destination.isGroup { reasonToIgnore = Self.reasonToIgnore(header) }
            defer { reasonToIgnore = nil }
            switch header.kind {
            case EthernetHeader.Kind.ipv4:
                try receiveIPv4(packet, frame.header, from: header.source, now: now)
            case EthernetHeader.Kind.arp:
                try receiveARP(packet, from: link)
            default:
                drop(.unknownProtocol)
            }
        } catch PacketError.badChecksum {
            receiveUnfinished(frame, from: link, now: now)
        } catch {
            drops.count(.malformed)
        }
    }

    private static func reasonToIgnore(_ header: EthernetHeader) -> IgnoreReason {
        switch header.kind {
        case EthernetHeader.Kind.ipv4: .ipv4Group
        case EthernetHeader.Kind.ipv6: .ipv6
        default: .other
        }
    }

    /// Counts a packet that nothing here handles; a group is free to send what concerns only
    /// others.
    func drop(_ reason: DropReason) {
        guard let reasonToIgnore, reason == .noRoute || reason == .unknownProtocol else {
            return drops.count(reason)
        }
        ignored.count(reasonToIgnore)
    }

    /// Accepts a packet whose checksum does not add up because the guest left it to a device that
    /// did not finish it.
    private func receiveUnfinished(_ frame: Frame, from link: any FrameLink, now: Instant) {
        guard !link.receivesOffloadHeaders else { return drops.count(.badChecksum) }
        let frame = InferredOffload.frame(frame.octets, mtu: plan.mtu)
        guard frame.header.needsChecksum else { return drops.count(.badChecksum) }
        do {
            let header = try EthernetHeader(reading: frame.octets.bytes)
            let start = EthernetHeader.length
            let packet = UnsafeRawBufferPointer(rebasing: frame.octets[start...])
            // Only IPv4 packets are checked, so this is one.
            try receiveIPv4(packet, frame.header, from: header.source, now: now)
        } catch PacketError.badChecksum {
            drops.count(.badChecksum)
        } catch {
            drops.count(.malformed)
        }
    }

    private func receiveARP(
        _ octets: UnsafeRawBufferPointer,
        from link: any FrameLink
    ) throws(PacketError) {
        // The virtual Ethernet has verified the sender and learned its address.
        let packet = try ARPPacket(reading: octets.bytes)
        guard packet.operation == .request, plan.answersARP(for: packet.targetAddress) else {
            return
        }
        let reply = ARPPacket(
            operation: .reply,
            senderMAC: plan.gatewayMAC,
            senderAddress: packet.targetAddress,
            targetMAC: packet.senderMAC,
            targetAddress: packet.senderAddress
        )
        ethernet.send(reply, to: packet.senderMAC, on: link)
    }

    private func receiveIPv4(
        _ octets: UnsafeRawBufferPointer,
        _ offload: VirtioNetHeader,
        from mac: MACAddress,
        now: Instant
    ) throws(PacketError) {
        let header = try IPv4Header(reading: octets.bytes)
        let start = header.headerLength
        let payload = UnsafeRawBufferPointer(
            rebasing: octets[start..<(start + header.payloadLength)]
        )
        guard plan.isGuest(header.source) else {
            if ethernet.isBehind(mac, header.source) {
                return try receiveFromBehind(header, payload, offload, from: mac, now: now)
            }
            // A DHCP client has no address yet (RFC 2131, 4.1).
            guard header.source == .anyIPv4 else { return drops.count(.badSource) }
            guard header.transport == IPProtocol.udp else {
                return reasonToIgnore == nil ? drops.count(.badSource) : drop(.noRoute)
            }
            return try receiveUDP(header, payload, offload, from: mac, now: now)
        }
        guard ethernet.learn(header.source, mac: mac, now: now) else {
            return drops.count(.takenAddress)
        }
        if header.timeToLive <= 1, isBeyond(header.destination) {
            let quoted = quote(payload, offload)
            return sendError(GuestError(.timeExceeded(code: 0), about: header, quoted))
        }
        if header.isFragment { return try reassemble(header, payload, from: mac, now: now) }
        try dispatch(header, payload, offload, from: mac, now: now)
    }

    /// Receives the answers to forwards from an address behind a guest, and nothing else from it.
    private func receiveFromBehind(
        _ header: IPv4Header,
        _ payload: UnsafeRawBufferPointer,
        _ offload: VirtioNetHeader,
        from mac: MACAddress,
        now: Instant
    ) throws(PacketError) {
        guard header.destination == plan.forwardSource else { return drops.count(.badSource) }
        if header.isFragment { return try reassemble(header, payload, from: mac, now: now) }
        try dispatchFromBehind(header, payload, offload, from: mac, now: now)
    }

    func dispatchFromBehind(
        _ header: IPv4Header,
        _ payload: UnsafeRawBufferPointer,
        _ offload: VirtioNetHeader,
        from mac: MACAddress,
        now: Instant
    ) throws(PacketError) {
        let hasPorts = header.transport == IPProtocol.tcp || header.transport == IPProtocol.udp
        if hasPorts, payload.count >= 4 {
            // TCP and UDP have the destination port at the same place.
            let port: UInt16 = payload.bytes.bigEndian(at: 2)
            guard tcp.services[port] == nil, datagramServices[port] == nil else {
                return drops.count(.badSource)
            }
        }
        try dispatch(header, payload, offload, from: mac, now: now)
    }

    /// Whether a packet would be routed further: not to the gateway or its host.
    private func isBeyond(_ destination: IPAddress) -> Bool {
        !plan.answersARP(for: destination) && plan.destination(of: destination) != .nowhere
    }

    @inline(__always)
    func dispatch(
        _ header: IPv4Header,
        _ payload: UnsafeRawBufferPointer,
        _ offload: VirtioNetHeader,
        from mac: MACAddress,
        now: Instant
    ) throws(PacketError) {
        switch header.transport {
        case IPProtocol.tcp:
            try verify(header, payload, offload)
            try tcp.receive(header, payload, now: now)
        case IPProtocol.udp:
            try receiveUDP(header, payload, offload, from: mac, now: now)
        case IPProtocol.icmp:
            try receiveICMP(header, payload, offload, from: mac, now: now)
        default:
            drop(.unknownProtocol)
            // Never about a broadcast (RFC 1122, 3.2.2), including the subnet's.
            guard plan.destination(of: header.destination) != .nowhere else { return }
            let quoted = quote(payload, offload)
            sendError(GuestError(.destinationUnreachable(.transport), about: header, quoted))
        }
    }

    /// Verifies a transport checksum, unless the kernel did or it is still partial.
    @inline(__always)
    func verify(
        _ header: IPv4Header,
        _ payload: UnsafeRawBufferPointer,
        _ offload: VirtioNetHeader
    ) throws(PacketError) {
        if offload.needsChecksum || offload.checksumIsValid { return }
        let pseudo = InternetChecksum.pseudoHeaderSum(
            source: header.source,
            destination: header.destination,
            transport: header.transport,
            length: payload.count
        )
        guard InternetChecksum.checksum(payload, adding: pseudo) == 0 else { throw .badChecksum }
    }

    // MARK: Turns

    func batchEnded(on link: any FrameLink, now: Instant) {
        tcp.flushStage(now: now)
        udp.sendToHosts(now: now)
    }

    func hasRoom(_ link: any FrameLink, now: Instant) {
        tcp.unblock()
    }

    func closed(_ link: any FrameLink, reason: String, now: Instant) {
        batchEnded(on: link, now: now)
        ethernet.detach(link)
        tcp.unblock()
        linkClosed(link, reason)
    }

    func takeTurn(now: Instant) -> Bool {
        tcp.takeTurn(now: now)
        ethernet.flush(now: now)
        // People watch captures live, so flush every turn instead of every 64 KiB.
        ethernet.capture?.flush()
        // Evaluated last, because a flushed link may have unblocked flows.
        return tcp.hasWork
    }
}
