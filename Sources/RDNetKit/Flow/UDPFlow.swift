/// One guest address and port, and the host socket that represents it.
///
/// The socket is not connected: datagrams to all destinations leave from one host port
/// (endpoint-independent mapping, RFC 4787, REQ-1), so STUN and peer-to-peer work and 2,000
/// destinations cost one descriptor. Only hosts that the guest contacted may reply
/// (address-dependent filtering, REQ-8).
final class UDPFlow: ReadinessObserver, TimerObserver, IdleCandidate, LinkMember {
    /// Lifetime with replies (RFC 4787, REQ-5 recommends five minutes).
    private static let answeredLifetime: Duration = .seconds(300)
    /// Lifetime without replies (RFC 4787, REQ-5 requires two minutes).
    private static let silentLifetime: Duration = .seconds(120)
    /// After the answers to all queries (RFC 4787, REQ-5a allows less for well-known ports).
    private static let finishedLifetime: Duration = .seconds(5)
    /// Ports of services that answer each query with one datagram: DNS and NTP.
    private static func isQueryPort(_ port: UInt16) -> Bool { port == 53 || port == 123 }
    /// Limit on hosts in one generation of `isContacted`.
    private static let hostsPerGeneration = 2048

    let guest: Endpoint
    unowned let flows: UDPFlows
    private let socket: OwnedDescriptor
    private(set) var watch: EventLoop.Watch?
    private var timer: TimerWheel.Token?
    private(set) var lastUsed: Instant
    private(set) var traffic: FlowTraffic
    private var wasAnswered = false
    /// Queries without an answer; nil once the guest has sent to a port of another kind.
    private var openQueries: Int? = 0
    private var deadline: Instant
    /// The last destination; most flows have only one.
    private(set) var lastHost: IPAddress?
    private var recentHosts: Set<IPAddress> = []
    private var olderHosts: Set<IPAddress> = []
    /// The latest datagrams, for quotations in ICMP errors.
    var sent = SentPackets<8>()
    private var path: PathOptions?
    /// The host socket's port; 0 before the first datagram.
    private var externalPort: UInt16 = 0
    /// The host's loopback port whose refusal the flow last looked for.
    var testedPort: UInt16?
    /// Nil until a service listens on the host's other loopback address only.
    var otherLoopback: OtherLoopbackSocket?
    /// The last other flow of this gateway that sent to this one.
    private var lastHairpin: Endpoint?
    var queueIndex = 0
    let port: Int

    /// Creates the host socket.
    ///
    /// - Parameters:
    ///   - guest: The guest's endpoint.
    ///   - flows: The table that owns the flow.
    ///   - now: The turn's clock.
    /// - Throws: `SystemError`, such as EMFILE.
    init(_ guest: Endpoint, _ flows: UDPFlows, now: Instant) throws(SystemError) {
        self.guest = guest
        self.flows = flows
        port = flows.path.port(of: guest.address)
        lastUsed = now
        traffic = FlowTraffic(start: now)
        deadline = now + Self.silentLifetime
        socket = try flows.descriptors.open(for: .datagrams) { () throws(SystemError) in
            try Socket.mappingDatagram(isIPv4: guest.address.isIPv4)
        }
        Socket.receiveTrains(socket)
        // The default holds a hundred full datagrams, fewer than a host sends while this process
        // sleeps.
        Socket.enlargeBuffers(socket, to: 1 << 20)
        watch = try flows.loop.watch(socket.number, for: .readable, observer: self)
        timer = flows.loop.schedule(deadline, observer: self)
    }

    // MARK: To the host

