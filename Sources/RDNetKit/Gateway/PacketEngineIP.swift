/// IP packets from guests: validation, and the way to their transport.
extension PacketEngine {
    /// Receives a packet whose header is valid.
    ///
    /// - Parameters:
    ///   - header: Its header.
    ///   - octets: The packet, perhaps with Ethernet padding behind it.
    ///   - offload: What the guest left to its network card.
    ///   - mac: The frame's source.
    ///   - now: The turn's clock.
    /// - Throws: `PacketError` for what its transport finds wrong.
    @inline(__always)
    func receive(
        _ header: IPHeader,
        _ octets: UnsafeRawBufferPointer,
        _ offload: VirtioNetHeader,
        from mac: MACAddress,
        now: Instant
    ) throws(PacketError) {
        let end = header.headerLength + header.payloadLength
        let payload = UnsafeRawBufferPointer(rebasing: octets[header.headerLength..<end])
        let packet = InboundPacket(header, payload, offload, from: mac, now: now)
        guard plan.isGuest(packet.source) else { return try receiveFromStranger(packet) }
        guard ethernet.learn(packet.source, mac: mac, now: now) else {
            return network.drop(.takenAddress)
        }
        if !header.isIPv4, complains(about: packet, octets) { return }
        if header.hopLimit <= 1, isBeyond(packet.destination) {
            return network.report(
                GuestError(.timeExceeded(code: 0), about: header, packet.quote)
            )
        }
        if header.isFragment { return try reassemble(packet) }
        try dispatch(packet)
    }

    /// Receives a packet whose source is no guest's: from behind a guest, or from one that has no
    /// address yet.
    private func receiveFromStranger(_ packet: InboundPacket) throws(PacketError) {
        if packet.source.isUnspecified, packet.header.transport == IPProtocol.icmpIPv6 {
            return try receiveICMPv6(packet)
        }
        if ethernet.isBehind(packet.mac, packet.source) {
            guard packet.destination == plan.forwardSource else { return network.drop(.badSource) }
            if packet.header.isFragment { return try reassemble(packet) }
            return try dispatchFromBehind(packet)
        }
        // A DHCP client has no address yet (RFC 2131, 4.1).
        guard packet.source == .anyIPv4 else { return network.drop(.badSource) }
        guard packet.header.transport == IPProtocol.udp else {
            return network.reasonToIgnore == nil ? network.drop(.badSource) : network.drop(.noRoute)
        }
        try receiveUDP(packet)
    }

    /// Passes on the answers to forwards from an address behind a guest, and nothing else from it.
    func dispatchFromBehind(_ packet: InboundPacket) throws(PacketError) {
        let transport = packet.header.transport
        let hasPorts = transport == IPProtocol.tcp || transport == IPProtocol.udp
        if hasPorts, packet.payload.count >= 4 {
            // TCP and UDP have the destination port at the same place.
            let port: UInt16 = packet.payload.bytes.bigEndian(at: 2)
            guard tcp.services[port] == nil, datagramServices[port] == nil else {
                return network.drop(.badSource)
            }
        }
        try dispatch(packet)
    }

    /// Whether a packet would be routed further: not to the gateway or its host.
    func isBeyond(_ destination: IPAddress) -> Bool {
        !plan.isOwn(destination) && plan.destination(of: destination) != .nowhere
    }

    /// Passes a whole packet to its transport.
    @inline(__always)
    func dispatch(_ packet: InboundPacket) throws(PacketError) {
        switch packet.header.transport {
        case IPProtocol.tcp: try tcp.receive(packet)
        case IPProtocol.udp: try receiveUDP(packet)
        case IPProtocol.icmp where packet.header.isIPv4: try receiveICMP(packet)
        case IPProtocol.icmpIPv6 where !packet.header.isIPv4: try receiveICMPv6(packet)
        default:
            network.drop(.unknownProtocol)
            // Never about a broadcast (RFC 1122, 3.2.2), including the subnet's.
            guard plan.destination(of: packet.destination) != .nowhere else { return }
            let kind = ICMPMessage.Kind.destinationUnreachable(.transport)
            network.report(GuestError(kind, about: packet.header, packet.quote))
        }
    }
}
