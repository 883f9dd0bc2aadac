/// Opening flows: from a guest's SYN to a host or service, and from a host's client to a guest.
extension TCPFlows {
    /// Opens a flow for a guest's SYN.
    func open(_ key: FlowKey, _ syn: TCPHeader, _ packet: InboundPacket) {
        let now = packet.now
        let flow = TCPFlow(
            key,
            self,
            phase: .connecting,
            sequence: initialSequence(key, now: now),
            now: now
        )
        flow.begin(with: syn, now: now)
        guard hasRoom(for: flow) else {
            counters.full &+= 1
            flow.failed(.tableFull)
            return refuseStray(key, syn, length: 0)
        }
        let guest = key.guest.address
        let server = path.identity(of: key.remote.address, for: guest)
        let verdict = path.admit(IPProtocol.tcp, from: guest, to: key.remote, server)
        if case .drop(let reason) = verdict {
            flow.failed(FlowFailure(reason))
            return path.drop(reason)
        }
        counters.opened &+= 1
        table.insert(flow, for: key)
        opened[flow.port] += 1
        flow.isCounted = true
        if path.watchesFlows { began(flow, server) }
        if let oldest = handshakes.append(flow) {
            limits.reached(.tcpHandshakes, maximum: oldest.maximum)
            oldest.flow.abort(.guest, now: now)
        }
        do {
            if case .gateway = verdict { return try openService(flow, now: now) }
            flow.opening = OpeningPacket(packet.header, packet.payload)
            flow.server = server
            try follow(verdict, flow, now: now)
        } catch {
            flow.hostRefused(errno: error.errno, now: now)
        }
    }

    private func began(_ flow: TCPFlow, _ server: ServerIdentity?) {
        var record = flow.record
        record.name = server?.name
        path.changed(record, isOver: false)
    }

    /// Does what was decided about a flow that is connecting.
    private func follow(_ verdict: Verdict, _ flow: TCPFlow, now: Instant) throws(SystemError) {
        switch verdict {
        case .host(let host):
            try connect(flow, to: host, now: now)
        case .examine(let host):
            flow.examination = StreamExamination()
            try connect(flow, to: host, now: now)
        case .wait(let awaited):
            awaited.arrived = { [weak self, weak flow] verdict in
                guard let self, let flow, flow.phase == .connecting else { return }
                let now = loop.now
                do throws(SystemError) {
                    try follow(verdict, flow, now: now)
                } catch {
                    flow.hostRefused(errno: error.errno, now: now)
                }
            }
        case .refuse(let reason):
            path.drop(reason)
            flow.refuse(FlowFailure(reason), now: now)
        case .gateway, .drop: break
        }
    }

    /// Whether the table, and the share of the guest's link, have room for a connection of a guest.
    private func hasRoom(for flow: TCPFlow) -> Bool {
        let maximum = min(path.flowsPerLink ?? .max, Self.maximumFlowsPerLink)
        if opened[flow.port] >= maximum {
            limits.reached(.guestFlows, maximum: maximum)
            return false
        }
        return hasRoom
    }

    /// Whether the table has room.
    private var hasRoom: Bool {
        if table.count < Self.maximumFlows { return true }
        limits.reached(.tcpFlows, maximum: Self.maximumFlows)
        return false
    }

    /// Starts to connect a flow's host socket; the answer to the guest follows.
    func connect(_ flow: TCPFlow, to host: Endpoint, now: Instant) throws(SystemError) {
        let descriptor = try descriptors.open(for: .connection) { () throws(SystemError) in
            try Socket.make(Socket.family(of: host.address), .stream)
        }
        try Socket.setNoDelay(descriptor)
        try Socket.setKeepAlive(descriptor)
        if host.address.isLoopback { Socket.sendUnpaced(descriptor) }
        if let hopLimit = flow.opening?.path.hopLimit {
            Socket.setHopLimit(hopLimit, isIPv4: host.address.isIPv4, on: descriptor)
        }
        flow.dialed = host.address
        let isConnected = try Socket.connect(descriptor, to: SocketAddress(host))
        try join(flow, HostStream(descriptor, support: support))
        guard isConnected else { return }
        flow.opening = nil
        flow.isWritable = true
        flow.phase = .synReceived
        flow.sendSYN(now: now)
    }

