/// All echo flows.
final class EchoFlows {
    /// Limit on flows; when full, the idlest one of the link with the most makes room.
    private static let maximumFlows = 256
    private static let bindAttempts = 16

    let loop: EventLoop
    let descriptors: DescriptorBudget
    /// The buffer for received messages.
    let scratch: UnsafeMutableRawBufferPointer
    /// The buffer for requests; not `scratch`, because errors are read there before a retry.
    private let outgoing: UnsafeMutableRawBufferPointer
    let path: any GuestPath
    private let log: Logger
    private let limits: LimitLog
    private var flows: [EchoFlow.Key: EchoFlow] = [:]
    /// The flows' identifiers on the host's network.
    private var identifiers: Set<UInt16> = []
    private var random: any RandomNumberGenerator = SystemRandomNumberGenerator()
    private var queue: LinkShares<EchoFlow, IdleQueue<EchoFlow>>
    private var saidNoPermission = false

    /// Creates an empty table.
    init(
        loop: EventLoop,
        path: any GuestPath,
        log: Logger,
        descriptors: DescriptorBudget,
        limits: LimitLog
    ) {
        self.loop = loop
        self.path = path
        self.log = log
        self.descriptors = descriptors
        self.limits = limits
        queue = LinkShares(
            limit: Self.maximumFlows,
            perLink: path.flowsPerLink ?? .max,
            makeQueue: { IdleQueue() }
        )
        scratch = .allocate(byteCount: 1 << 16, alignment: 64)
        outgoing = .allocate(byteCount: 1 << 16, alignment: 64)
    }

    deinit {
        scratch.deallocate()
        outgoing.deallocate()
    }

    /// The current number of flows.
    var count: Int { flows.count }

    /// Every flow, for the API.
    var all: [EchoFlow] { Array(flows.values) }

    /// Forwards a guest's echo request to a host.
    ///
    /// - Parameters:
    ///   - message: The ICMP message; its checksum field is rewritten.
    ///   - key: The guest and its identifier.
    ///   - request: The destination, and what an ICMP error would quote.
    ///   - options: Hop limit and fragmentation.
    ///   - now: The turn's clock.
    func send(
        _ message: UnsafeRawBufferPointer,
        _ key: EchoFlow.Key,
        _ request: SentPacket,
        _ options: PathOptions,
        now: Instant
    ) {
        if let flow = flows[key] { return flow.send(message, request, options, now: now) }
        do {
            let flow = try EchoFlow(key, self, now: now)
            flows[key] = flow
            identifiers.insert(flow.identifier)
            if let victim = queue.append(flow) {
                limits.reached(
                    victim.isOverOwnLimit ? .guestFlows : .echoFlows,
                    maximum: victim.maximum
                )
                forget(victim.flow)
            }
            if path.watchesFlows { changed(flow, to: request.host.address, isOver: false) }
            flow.send(message, request, options, now: now)
        } catch {
            path.drop(.hostError)
            let reason = FlowFailure(errno: error.errno)
            failed(key.guest, to: request.host.address, reason, errno: error.errno)
            guard !error.isOutOfDescriptors, !saidNoPermission else { return }
            saidNoPermission = true
            log.warning(
                "pings to other hosts are not forwarded: allow them with net.ipv4.ping_group_range",
                ["error": "\(error)"]
            )
        }
    }

    /// Chooses a random identifier that no other flow uses.
    ///
    /// - Parameter echo: The flow's socket; a ping socket is bound to the identifier.
    /// - Returns: The identifier, never zero.
    /// - Throws: `SystemError` if a ping socket cannot be bound.
    func freeIdentifier(for echo: borrowing EchoSocket) throws(SystemError) -> UInt16 {
        var attempts = 0
        while true {
            let identifier = UInt16.random(in: 1...UInt16.max, using: &random)
            guard !identifiers.contains(identifier) else { continue }
            // The sender of each message on a raw socket chooses its identifier.
            if echo.isRaw { return identifier }
            attempts += 1
            do throws(SystemError) {
                try Socket.bind(echo, toIdentifier: identifier)
                return identifier
            } catch {
                // Another program's ping socket may have the identifier.
                guard error.isAddressInUse, attempts < Self.bindAttempts else { throw error }
            }
        }
    }

    /// Copies a request and gives it another identifier.
    ///
    /// - Parameters:
    ///   - message: The whole ICMP message with a complete checksum.
    ///   - identifier: The identifier on the host's network.
    /// - Returns: The copy, valid until the next call.
    func translate(
        _ message: UnsafeRawBufferPointer,
        to identifier: UInt16
    ) -> UnsafeRawBufferPointer {
        outgoing.copyMemory(from: message)
        let copy = UnsafeMutableRawBufferPointer(rebasing: outgoing[..<message.count])
        Self.setIdentifier(identifier, in: copy)
        return UnsafeRawBufferPointer(copy)
    }

    /// The flow that gives way next, and the number of flows of its link; nil if there are none.
    var nextToGiveWay: (flow: EchoFlow, linkCount: Int)? { queue.next() }

    /// Sends a reply to a guest with the guest's identifier.
    ///
    /// - Parameters:
    ///   - reply: The header as received.
    ///   - message: The whole message.
    ///   - source: The sender that the guest sees.
    ///   - key: The guest and its identifier.
    ///   - hopLimit: The hop limit that arrives.
    func sendReply(
        _ reply: ICMPMessage,
        _ message: UnsafeRawBufferPointer,
        from source: IPAddress,
        to key: EchoFlow.Key,
        hopLimit: UInt8 = 64
    ) {
        guard let route = path.route(to: key.guest) else { return path.drop(.noNeighbor) }
        let rest = UInt32(key.identifier) << 16 | reply.rest & 0xffff
        path.send(
            ICMPMessage(kind: .echoReply, rest: rest),
            UnsafeRawBufferPointer(rebasing: message[ICMPMessage.headerLength...]),
            from: source,
            to: key.guest,
            hopLimit: hopLimit,
            over: route
        )
    }

    /// Removes a flow whose idle timeout passed.
    func expired(_ flow: EchoFlow) {
        queue.remove(flow)
        forget(flow)
    }

    private func forget(_ flow: EchoFlow) {
        flow.close()
        if path.watchesFlows { changed(flow, to: flow.lastHost, isOver: true) }
        guard flows[flow.key] === flow else { return }
        flows[flow.key] = nil
        identifiers.remove(flow.identifier)
    }

    /// Reports the start or the end of a flow to those who watch.
    private func changed(_ flow: EchoFlow, to host: IPAddress?, isOver: Bool) {
        let record = FlowRecord(
            transport: IPProtocol.icmp,
            guest: Endpoint(address: flow.key.guest, port: 0),
            remote: host.map { Endpoint(address: path.seenByGuests($0), port: 0) },
            traffic: flow.traffic
        )
        path.changed(record, isOver: isOver)
    }
}
