/// How flows begin: from a guest's SYN towards a host or a service, from a host's client towards a guest.
extension TCPFlows {
    /// Opens a flow for a guest's SYN.
    func open(_ key: FlowKey, _ syn: TCPHeader, now: Instant) {
        let flow = TCPFlow(
            key,
            self,
            phase: .connecting,
            sequence: initialSequence(key, now: now),
            now: now
        )
        flow.begin(with: syn, now: now)
        guard table.count < Self.maximumFlows else {
            counters.full &+= 1
            return refuseStray(key, syn, length: 0)
        }
        let destination = ethernet.plan.destination(of: key.remote.address)
        if destination == .nowhere { return dropped(.noRoute) }
        counters.opened &+= 1
        table.insert(flow, for: key)
        if let oldest = handshakes.append(flow) { oldest.abort(.guest, now: now) }
        do {
            switch destination {
            case .gateway: try openService(flow, now: now)
            case .host(let address):
                try connect(flow, to: Endpoint(address: address, port: key.remote.port), now: now)
            case .refused, .nowhere: flow.refuse(errno: 0, now: now)
            }
        } catch {
            log.debug(
                "no host connection",
                ["flow": "\(key.guest) → \(key.remote)", "error": "\(error)"]
            )
            flow.hostRefused(errno: error.errno, now: now)
        }
    }

    /// Begins to connect a flow's host socket; the answer to the guest follows.
    func connect(_ flow: TCPFlow, to host: Endpoint, now: Instant) throws(SystemError) {
        let descriptor = try Socket.make(Socket.family(of: host.address), .stream)
        try Socket.setNoDelay(descriptor)
        try Socket.setKeepAlive(descriptor)
        if host.address.isLoopback { Socket.sendUnpaced(descriptor) }
        let isConnected = try Socket.connect(descriptor, to: SocketAddress(host))
        try join(flow, HostStream(descriptor, support: support))
        guard isConnected else { return }
        flow.isWritable = true
        flow.phase = .synReceived
        flow.sendSYN(now: now)
    }

    private func openService(_ flow: TCPFlow, now: Instant) throws(SystemError) {
        guard let service = services[flow.key.remote.port] else {
            return flow.refuse(errno: 0, now: now)
        }
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

    /// Opens a connection from the gateway to a guest for a host client that is connected already.
    ///
    /// - Parameters:
    ///   - guest: Where to.
    ///   - descriptor: The client's connection; closed, with a reset, when the guest does not take it.
    ///   - answered: Is told whether the guest takes it; then the connection is closed without a reset.
    ///   - now: The turn's clock.
    func open(
        to guest: Endpoint,
        joining descriptor: consuming OwnedDescriptor,
        answered: GuestAnswered? = nil,
        now: Instant
    ) {
        guard ethernet.plan.isGuest(guest.address), table.count < Self.maximumFlows,
            let port = freePort(for: guest)
        else {
            counters.full &+= 1
            if let answered { return answered(.impossible, descriptor) }
            return Socket.resetOnClose(descriptor)
        }
        let remote = Endpoint(address: ethernet.plan.gateway, port: port)
        let key = FlowKey(guest: guest, remote: remote)
        let sequence = initialSequence(key, now: now)
        let flow = TCPFlow(key, self, phase: .synSent, sequence: sequence, now: now)
        do {
            Socket.prepareForFlow(descriptor)
            try join(flow, HostStream(descriptor, support: support))
        } catch {
            return log.warning("cannot watch a connection", ["error": "\(error)"])
        }
        counters.opened &+= 1
        table.insert(flow, for: key)
        flow.answered = answered
        flow.isWritable = true
        flow.sendSYN(now: now)
        if flow.route == nil { waitForRoute(flow) }
    }

    private func freePort(for guest: Endpoint) -> UInt16? {
        // A few hundred tries find one unless nearly all of 16,384 are taken towards this one port.
        for _ in 0..<512 {
            nextPort = nextPort == UInt16.max ? 49_152 : nextPort + 1
            let remote = Endpoint(address: ethernet.plan.gateway, port: nextPort)
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

    /// What connections between two addresses add to the clock in their timestamps (RFC 7323, 5.4).
    ///
    /// Ports do not count, as in Linux: a guest that remembers one clock for each address sees one that never goes back.
    func timestampOffset(_ key: FlowKey) -> UInt32 {
        var hasher = Hasher()
        hasher.combine(initialSequenceKey)
        hasher.combine(key.guest.address)
        hasher.combine(key.remote.address)
        return UInt32(truncatingIfNeeded: hasher.finalize())
    }

    /// Tells a guest by ICMP why its SYN leads nowhere.
    ///
    /// - Parameters:
    ///   - flow: Still connecting.
    ///   - code: The host's errno.
    /// - Returns: False when a reset says it better.
    func reportUnreachable(_ flow: TCPFlow, errno code: Int32) -> Bool {
        guard let reason = HostError.unreachable(errno: code) else { return false }
        let ip = IPv4Header(
            transport: IPProtocol.tcp,
            source: flow.key.guest.address,
            destination: flow.key.remote.address,
            payloadLength: TCPHeader.length
        )
        let syn = TCPHeader(
            sourcePort: flow.key.guest.port,
            destinationPort: flow.key.remote.port,
            sequence: flow.guestInitialSequence,
            acknowledgment: SequenceNumber(0),
            flags: .syn,
            window: 0
        )
        var octets = [UInt8](repeating: 0, count: TCPHeader.length)
        // Sound: the span is used inside the closure only.
        octets.withUnsafeMutableBytes { room in
            var span = room.mutableBytes
            syn.write(to: &span)
        }
        sendError(.destinationUnreachable(reason), ip, octets)
        return true
    }
}
