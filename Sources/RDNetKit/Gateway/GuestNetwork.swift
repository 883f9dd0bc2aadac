/// The network that guests are on, as flows see it: where guests are, what they may reach, how
/// packets get to them, and what is counted of those that do not.
final class GuestNetwork: GuestPath {
    let ethernet: VirtualEthernet
    let admission: Admission
    let writer: PacketWriter
    /// What did not reach its destination.
    let failures: FailureLog
    /// Called for each flow that begins or is over; nil while nobody watches.
    var flowWatch: ((FlowRecord, _ isOver: Bool) -> Void)?
    private let loop: EventLoop
    private var errorLimit = ErrorLimit()
    private(set) var drops = DropCounters()
    /// Packets that need no answer, by reason.
    private(set) var ignored = IgnoreCounters()
    /// Why the current frame needs no answer if nothing here handles it; nil for a unicast frame.
    var reasonToIgnore: IgnoreReason?

    /// Creates a network without links.
    ///
    /// - Parameters:
    ///   - plan: Its addresses.
    ///   - loop: Whose clock limits the rate of errors.
    ///   - log: Receives warnings about what does not reach its destination.
    init(_ plan: GatewayPlan, loop: EventLoop, log: Logger) {
        self.loop = loop
        failures = FailureLog(log)
        ethernet = VirtualEthernet(plan)
        admission = Admission(plan)
        writer = PacketWriter(ethernet)
    }

    var plan: GatewayPlan { ethernet.plan }
    var mtu: Int { ethernet.plan.mtu }
    var flowsPerLink: Int? { plan.limits.flows }

    // MARK: Guests

    var epoch: UInt64 { ethernet.epoch }

    func route(to guest: IPAddress) -> GuestRoute? { ethernet.route(to: guest) }

    @inline(__always)
    func isCurrent(_ route: GuestRoute) -> Bool { ethernet.isCurrent(route) }

    func askFor(_ guest: IPAddress) {
        if guest.isIPv4 { ethernet.askFor(guest) } else { writer.solicit(guest) }
    }

    func leads(to guest: IPAddress) -> Bool { ethernet.leads(to: guest) }

    func port(of guest: IPAddress) -> Int { ethernet.port(of: guest) }

    // MARK: Decisions

    @inline(__always)
    func admit(
        _ transport: UInt8,
        from guest: IPAddress,
        to remote: Endpoint,
        _ server: ServerIdentity? = nil
    ) -> Verdict {
        admission.decide(transport, from: guest, to: remote, server)
    }

    func identity(of remote: IPAddress, for guest: IPAddress) -> ServerIdentity? {
        admission.policy?.identity(of: remote, for: guest)
    }

    func stillAdmits(
        _ flow: FlowKey,
        to host: Endpoint,
        _ identity: ServerIdentity,
        hidesName: Bool
    ) -> Bool {
        guard let policy = admission.policy else { return true }
        if hidesName, !policy.acceptsEncryptedHello { identity.shown = .hidden }
        let request = EgressPolicy.Request(
            transport: .tcp,
            guest: flow.guest.address,
            remote: flow.remote,
            host: host
        )
        return policy.stillAllows(request, identity, isNews: true)
    }

    var recordsFlows: Bool { admission.policy?.ended != nil }

    func ended(_ flow: FlowRecord) {
        admission.policy?.ended?(flow)
    }

    var watchesFlows: Bool { flowWatch != nil }

    func changed(_ flow: FlowRecord, isOver: Bool) {
        flowWatch?(flow, isOver)
    }

    func seenByGuests(_ host: IPAddress) -> IPAddress { plan.seenByGuests(host) }

    func client(seenBy guest: IPAddress) -> IPAddress { plan.forwardSource(for: guest) }

    // MARK: Packets to guests

    @inline(__always)
    func reserve(
        _ count: Int,
        from source: IPAddress,
        to guest: IPAddress,
        over route: GuestRoute,
        _ priority: FramePriority
    ) -> OutboundPacket? {
        let length = OutboundPacket.transportStart(for: guest) + count
        guard let room = route.link.reserve(length, priority) else { return nil }
        return OutboundPacket(
            route: route,
            source: source,
            destination: guest,
            frame: UnsafeMutableRawBufferPointer(rebasing: room[..<length])
        )
    }