    private func openService(_ flow: TCPFlow, now: Instant) throws(SystemError) {
        guard let service = services[flow.key.remote.port] else {
            return flow.refuse(.refused, now: now)
        }
        guard descriptors.hasRoom(for: 2) else { throw .outOfDescriptors }
        let pair = try Socket.pair()
        try join(flow, HostStream(pair.one, support: support))
        service(pair.other, flow.key.guest)
        flow.isWritable = true
        flow.phase = .synReceived
        flow.sendSYN(now: now)
    }

    private func join(_ flow: TCPFlow, _ stream: consuming HostStream) throws(SystemError) {
        flow.watch = try loop.watch(
            stream.descriptor.number,
            for: [.readable, .writable, .ended, .urgent, .onChange],
            observer: flow
        )
        flow.stream = consume stream
    }

    /// Connects to a guest on behalf of a connected host client.
    ///
    /// - Parameters:
    ///   - guest: The destination.
    ///   - descriptor: The client's connection; reset if the guest does not accept.
    ///   - answered: Called with the guest's answer; the client's connection is then closed without
    ///     a reset.
    ///   - now: The turn's clock.
    func open(
        to guest: Endpoint,
        joining descriptor: consuming OwnedDescriptor,
        answered: GuestAnswered? = nil,
        now: Instant
    ) {
        guard path.leads(to: guest.address), hasRoom, let port = freePort(for: guest) else {
            counters.full &+= 1
            if let answered { return answered(.impossible, descriptor) }
            return Socket.resetOnClose(descriptor)
        }
        let remote = Endpoint(address: path.client(seenBy: guest.address), port: port)
        let key = FlowKey(guest: guest, remote: remote)
        let sequence = initialSequence(key, now: now)
        let flow = TCPFlow(key, self, phase: .synSent, sequence: sequence, now: now)
        descriptors.note(descriptor.number)
        do {
            Socket.prepareForFlow(descriptor)
            try join(flow, HostStream(descriptor, support: support))
        } catch {
            return log.warning("cannot watch a connection", ["error": "\(error)"])
        }
        counters.opened &+= 1
        table.insert(flow, for: key)
        flow.answered = answered
        if path.watchesFlows { path.changed(flow.record, isOver: false) }
        flow.isWritable = true
        flow.sendSYN(now: now)
        if flow.route == nil { waitForRoute(flow) }
    }

    private func freePort(for guest: Endpoint) -> UInt16? {
        let client = path.client(seenBy: guest.address)
        // A few hundred attempts find a free port unless nearly all 16,384 are in use toward this
        // endpoint.
        for _ in 0..<512 {
            nextPort = nextPort == UInt16.max ? 49_152 : nextPort + 1
            let remote = Endpoint(address: client, port: nextPort)
            if table[FlowKey(guest: guest, remote: remote)] == nil { return nextPort }
        }
        return nil
    }

    /// A clock of 4 µs plus a keyed hash of the connection's ends (RFC 6528, 3).
    private func initialSequence(_ key: FlowKey, now: Instant) -> SequenceNumber {
        var hasher = Hasher()
        hasher.combine(initialSequenceKey)
        hasher.combine(key.guest)
        hasher.combine(key.remote)
        let clock = UInt32(truncatingIfNeeded: now.nanoseconds / 4_000)
        return SequenceNumber(UInt32(truncatingIfNeeded: hasher.finalize()) &+ clock)
    }

    /// The offset of all timestamps between two addresses from the clock (RFC 7323, 5.4).
    ///
    /// It ignores ports, as in Linux: a guest that remembers one clock per address sees one that
    /// never goes back.
    func timestampOffset(_ key: FlowKey) -> UInt32 {
        var hasher = Hasher()
        hasher.combine(initialSequenceKey)
        hasher.combine(key.guest.address)
        hasher.combine(key.remote.address)
        return UInt32(truncatingIfNeeded: hasher.finalize())
    }
}
