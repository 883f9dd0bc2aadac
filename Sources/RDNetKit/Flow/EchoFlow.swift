/// One guest's `ping`: an identifier, and the host socket that asks in its stead.
///
/// A ping socket (icmp(7), `ping_group_range`) needs no privilege and has its identifier chosen by the kernel; where the
/// group range forbids it, a raw socket does, if the process may have one.
final class EchoFlow: ReadinessObserver, TimerObserver, IdleCandidate {
    /// RFC 5508, REQ-2: at least 60 seconds.
    private static let lifetime: Duration = .seconds(60)
    private static let repliesPerTurn = 64

    /// What tells a guest's pings apart.
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
    /// The host asked last.
    private(set) var lastHost: IPAddress?
    private var hosts: Set<IPAddress> = []
    var wasUsed = true
    var ringIndex = 0

    /// Makes the host socket.
    ///
    /// - Parameters:
    ///   - key: Whose pings.
    ///   - flows: Whose flow it is.
    ///   - now: The turn's clock.
    /// - Throws: `SystemError`, such as EACCES without permission for either kind of socket.
    init(_ key: Key, _ flows: EchoFlows, now: Instant) throws(SystemError) {
        self.key = key
        self.flows = flows
        lastUsed = now
        traffic = FlowTraffic(start: now)
        let sockets = try Socket.makeEcho()
        isRaw = sockets.isRaw
        socket = sockets.descriptor
        watch = try flows.loop.watch(socket.number, for: .readable, observer: self)
        timer = flows.loop.schedule(now + Self.lifetime, observer: self)
    }

    /// Sends an echo request: identifier and checksum are written anew.
    func send(_ message: UnsafeRawBufferPointer, to host: IPAddress, now: Instant) {
        lastUsed = now
        wasUsed = true
        lastHost = host
        traffic.octetsToHost &+= UInt64(message.count)
        if hosts.count < 1024 { hosts.insert(host) }
        do {
            let address = SocketAddress(Endpoint(address: host, port: 0))
            if try Socket.sendDatagram(socket, message, to: address) == nil { flows.dropped(.full) }
        } catch {
            flows.failed(key, host, message, errno: error.errno)
        }
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        for _ in 0..<Self.repliesPerTurn {
            do {
                guard
                    let (count, sender) = try Socket.receiveDatagram(socket, into: flows.scratch)
                else { return }
                guard let host = sender.endpoint?.address, hosts.contains(host) else { continue }
                receive(UnsafeRawBufferPointer(rebasing: flows.scratch[..<count]), from: host)
                lastUsed = now
            } catch {
                // An unreachable host's error for an earlier request; the guest's ping times out.
                flows.dropped(.hostError)
            }
        }
    }

    private func receive(_ octets: UnsafeRawBufferPointer, from host: IPAddress) {
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
            flows.sendReply(message, reply, from: host, to: key)
        } catch {
            flows.dropped(.malformed)
        }
    }

    func timerFired(now: Instant) {
        let deadline = lastUsed + Self.lifetime
        if deadline <= now { return flows.expired(self) }
        timer = flows.loop.schedule(deadline, observer: self)
    }

    /// Gives the socket back; the flow is out of its tables already.
    func close() {
        if let watch { flows.loop.forget(watch) }
        if let timer { flows.loop.cancel(timer) }
        watch = nil
        timer = nil
    }
}

/// All echo flows.
final class EchoFlows {
    /// Flows at once; when full, an idle one goes.
    private static let maximumFlows = 256

    let loop: EventLoop
    let scratch: UnsafeMutableRawBufferPointer
    private let ethernet: VirtualEthernet
    private let log: Logger
    private var flows: [EchoFlow.Key: EchoFlow] = [:]
    private var ring = IdleRing<EchoFlow>(limit: maximumFlows)
    private var saidNoPermission = false
    /// The reply that is being written.
    private var octets: [UInt8] = []
    /// Counts a packet that is not passed on; set by the engine.
    var dropped: (DropReason) -> Void = { _ in }
    /// Sends an ICMP error about a guest's packet; set by the engine.
    var sendError: (ICMPMessage.Kind, IPv4Header, [UInt8]) -> Void = { _, _, _ in }

    /// Makes an empty table.
    init(loop: EventLoop, ethernet: VirtualEthernet, log: Logger) {
        self.loop = loop
        self.ethernet = ethernet
        self.log = log
        scratch = .allocate(byteCount: 1 << 16, alignment: 64)
    }

    deinit {
        scratch.deallocate()
    }

    /// Flows at present.
    var count: Int { flows.count }

    /// Every flow, for the API.
    var all: [EchoFlow] { ring.all }

    /// Passes a guest's echo request on to a host.
    ///
    /// - Parameters:
    ///   - message: The whole ICMP message; its checksum field is written anew.
    ///   - key: Whose it is.
    ///   - host: Where to.
    ///   - now: The turn's clock.
    func send(
        _ message: UnsafeRawBufferPointer,
        _ key: EchoFlow.Key,
        to host: IPAddress,
        now: Instant
    ) {
        if let flow = flows[key] { return flow.send(message, to: host, now: now) }
        do {
            let flow = try EchoFlow(key, self, now: now)
            flows[key] = flow
            if let victim = ring.append(flow) { forget(victim) }
            flow.send(message, to: host, now: now)
        } catch {
            dropped(.hostError)
            guard !saidNoPermission else { return }
            saidNoPermission = true
            log.warning(
                "pings to other hosts are not forwarded: allow them with net.ipv4.ping_group_range",
                ["error": "\(error)"]
            )
        }
    }

    /// Sends a reply to a guest, under its own identifier.
    func sendReply(
        _ message: UnsafeRawBufferPointer,
        _ reply: ICMPMessage,
        from host: IPAddress,
        to key: EchoFlow.Key
    ) {
        guard let route = ethernet.route(to: key.guest) else { return dropped(.noNeighbour) }
        var answer = reply
        answer.rest = UInt32(key.identifier) << 16 | reply.rest & 0xffff
        // One array for all of them: a reply costs no allocation.
        octets.removeAll(keepingCapacity: true)
        octets.append(contentsOf: message)
        ICMPError.finish(answer, &octets)
        let ip = IPv4Header(
            transport: IPProtocol.icmp,
            source: host,
            destination: key.guest,
            payloadLength: octets.count
        )
        octets.withUnsafeBytes { ethernet.send(ip, $0, to: route.mac, on: route.link) }
    }

    /// A request could not leave the host.
    func failed(
        _ key: EchoFlow.Key,
        _ host: IPAddress,
        _ message: UnsafeRawBufferPointer,
        errno code: Int32
    ) {
        dropped(.hostError)
        guard let reason = HostError.unreachable(errno: code) else { return }
        let ip = IPv4Header(
            transport: IPProtocol.icmp,
            source: key.guest,
            destination: host,
            payloadLength: message.count
        )
        sendError(.destinationUnreachable(reason), ip, Array(message.prefix(64)))
    }

    /// A flow has been idle for its lifetime.
    func expired(_ flow: EchoFlow) {
        ring.remove(flow)
        forget(flow)
    }

    private func forget(_ flow: EchoFlow) {
        flow.close()
        if flows[flow.key] === flow { flows[flow.key] = nil }
    }
}