    @inline(__always)
    func commit(_ packet: OutboundPacket, _ header: TCPHeader, payload: Int, segmentSize: Int) {
        writer.commit(packet, header, payload: payload, segmentSize: segmentSize)
    }

    func commit(_ packet: OutboundPacket, _ header: UDPHeader, payload: Int, segmentSize: Int) {
        writer.commit(packet, header, payload: payload, segmentSize: segmentSize)
    }

    func send(
        _ payload: UnsafeRawBufferPointer,
        from source: Endpoint,
        to guest: Endpoint,
        over route: GuestRoute
    ) {
        send(payload, from: source, to: guest, mac: route.mac, on: route.link)
    }

    /// Sends one datagram to a MAC address.
    ///
    /// - Parameters:
    ///   - payload: At most as much as a packet holds.
    ///   - source: The sender that the guest sees.
    ///   - guest: The receiver, which may be a broadcast address.
    ///   - mac: Its MAC address.
    ///   - link: Its link; nil for every link.
    func send(
        _ payload: UnsafeRawBufferPointer,
        from source: Endpoint,
        to guest: Endpoint,
        mac: MACAddress,
        on link: (any FrameLink)?
    ) {
        guard payload.count <= PacketWriter.maximumDatagram else { return drop(.malformed) }
        writer.send(payload, from: source, to: guest, mac: mac, on: link)
    }

    func send(
        _ message: ICMPMessage,
        _ data: UnsafeRawBufferPointer,
        from source: IPAddress,
        to guest: IPAddress,
        hopLimit: UInt8,
        over route: GuestRoute
    ) {
        writer.send(message, data, from: source, to: guest, hopLimit: hopLimit, over: route)
    }

    // MARK: What is not passed on

    func report(_ error: GuestError) {
        error.payload.withUnsafeBytes { payload in
            guard ICMPError.isAllowed(error.kind, about: error.header, payload),
                errorLimit.permits(now: loop.now),
                let route = route(to: error.header.source)
            else { return }
            let quotation = error.original ?? ICMPError.quotation(of: error.header, payload)
            quotation.withUnsafeBytes { quotation in
                writer.send(
                    ICMPMessage(kind: error.kind, rest: error.rest),
                    quotation,
                    from: reporter(of: error),
                    to: error.header.source,
                    hopLimit: error.hopLimit,
                    over: route,
                    .control
                )
            }
        }
    }

    private func reporter(of error: GuestError) -> IPAddress {
        // A router of the host's network must not look like a guest.
        if let offender = error.reporter, !offender.isUnspecified, !plan.isOnNetwork(offender) {
            return plan.seenByGuests(offender)
        }
        // The gateway's source is the packet's destination, if that is one of its own addresses.
        let destination = error.header.destination
        return plan.isOwn(destination) ? destination : plan.gateway(for: error.header.source)
    }

    func failed(_ flow: FailedFlow) {
        failures.record(flow, now: loop.now)
    }

    /// Counts a packet that nothing here handles; a group is free to send what concerns only
    /// others.
    func drop(_ reason: DropReason) {
        if !ethernet.taps.isEmpty, reasonToIgnore == nil {
            for tap in ethernet.taps { tap.dropped(reason) }
        }
        guard let reasonToIgnore, reason == .noRoute || reason == .unknownProtocol else {
            return drops.count(reason)
        }
        ignored.count(reasonToIgnore)
    }
}

/// The rate limit of ICMP errors (RFC 1812, 4.3.2.8): a bucket of 50, refilled at 1,000 per second.
struct ErrorLimit {
    private var tokens = 50.0
    private var filled = Instant(nanoseconds: 0)

    /// Takes one token; false if the bucket is empty.
    mutating func permits(now: Instant) -> Bool {
        let elapsed = Double((now - filled).wholeNanoseconds) / 1e9
        tokens = min(tokens + elapsed * 1_000, 50)
        filled = now
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }
}
