/// The gateway's packet engine: parses guests' packets and decides where each one goes.
///
/// How it works, along a packet's path: a link delivers a frame (`receive`); the virtual Ethernet
/// forwards frames for other guests; this type answers ARP; it validates an IP packet, reassembles
/// fragments, and passes the packet to a service of the gateway or to a flow that continues it on
/// the host. At the end of a link's batch it sends staged uploads; once per turn (`takeTurn`) flows
/// send, ACKs follow, and links are flushed. Everything runs on the loop's thread, and nothing
/// blocks.
final class PacketEngine: FrameReceiver, TurnParticipant, TimerObserver {
    /// A service's datagram handler: the sender's MAC address, both endpoints, the payload.
    typealias DatagramService = (MACAddress, Endpoint, Endpoint, UnsafeRawBufferPointer) -> Void

    let loop: EventLoop
    let log: Logger
    let limits: LimitLog
    let descriptors: DescriptorBudget
    /// What flows see of the guests.
    let network: GuestNetwork
    let tcp: TCPFlows
    let udp: UDPFlows
    let echo: EchoFlows
    let presence: GuestPresence
    /// Whether the guests have IPv4.
    private let hasIPv4: Bool
    /// The services on the gateway's own UDP ports.
    var datagramServices: [UInt16: DatagramService] = [:]
    /// Called for each new IPv6 address of a guest.
    var neighborHeard: (IPAddress) -> Void = { _ in }
    /// Called for each valid router solicitation, with the addresses of its sender.
    var routerSolicited: (IPAddress, MACAddress) -> Void = { _, _ in }
    /// Called when a link closes by itself.
    var linkClosed: (any FrameLink, String) -> Void = { _, _ in }
    /// Ports allocated for forwards, found by guest endpoint and gateway port.
    var datagramPorts = GatewayPorts()
    /// The unknown address of a guest that a forward has asked for, and until when that suffices.
    var soughtTwin: (address: IPAddress, until: Instant)?

