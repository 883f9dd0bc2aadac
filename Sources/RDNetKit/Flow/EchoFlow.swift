/// One guest's `ping`: an identifier, and the host socket that sends its requests.
///
/// A ping socket (icmp(7), `ping_group_range`) needs no privilege. Where the group range forbids
/// it, a raw socket is used if the process has the privilege. On the host's network each flow has a
/// random identifier of its own, because guests choose theirs, and a raw socket receives the
/// replies to every program on the host. A reply goes to the guest only if it answers a request of
/// this flow.
final class EchoFlow: ReadinessObserver, TimerObserver, IdleCandidate, LinkMember {
    /// RFC 5508, REQ-2: at least 60 seconds.
    private static let lifetime = EchoRequests.patience
    private static let repliesPerTurn = 64

    /// Identifies one guest's ping.
    struct Key: Hashable {
        var guest: IPAddress
        var identifier: UInt16
    }

    let key: Key
    /// The identifier on the host's network.
    let identifier: UInt16
    private unowned let flows: EchoFlows
    private let socket: OwnedDescriptor
    /// Whether replies begin with their IP header.
    private let includesHeader: Bool
    private var watch: EventLoop.Watch?
    private var timer: TimerWheel.Token?
    private(set) var lastUsed: Instant
    private(set) var traffic: FlowTraffic
    /// The last destination.
    private(set) var lastHost: IPAddress?
    private var requests = EchoRequests()
    /// The latest requests, for quotations in ICMP errors; traceroute(8) keeps 16 in flight.
    var sent = SentPackets<32>()
    private var path: PathOptions?
    var queueIndex = 0
    let port: Int

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
        port = flows.path.port(of: key.guest)
        lastUsed = now
        traffic = FlowTraffic(start: now)
        var includesHeader = false
        var identifier: UInt16 = 0
        socket = try flows.descriptors.open(for: .datagrams) { () throws(SystemError) in
            let echo = try Socket.makeEcho(isIPv4: key.guest.isIPv4)
            includesHeader = echo.includesHeader
            identifier = try flows.freeIdentifier(for: echo)
            return echo.descriptor
        }
        self.includesHeader = includesHeader
        self.identifier = identifier
        try QueuedError.collect(on: socket, isIPv4: key.guest.isIPv4)
        Socket.reportHopLimits(true, isIPv4: key.guest.isIPv4, on: socket)
        watch = try flows.loop.watch(socket.number, for: .readable, observer: self)
        timer = flows.loop.schedule(now + Self.lifetime, observer: self)
    }

    /// Sends an echo request with the flow's own identifier.
    ///
    /// - Parameters:
    ///   - message: The whole ICMP message as the guest sent it.
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
        requests.record(message, to: host, now: now)
        let message = flows.translate(message, to: identifier)
        if path != self.path { Socket.set(path, replacing: &self.path, on: socket) }
        lastUsed = now
        lastHost = host
        traffic.octetsToHost &+= UInt64(message.count)
        // A pending ICMP error fails the next call, although that call's own request is fine.
        for attempt in 0..<3 {
            do {
                let address = SocketAddress(request.host)
                if try Socket.sendDatagram(socket, message, to: address) == nil {
                    flows.path.drop(.full)
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
        flows.path.drop(.hostError)
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
                guard let host = sender.endpoint?.address else { continue }
                let octets = UnsafeRawBufferPointer(rebasing: flows.scratch[..<count])
                receive(octets, from: host, hopLimit: hopLimit ?? 64, now: now)
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
        do {
            let request = try ICMPMessage(reading: quoted.bytes, isIPv4: key.guest.isIPv4)
            return request.kind == .echoRequest && request.identifier == identifier
                && requests.contains(quoted, to: host, now: flows.loop.now)
        } catch {
            return false
        }
    }

    private func receive(
        _ octets: UnsafeRawBufferPointer,
        from host: IPAddress,
        hopLimit: UInt8,
        now: Instant
    ) {
        do {
            let start = includesHeader ? try IPHeader(reading: octets.bytes).headerLength : 0
            let message = UnsafeRawBufferPointer(rebasing: octets[start...])
            let reply = try ICMPMessage(reading: message.bytes, isIPv4: key.guest.isIPv4)
            // A raw socket receives every ICMP message of the host.
            guard reply.kind == .echoReply, reply.identifier == identifier else { return }
            // The kernel passes messages to raw IPv4 sockets before it verifies them.
            guard !includesHeader || InternetChecksum.checksum(message) == 0 else {
                return flows.path.drop(.badChecksum)
            }
            guard requests.accept(message, from: host, now: now) else {
                return flows.path.drop(.unsolicited)
            }
            lastUsed = now
            traffic.octetsToGuest &+= UInt64(message.count)
            // One router less, because this gateway forwards the reply (RFC 1812, 5.3.1).
            let left = max(hopLimit, 2) - 1
            flows.sendReply(
                reply,
                message,
                from: flows.path.seenByGuests(host),
                to: key,
                hopLimit: left
            )
        } catch {
            flows.path.drop(.malformed)
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
