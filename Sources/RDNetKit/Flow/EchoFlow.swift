/// One guest's `ping`: an identifier, and the host socket that sends its requests.
///
/// A ping socket (icmp(7), `ping_group_range`) needs no privilege, and the kernel chooses its
/// identifier. Where the group range forbids it, a raw socket is used if the process has the
/// privilege.
final class EchoFlow: ReadinessObserver, TimerObserver, IdleCandidate {
    /// RFC 5508, REQ-2: at least 60 seconds.
    private static let lifetime: Duration = .seconds(60)
    private static let repliesPerTurn = 64

    /// Identifies one guest's ping.
    struct Key: Hashable {
        var guest: IPAddress
        var identifier: UInt16
    }

    let key: Key
    private unowned let flows: EchoFlows
    private let socket: OwnedDescriptor
    private let isRaw: Bool
    private var watch: EventLoop.Watch?
    private var timer: TimerWheel.Token?
    private(set) var lastUsed: Instant
    private(set) var traffic: FlowTraffic
    /// The last destination.
    private(set) var lastHost: IPAddress?
    private var hosts: Set<IPAddress> = []
    /// The latest requests, for quotations in ICMP errors; traceroute(8) keeps 16 in flight.
    var sent = SentPackets<32>()
    private var path: PathOptions?
    var queueIndex = 0

    /// Creates the host socket.
    ///
    /// - Parameters:
    ///   - key: The guest and its identifier.
    ///   - flows: The table that owns the flow.
    ///   - now: The turn's clock.
    /// - Throws: `SystemError`, such as EACCES without permission for either kind of socket.
    init(_ key: Key, _ flows: EchoFlows, now: Instant) throws(SystemError) {
        self.key = key
        self.flows = flows
        lastUsed = now
        traffic = FlowTraffic(start: now)
        var isRaw = false
        socket = try flows.descriptors.open(for: .datagrams) { () throws(SystemError) in
            let echo = try Socket.makeEcho()
            isRaw = echo.isRaw
            return echo.descriptor
        }
        self.isRaw = isRaw
        try QueuedError.collect(on: socket)
        Socket.reportHopLimits(true, on: socket)
        watch = try flows.loop.watch(socket.number, for: .readable, observer: self)
        timer = flows.loop.schedule(now + Self.lifetime, observer: self)
    }

    /// Sends an echo request; the kernel writes its own identifier and checksum.
    ///
    /// - Parameters:
    ///   - message: The whole ICMP message.
    ///   - request: Its receiver, and what an ICMP error would quote.
    ///   - path: Hop limit and fragmentation.
    ///   - now: The turn's clock.
    func send(
        _ message: UnsafeRawBufferPointer,
        _ request: SentPacket,
        _ path: PathOptions,
        now: Instant
    ) {
        let host = request.host.address
        sent.record(request)
        if path != self.path { Socket.set(path, replacing: &self.path, on: socket) }
        lastUsed = now
        lastHost = host
        traffic.octetsToHost &+= UInt64(message.count)
        if hosts.count < 1024 { hosts.insert(host) }
        // A pending ICMP error fails the next call, although that call's own request is fine.
        for attempt in 0..<3 {
            do {
                let address = SocketAddress(request.host)
                if try Socket.sendDatagram(socket, message, to: address) == nil {
                    flows.dropped(.full)
                }
                return
            } catch {
                let findings = reportErrors()
                if let refusal = findings.refusal {
                    return flows.report(refusal, quoting: message, of: self)
                }
                guard findings.foundEarlier || attempt == 0 else {
                    return flows.failed(self, host, message, errno: error.errno)
                }
            }
        }
        flows.dropped(.hostError)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if readiness.contains(.failed) { reportErrors() }
        for _ in 0..<Self.repliesPerTurn {
            do {
                guard
                    let (count, sender, hopLimit) = try Socket.receiveWithHopLimit(
                        socket,
                        into: flows.scratch
                    )
                else { return }
                guard let host = sender.endpoint?.address, hosts.contains(host) else { continue }
                let octets = UnsafeRawBufferPointer(rebasing: flows.scratch[..<count])
                receive(octets, from: host, hopLimit: hopLimit ?? 64)
                lastUsed = now
            } catch {
                // The error of an earlier request; the error queue has the details.
                reportErrors()
            }
        }
    }

    /// Forwards the ICMP errors in the error queue.
    @discardableResult
    private func reportErrors() -> QueuedError.Findings {
        QueuedError.drain(socket, into: flows.scratch, limit: Self.repliesPerTurn) {
            error,
            quoted in
            guard isOwn(quoted, to: error.destination.address) else { return }
            flows.report(error, quoting: quoted, of: self)
        }
    }

    /// Whether an ICMP error quotes a request of this flow: a raw socket receives those of every
    /// program.
    private func isOwn(_ quoted: UnsafeRawBufferPointer, to host: IPAddress) -> Bool {
        guard hosts.contains(host) else { return false }
        do {
            let request = try ICMPMessage(reading: quoted.bytes)
            return request.kind == .echoRequest && (!isRaw || request.identifier == key.identifier)
        } catch {
            return false
        }
    }