    var ethernet: VirtualEthernet { network.ethernet }
    var plan: GatewayPlan { network.plan }
    var drops: DropCounters { network.drops }
    var ignored: IgnoreCounters { network.ignored }
    var failures: FailureLog { network.failures }
    var reassembler = FragmentReassembler()
    /// Set while a packet is incomplete.
    var reassemblyTimer: TimerWheel.Token?

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
        hasIPv4 = plan.hasIPv4
        self.loop = loop
        self.log = log
        network = GuestNetwork(plan, loop: loop, log: log)
        self.limits = limits
        self.descriptors = DescriptorBudget(limit: descriptors, limits: limits)
        tcp = TCPFlows(
            loop: loop,
            path: network,
            log: log,
            descriptors: self.descriptors,
            limits: limits,
            support: support,
            seed: seed
        )
        udp = UDPFlows(
            loop: loop,
            path: network,
            descriptors: self.descriptors,
            limits: limits
        )
        echo = EchoFlows(
            loop: loop,
            path: network,
            log: log,
            descriptors: self.descriptors,
            limits: limits
        )
        presence = GuestPresence(network.ethernet, tcp, udp, echo, log: log)
        loop.join(self)
        network.admission.mappedGuest = { [unowned self] in udp.hairpinGuest(reachedAt: $0) }
        watchNeighbors()
        shareDescriptors()
    }

    private func watchNeighbors() {
        ethernet.neighborLearned = { [unowned self] guest, now in
            if !guest.isIPv4 { neighborHeard(guest) }
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
            case .dropped(let reason):
                if !ethernet.taps.isEmpty { tap(frame, from: link) }
                network.drop(reason)
                return ethernet.finishTapping()
            }
            ethernet.capture?.record(ethernet.described(frame, from: link))
            if !ethernet.taps.isEmpty { tap(frame, from: link) }
            defer { if !ethernet.taps.isEmpty { ethernet.finishTapping() } }
            if header.destination.isGroup { network.reasonToIgnore = IgnoreReason(header) }
            defer { network.reasonToIgnore = nil }
            try receive(frame, header, from: link, now: now)
        } catch PacketError.badChecksum {
            receiveUnfinished(frame, from: link, now: now)
        } catch {
            network.drop(.malformed)
        }
    }

    private func tap(_ frame: Frame, from link: any FrameLink) {
        ethernet.tap(ethernet.described(frame, from: link), on: link, .fromGuest)
    }

    @inline(__always)
    private func receive(
        _ frame: Frame,
        _ header: EthernetHeader,
        from link: any FrameLink,
        now: Instant
    ) throws(PacketError) {
        let content = UnsafeRawBufferPointer(rebasing: frame.octets[EthernetHeader.length...])
        switch header.kind {
        case EthernetHeader.Kind.ipv4 where hasIPv4:
            let ip = try IPHeader(readingIPv4: content.bytes)
            try receive(ip, content, frame.header, from: header.source, now: now)
        case EthernetHeader.Kind.ipv6 where plan.ipv6 != nil:
            let ip = try IPHeader(readingIPv6: content.bytes)
            try receive(ip, content, frame.header, from: header.source, now: now)
        case EthernetHeader.Kind.arp where hasIPv4:
            try receiveARP(content, from: link)
        default:
            network.drop(.unknownProtocol)
        }
    }

    /// Accepts a packet whose checksum does not add up because the guest left it to a device that
    /// did not finish it.
    private func receiveUnfinished(_ frame: Frame, from link: any FrameLink, now: Instant) {
        guard !link.receivesOffloadHeaders else { return network.drop(.badChecksum) }
        if var octets = InferredOffload.completingHeader(of: frame.octets) {
            octets.withUnsafeMutableBytes { octets in
                let octets = UnsafeRawBufferPointer(octets)
                receiveFinished(InferredOffload.frame(octets, mtu: plan.mtu), from: link, now: now)
            }
            return
        }
        let frame = InferredOffload.frame(frame.octets, mtu: plan.mtu)
        guard frame.header.needsChecksum else { return network.drop(.badChecksum) }
        receiveFinished(frame, from: link, now: now)
    }

    private func receiveFinished(_ frame: Frame, from link: any FrameLink, now: Instant) {
        do {
            let header = try EthernetHeader(reading: frame.octets.bytes)
            try receive(frame, header, from: link, now: now)
        } catch PacketError.badChecksum {
            network.drop(.badChecksum)
        } catch {
            network.drop(.malformed)
        }
    }

    private func receiveARP(
        _ octets: UnsafeRawBufferPointer,
        from link: any FrameLink
    ) throws(PacketError) {
        // The virtual Ethernet has verified the sender and learned its address.
        let packet = try ARPPacket(reading: octets.bytes)
        guard packet.operation == .request,
            plan.answersARP(for: packet.targetAddress, askedBy: packet.senderAddress)
        else { return }
        let reply = ARPPacket(
            operation: .reply,
            senderMAC: plan.gatewayMAC,
            senderAddress: packet.targetAddress,
            targetMAC: packet.senderMAC,
            targetAddress: packet.senderAddress
        )
        ethernet.send(reply, to: packet.senderMAC, on: link)
    }

    // MARK: Turns

    func batchEnded(on link: any FrameLink, now: Instant) {
        tcp.flushStage(now: now)
        udp.sendToHosts(now: now)
        ethernet.heard(link, now: now)
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
        for tap in ethernet.taps { tap.flush() }
        // Evaluated last, because a flushed link may have unblocked flows.
        return tcp.hasWork
    }
}

extension PacketEngine {
    /// Ends the flows that the policy no longer allows, and leaves the others alone.
    func enforcePolicy() {
        guard let policy = network.admission.policy else { return }
        let now = loop.now
        for flow in tcp.all {
            guard let dialed = flow.dialed, flow.phase != .timeWait else { continue }
            // A flow that is older than the policy has no names, so that only addresses count.
            let server = flow.server ?? ServerIdentity(names: [])
            let request = EgressPolicy.Request(
                transport: .tcp,
                guest: flow.key.guest.address,
                remote: flow.key.remote,
                host: Endpoint(address: dialed, port: flow.key.remote.port)
            )
            guard !policy.stillAllows(request, server, isNews: false) else { continue }
            network.drop(.policy)
            flow.abort(.both, now: now)
        }
        for (guest, host) in network.admission.revokeConversations() {
            udp.revoke(host.address, from: guest)
        }
    }
}