    /// Sends datagrams to a host.
    ///
    /// - Parameters:
    ///   - octets: One datagram, which may be empty, or several in a row.
    ///   - segmentSize: The length of each but the last, in bytes.
    ///   - host: The destination on the host's network.
    ///   - path: Hop limit and fragmentation.
    ///   - now: The turn's clock.
    func send(
        _ octets: UnsafeRawBufferPointer,
        segmentSize: Int,
        to host: Endpoint,
        _ path: PathOptions,
        now: Instant
    ) {
        contact(host.address)
        use(now: now)
        if path != self.path { Socket.set(path, replacing: &self.path, on: socket) }
        countQueries((octets.count + segmentSize - 1) / max(segmentSize, 1), to: host.port)
        traffic.octetsToHost &+= UInt64(octets.count)
        let address = SocketAddress(host)
        if octets.count > segmentSize, sendTrain(octets, segmentSize, to: host, address) { return }
        var offset = 0
        repeat {
            let end = min(offset + max(segmentSize, 1), octets.count)
            sendOne(UnsafeRawBufferPointer(rebasing: octets[offset..<end]), to: host, address)
            offset = end
        } while offset < octets.count
    }

    /// Sends several datagrams in one call; false if they must be sent one by one.
    private func sendTrain(
        _ octets: UnsafeRawBufferPointer,
        _ segmentSize: Int,
        to host: Endpoint,
        _ address: SocketAddress
    ) -> Bool {
        if host.address.otherLoopback != nil {
            if flows.otherLoopbacks.contains(host) {
                return openOtherLoopback(for: host)?
                    .sendTrain(octets, segmentSize: segmentSize, to: host.port) ?? false
            }
            guard testedPort == host.port else { return false }
        }
        defer { learnExternalPort() }
        do {
            let sent = try Socket.sendTrain(socket, octets, segmentSize: segmentSize, to: address)
            if sent == nil { flows.path.drop(.full) }
            return true
        } catch {
            // EINVAL, EIO or EMSGSIZE: the path does not support segmentation, or an earlier
            // datagram failed.
            reportErrors()
            return false
        }
    }

    private func sendOne(
        _ payload: UnsafeRawBufferPointer,
        to host: Endpoint,
        _ address: SocketAddress
    ) {
        if flows.otherLoopbacks.contains(host), sendToOtherLoopback(payload, host) { return }
        defer { learnExternalPort() }
        // A pending ICMP error fails the next call, although that call's own datagram is fine.
        for attempt in 0..<3 {
            do {
                if try Socket.sendDatagram(socket, payload, to: address) == nil {
                    flows.path.drop(.full)
                }
                return lookForRefusal(of: payload, by: host)
            } catch {
                let findings = reportErrors()
                if let refusal = findings.refusal {
                    return flows.report(refusal, refusing: payload, to: host, of: self)
                }
                // A host without IPv6 has no ::1.
                if !findings.foundEarlier, QueuedError.unreachable(errno: error.errno) != nil,
                    sendToOtherLoopback(payload, host)
                {
                    return
                }
                guard findings.foundEarlier || attempt == 0 else {
                    return flows.failed(self, to: host, errno: error.errno, payload)
                }
            }
        }
        flows.path.drop(.hostError)
    }

    private func contact(_ host: IPAddress) {
        if host == lastHost { return }
        lastHost = host
        if recentHosts.contains(host) { return }
        if recentHosts.count >= Self.hostsPerGeneration {
            olderHosts = recentHosts
            recentHosts = []
        }
        recentHosts.insert(host)
    }

    func isContacted(_ host: IPAddress) -> Bool {
        host == lastHost || recentHosts.contains(host) || olderHosts.contains(host)
    }

    private func countQueries(_ count: Int, to port: UInt16) {
        guard let queries = openQueries else { return }
        openQueries = Self.isQueryPort(port) ? queries + max(count, 1) : nil
    }

    /// Stops accepting datagrams from a host.
    ///
    /// - Returns: Whether no contacted host remains.
    func revoke(_ host: IPAddress) -> Bool {
        if lastHost == host { lastHost = nil }
        recentHosts.remove(host)
        olderHosts.remove(host)
        return recentHosts.isEmpty && olderHosts.isEmpty
    }