    private func receive(
        _ octets: UnsafeRawBufferPointer,
        from host: IPAddress,
        hopLimit: UInt8
    ) {
        do {
            var start = 0
            // A raw socket shows the IP header, and every echo reply of the host.
            if isRaw { start = try IPv4Header(reading: octets.bytes).headerLength }
            let message = UnsafeRawBufferPointer(rebasing: octets[start...])
            let reply = try ICMPMessage(reading: message.bytes)
            guard reply.kind == .echoReply, !isRaw || reply.identifier == key.identifier else {
                return
            }
            traffic.octetsToGuest &+= UInt64(message.count)
            // One router less, because this gateway forwards the reply (RFC 1812, 5.3.1).
            let left = max(hopLimit, 2) - 1
            flows.sendReply(message, reply, from: host, to: key, hopLimit: left)
        } catch {
            flows.dropped(.malformed)
        }
    }

    func timerFired(now: Instant) {
        let deadline = lastUsed + Self.lifetime
        if deadline <= now { return flows.expired(self) }
        timer = flows.loop.schedule(deadline, observer: self)
    }

    /// Closes the socket; the flow has already left its tables.
    func close() {
        if let watch { flows.loop.forget(watch) }
        if let timer { flows.loop.cancel(timer) }
        watch = nil
        timer = nil
    }
}

/// All echo flows.
final class EchoFlows {
    /// Limit on flows; when full, an idle one makes room.
    private static let maximumFlows = 256

    let loop: EventLoop
    let descriptors: DescriptorBudget
    let scratch: UnsafeMutableRawBufferPointer
    let ethernet: VirtualEthernet
    private let log: Logger
    private let limits: LimitLog
    private var flows: [EchoFlow.Key: EchoFlow] = [:]
    private var queue = IdleQueue<EchoFlow>(limit: maximumFlows)
    private var saidNoPermission = false
    /// The reply under construction.
    private var octets: [UInt8] = []
    /// Counts a dropped packet; set by the engine.
    var dropped: (DropReason) -> Void = { _ in }
    /// Sends an ICMP error about a guest's packet; set by the engine.
    var sendError: (GuestError) -> Void = { _ in }

    /// Creates an empty table.
    init(
        loop: EventLoop,
        ethernet: VirtualEthernet,
        log: Logger,
        descriptors: DescriptorBudget,
        limits: LimitLog
    ) {
        self.loop = loop
        self.ethernet = ethernet
        self.log = log
        self.descriptors = descriptors
        self.limits = limits
        scratch = .allocate(byteCount: 1 << 16, alignment: 64)
    }

    deinit {
        scratch.deallocate()
    }

    /// The current number of flows.
    var count: Int { flows.count }

    /// Every flow, for the API.
    var all: [EchoFlow] { queue.all }

    /// Forwards a guest's echo request to a host.
    ///
    /// - Parameters:
    ///   - message: The ICMP message; its checksum field is rewritten.
    ///   - key: The guest and its identifier.
    ///   - request: The destination, and what an ICMP error would quote.
    ///   - path: Hop limit and fragmentation.
    ///   - now: The turn's clock.
    func send(
        _ message: UnsafeRawBufferPointer,
        _ key: EchoFlow.Key,
        _ request: SentPacket,
        _ path: PathOptions,
        now: Instant
    ) {
        if let flow = flows[key] { return flow.send(message, request, path, now: now) }
        do {
            let flow = try EchoFlow(key, self, now: now)
            flows[key] = flow
            if let victim = queue.append(flow) {
                limits.reached(.echoFlows, maximum: Self.maximumFlows)
                forget(victim)
            }
            flow.send(message, request, path, now: now)
        } catch {
            dropped(.hostError)
            guard !error.isOutOfDescriptors, !saidNoPermission else { return }
            saidNoPermission = true
            log.warning(
                "pings to other hosts are not forwarded: allow them with net.ipv4.ping_group_range",
                ["error": "\(error)"]
            )
        }
    }

    /// The flow that gives way next; nil when there are none.
    var idlest: EchoFlow? { queue.idlest() }

    /// Sends a reply to a guest with the guest's identifier.
    func sendReply(
        _ message: UnsafeRawBufferPointer,
        _ reply: ICMPMessage,
        from host: IPAddress,
        to key: EchoFlow.Key,
        hopLimit: UInt8 = 64
    ) {
        guard let route = ethernet.route(to: key.guest) else { return dropped(.noNeighbor) }
        var answer = reply
        answer.rest = UInt32(key.identifier) << 16 | reply.rest & 0xffff
        // All replies share one array, so a reply does not allocate.
        octets.removeAll(keepingCapacity: true)
        octets.append(contentsOf: message)
        ICMPError.finish(answer, &octets)
        var ip = IPv4Header(
            transport: IPProtocol.icmp,
            source: ethernet.plan.seenByGuests(host),
            destination: key.guest,
            payloadLength: octets.count
        )
        ip.timeToLive = hopLimit
        octets.withUnsafeBytes { ethernet.send(ip, $0, to: route.mac, on: route.link) }
    }

    /// Removes a flow whose idle timeout passed.
    func expired(_ flow: EchoFlow) {
        queue.remove(flow)
        forget(flow)
    }

    private func forget(_ flow: EchoFlow) {
        flow.close()
        if flows[flow.key] === flow { flows[flow.key] = nil }
    }
}
