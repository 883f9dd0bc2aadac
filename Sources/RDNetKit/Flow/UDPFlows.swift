/// All UDP flows, and the gateway's own UDP ports.
final class UDPFlows {
    /// Flows at once; when full, an idle one goes.
    private static let maximumFlows = 8192
    /// The largest payload of an IPv4 datagram.
    private static let maximumPayload = 65_507

    let loop: EventLoop
    /// Where a datagram lies between a host socket and a frame.
    let scratch: UnsafeMutableRawBufferPointer
    private let ethernet: VirtualEthernet
    private var flows: [Endpoint: UDPFlow] = [:]
    private var ring = IdleRing<UDPFlow>(limit: maximumFlows)
    private let output: UnsafeMutableRawBufferPointer
    /// Counts a packet that is not passed on; set by the engine.
    var dropped: (DropReason) -> Void = { _ in }
    /// Sends an ICMP error about a guest's packet; set by the engine.
    var sendError: (ICMPMessage.Kind, UInt32, IPv4Header, [UInt8]) -> Void = { _, _, _, _ in }

    /// Makes an empty table.
    init(loop: EventLoop, ethernet: VirtualEthernet) {
        self.loop = loop
        self.ethernet = ethernet
        scratch = .allocate(byteCount: 1 << 16, alignment: 64)
        output = .allocate(byteCount: 1 << 16, alignment: 64)
    }

    deinit {
        scratch.deallocate()
        output.deallocate()
    }

    /// Flows at present.
    var count: Int { flows.count }

    // MARK: From guests

    /// Passes a guest's datagram on to a host.
    ///
    /// - Parameters:
    ///   - payload: May be empty.
    ///   - guest: Its sender.
    ///   - host: Its receiver as the host's network knows it.
    ///   - now: The turn's clock.
    func send(
        _ payload: UnsafeRawBufferPointer,
        from guest: Endpoint,
        to host: Endpoint,
        now: Instant
    ) {
        if let flow = flows[guest] { return flow.send(payload, to: host, now: now) }
        do {
            let flow = try UDPFlow(guest, self, now: now)
            flows[guest] = flow
            if let victim = ring.append(flow) { forget(victim) }
            flow.send(payload, to: host, now: now)
        } catch {
            dropped(.hostError)
        }
    }

    // MARK: To guests

    /// Passes a host's datagram on to a guest; 127.0.0.1 looks like the host alias to it.
    func sendToGuest(_ payload: UnsafeRawBufferPointer, from host: Endpoint, to guest: Endpoint) {
        send(payload, from: seenByGuest(host), to: guest, mac: nil)
    }

    /// Sends a datagram to a guest.
    ///
    /// - Parameters:
    ///   - payload: At most 65,507 octets.
    ///   - source: As the guest is to see it.
    ///   - guest: Where to.
    ///   - mac: The Ethernet destination; nil looks the guest up.
    func send(
        _ payload: UnsafeRawBufferPointer,
        from source: Endpoint,
        to guest: Endpoint,
        mac: MACAddress?
    ) {
        let route = ethernet.route(to: guest.address)
        guard payload.count <= Self.maximumPayload, let destination = mac ?? route?.mac else {
            return dropped(.noNeighbour)
        }
        let count = UDPHeader.length + payload.count
        let datagram = UnsafeMutableRawBufferPointer(rebasing: output[..<count])
        UnsafeMutableRawBufferPointer(rebasing: datagram[UDPHeader.length...])
            .copyMemory(from: payload)
        writeHeader(datagram, from: source, to: guest)
        let ip = IPv4Header(
            transport: IPProtocol.udp,
            source: source.address,
            destination: guest.address,
            payloadLength: count
        )
        // To an address without a route (a broadcast, a client without a lease) on every link.
        let link = mac == nil || mac == route?.mac ? route?.link : nil
        ethernet.send(ip, UnsafeRawBufferPointer(datagram), to: destination, on: link)
    }

    /// Always with a finished checksum: clients with packet filters (DHCP) do not know of partial ones.
    private func writeHeader(
        _ datagram: UnsafeMutableRawBufferPointer,
        from source: Endpoint,
        to guest: Endpoint
    ) {
        var header = UDPHeader(
            sourcePort: source.port,
            destinationPort: guest.port,
            payloadLength: datagram.count - UDPHeader.length
        )
        var octets = datagram.mutableBytes
        header.write(to: &octets)
        let pseudo = InternetChecksum.pseudoHeaderSum(
            source: source.address,
            destination: guest.address,
            transport: IPProtocol.udp,
            length: datagram.count
        )
        let sum = InternetChecksum.checksum(UnsafeRawBufferPointer(datagram), adding: pseudo)
        header.checksum = sum == 0 ? 0xffff : sum
        header.write(to: &octets)
    }

    // MARK: Errors

    /// Tells a guest what the host's network said about one of its datagrams.
    func report(_ error: HostError, to guest: Endpoint) {
        quote(error.kind, error.mtu, from: guest, to: seenByGuest(error.destination), [])
    }

    /// A datagram could not even leave the host.
    func failed(
        _ flow: UDPFlow,
        to host: Endpoint,
        errno code: Int32,
        _ payload: UnsafeRawBufferPointer
    ) {
        dropped(.hostError)
        guard let reason = HostError.unreachable(errno: code) else { return }
        let start = Array(payload.prefix(ICMPMessage.headerLength))
        quote(.destinationUnreachable(reason), 0, from: flow.guest, to: seenByGuest(host), start)
    }

    private func quote(
        _ kind: ICMPMessage.Kind,
        _ mtu: UInt32,
        from guest: Endpoint,
        to remote: Endpoint,
        _ payload: [UInt8]
    ) {
        let header = UDPHeader(
            sourcePort: guest.port,
            destinationPort: remote.port,
            payloadLength: payload.count
        )
        var octets = [UInt8](repeating: 0, count: UDPHeader.length)
        // Sound: the span is used inside the closure only.
        octets.withUnsafeMutableBytes { room in
            var span = room.mutableBytes
            header.write(to: &span)
        }
        let ip = IPv4Header(
            transport: IPProtocol.udp,
            source: guest.address,
            destination: remote.address,
            payloadLength: UDPHeader.length + payload.count
        )
        sendError(kind, mtu, ip, octets + payload)
    }

    private func seenByGuest(_ host: Endpoint) -> Endpoint {
        guard host.address.isLoopback else { return host }
        return Endpoint(address: ethernet.plan.hostAlias, port: host.port)
    }

    // MARK: The end

    /// A flow has been idle for its lifetime.
    func expired(_ flow: UDPFlow) {
        ring.remove(flow)
        forget(flow)
    }

    private func forget(_ flow: UDPFlow) {
        flow.close()
        if flows[flow.guest] === flow { flows[flow.guest] = nil }
    }
}