    /// Stops accepting datagrams from a host, because the guest refused one.
    ///
    /// - Parameter host: Ignored unless the guest recently sent to this address and port.
    /// - Returns: Whether no contacted host remains.
    func forget(_ host: Endpoint) -> Bool {
        guard sent.contains(host) else { return false }
        if lastHairpin == host { lastHairpin = nil }
        return revoke(host.address)
    }

    private func learnExternalPort() {
        guard externalPort == 0 else { return }
        do {
            externalPort = try Socket.localAddress(socket).endpoint?.port ?? 0
        } catch {
            // Only without a socket; the flow then cannot be reached by other guests.
            return
        }
        guard externalPort != 0 else { return }
        flows.opened(ownPort(externalPort), of: self)
    }

    private func ownPort(_ number: UInt16) -> HairpinPorts.Port {
        HairpinPorts.Port(number: number, isIPv4: guest.address.isIPv4)
    }

    /// The ports of the host sockets.
    var externalPorts: [HairpinPorts.Port] {
        [ownPort(externalPort)] + (otherLoopback.map { [$0.externalPort] } ?? [])
    }

    private func use(now: Instant) {
        lastUsed = now
    }

    // MARK: From the host

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if readiness.contains(.failed) { reportErrors() }
        flows.read(socket, reportErrors: { reportErrors() }) { receive($0, now: now) }
    }

    private func receive(_ train: DatagramTrain, now: Instant) {
        guard let host = train.sender.endpoint, isContacted(host.address) || isHairpin(host) else {
            return flows.path.drop(.unsolicited)
        }
        receive(train, from: host, now: now)
    }

    func receive(_ train: DatagramTrain, from host: Endpoint, now: Instant) {
        use(now: now)
        wasAnswered = true
        traffic.octetsToGuest &+= UInt64(train.count)
        if let queries = openQueries {
            openQueries = max(queries - 1, 0)
            // The timer was set before the answers came: for later.
            if isFinished, deadline > now + Self.finishedLifetime { reschedule() }
        }
        flows.receive(train, of: self, from: host)
    }

    private func isHairpin(_ host: Endpoint) -> Bool {
        if host == lastHairpin { return true }
        guard flows.hairpinGuest(at: host) != nil else { return false }
        lastHairpin = host
        return true
    }

    /// Forwards the ICMP errors in the error queue.
    ///
    /// - Parameter latest: The datagram that was just sent, and its destination.
    /// - Returns: What the errors mean for the latest packet.
    @discardableResult
    func reportErrors(
        latest: (payload: UnsafeRawBufferPointer, host: Endpoint)? = nil
    ) -> QueuedError.Findings {
        // Requested only here, because it slows down every receive call.
        let isIPv4 = guest.address.isIPv4
        Socket.reportHopLimits(true, isIPv4: isIPv4, on: socket)
        defer { Socket.reportHopLimits(false, isIPv4: isIPv4, on: socket) }
        return QueuedError.drain(socket, into: flows.scratch, limit: UDPFlows.datagramsPerTurn) {
            error,
            quoted in
            guard isContacted(error.destination.address) else { return }
            if sendElsewhere(after: error, quoting: quoted, latest: latest) { return }
            flows.report(error, quoting: quoted, of: self)
        }
    }

    // MARK: The end

    /// Whether the guest only sent queries, and has every answer.
    private var isFinished: Bool { wasAnswered && openQueries == 0 }

    private var lifetime: Duration {
        if isFinished { return Self.finishedLifetime }
        return wasAnswered ? Self.answeredLifetime : Self.silentLifetime
    }

    func timerFired(now: Instant) {
        timer = nil
        if lastUsed + lifetime <= now { return flows.expired(self) }
        reschedule()
    }

    private func reschedule() {
        if let timer { flows.loop.cancel(timer) }
        deadline = lastUsed + lifetime
        timer = flows.loop.schedule(deadline, observer: self)
    }

    /// Closes the socket; the flow has already left its tables.
    func close() {
        if let watch { flows.loop.forget(watch) }
        if let timer { flows.loop.cancel(timer) }
        watch = nil
        timer = nil
        otherLoopback?.close()
    }
}
