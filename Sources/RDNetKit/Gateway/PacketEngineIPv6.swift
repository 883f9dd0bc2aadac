/// What only IPv6 packets need: complaints about their headers, neighbor discovery, and fragments
/// that hide headers.
extension PacketEngine {
    // MARK: Headers

    /// Tells the sender what is wrong with a packet's headers.
    ///
    /// - Parameters:
    ///   - packet: Its header is readable.
    ///   - octets: The packet as it arrived, perhaps with padding.
    /// - Returns: Whether the packet is done with.
    func complains(about packet: InboundPacket, _ octets: UnsafeRawBufferPointer) -> Bool {
        let header = packet.header
        switch header.complaint {
        case .silence:
            network.drop(.malformed)
        case .problem(let code, let pointer), .problemEvenToGroups(let code, let pointer):
            network.drop(.malformed)
            complain(packet, octets, code: code, at: pointer)
        case .transport(let pointer):
            if header.source.isLinkLocal, isBeyond(header.destination) {
                // RFC 4291, 2.5.6: no router passes on what comes from a link-local address.
                network.drop(.badSource)
                let kind = ICMPMessage.Kind.destinationUnreachable(.other(2))
                network.report(GuestError(kind, about: header, packet.quote))
                return true
            }
            if header.isFragment || isKnown(header.transport) { return false }
            network.drop(.unknownProtocol)
            // Code 1: an unknown next header (RFC 4443, 3.4).
            if header.transport != IPProtocol.noNextHeader {
                complain(packet, octets, code: 1, at: pointer)
            }
        }
        return true
    }

    private func isKnown(_ transport: UInt8) -> Bool {
        transport == IPProtocol.tcp || transport == IPProtocol.udp
            || transport == IPProtocol.icmpIPv6
    }

    private func complain(
        _ packet: InboundPacket,
        _ octets: UnsafeRawBufferPointer,
        code: UInt8,
        at pointer: UInt16
    ) {
        var error = GuestError(
            .parameterProblem(code: code),
            rest: UInt32(pointer),
            about: packet.header,
            packet.quote
        )
        let end = packet.header.headerLength + packet.header.payloadLength
        let most = ICMPError.maximumQuote(to: packet.source) + IPHeader.lengthIPv6
        error.original = Array(octets[..<min(end, most)])
        network.report(error)
    }

    // MARK: Fragments

    /// Tells the sender that a fragment's length is impossible (RFC 8200, 4.5).
    ///
    /// - Returns: Whether it is, so that the fragment is done with.
    func complains(aboutFragment packet: InboundPacket) -> Bool {
        let header = packet.header
        let pointer: UInt32
        if header.moreFragments, packet.payload.count % 8 != 0 {
            // At the payload length.
            pointer = 4
        } else if header.fragmentOffset + packet.payload.count > 65_535 {
            // At the fragment offset, behind the IPv6 header.
            pointer = UInt32(IPHeader.lengthIPv6 + 2)
        } else {
            return false
        }
        network.drop(.fragment)
        network.report(
            GuestError(.parameterProblem(code: 0), rest: pointer, about: header, packet.quote)
        )
        return true
    }

    /// Receives what fragments add up to, which may begin with more extension headers.
    ///
    /// - Parameters:
    ///   - first: The header of the first fragment.
    ///   - octets: What is behind the fragment headers.
    ///   - packet: The last fragment to arrive.
    /// - Throws: `PacketError` for what its transport finds wrong.
    func receive(
        _ first: IPHeader,
        _ octets: [UInt8],
        completedBy packet: InboundPacket
    ) throws(PacketError) {
        var header = first
        header.payloadLength = octets.count
        header.moreFragments = false
        header.fragmentOffset = 0
        var whole = [UInt8](repeating: 0, count: IPHeader.lengthIPv6) + octets
        whole.withUnsafeMutableBytes { room in
            // Sound: the span is used inside the closure only.
            var span = room.mutableBytes
            header.write(to: &span)
        }
        try withOctets(of: whole) { (octets) throws(PacketError) in
            var header = try IPHeader(readingIPv6: octets.bytes)
            // A fragment within fragments is an attack or an error.
            guard !header.isFragment else { throw .notThisFormat }
            // The guest fragmented the packet itself, so the host may fragment it too.
            header.dontFragment = false
            let payload = UnsafeRawBufferPointer(rebasing: octets[header.headerLength...])
            let whole = InboundPacket(header, payload, from: packet.mac, now: packet.now)
            if !complains(about: whole, octets) { try dispatch(whole) }
        }
    }

    // MARK: ICMPv6

    /// The types of multicast listener discovery (RFC 2710; RFC 3810).
    private static let listenerMessages: Set<UInt8> = [130, 131, 132, 143]
    private static let neighborMessages: ClosedRange<UInt8> = 133...137

    /// Handles an ICMPv6 message: neighbor discovery here, echo and errors as in IPv4.
    func receiveICMPv6(_ packet: InboundPacket) throws(PacketError) {
        let message = try ICMPMessage(reading: packet.payload.bytes, isIPv4: false)
        try packet.verifyChecksum(of: packet.payload)
        let type = packet.payload[0]
        // The switch sends groups to everybody, so nobody needs to know who listens.
        if Self.listenerMessages.contains(type) { return network.drop(.noRoute) }
        if Self.neighborMessages.contains(type) { return receiveNeighborDiscovery(packet) }
        guard !packet.source.isUnspecified else { return network.drop(.badSource) }
        try receive(message, in: packet)
    }

    private func receiveNeighborDiscovery(_ packet: InboundPacket) {
        guard plan.ipv6?.mirror?.discoversNeighbors ?? true else { return network.drop(.noRoute) }
        let envelope = NeighborDiscoveryMessage.Envelope(
            source: packet.source,
            destination: packet.destination,
            hopLimit: packet.header.hopLimit
        )
        do {
            let message = try NeighborDiscoveryMessage(
                reading: packet.payload.bytes,
                in: envelope
            )
            switch message {
            case .neighborSolicitation(let solicitation):
                if plan.answersSolicitation(for: solicitation.target, askedBy: packet.source) {
                    advertise(solicitation.target, to: packet)
                }
            case .neighborAdvertisement(let advertisement):
                learn(advertisement, packet)
            case .routerSolicitation:
                routerSolicited(packet.source, packet.mac)
            case .routerAdvertisement:
                network.drop(.routerMessage)
            }
        } catch {
            network.drop(.malformed)
        }
    }

    /// Answers a solicitation for an address that leads to the gateway (RFC 4861, 7.2.4).
    private func advertise(_ target: IPAddress, to packet: InboundPacket) {
        // Without a source it is a guest that checks whether the address is free (RFC 4862, 5.4).
        let isCheck = packet.source.isUnspecified
        var answer = NeighborAdvertisement(target: target)
        answer.isRouter = true
        answer.isSolicited = !isCheck
        answer.overrides = true
        answer.options.targetLinkAddress = plan.gatewayMAC
        network.writer.sendOnLink(
            answer.octets,
            from: target,
            to: isCheck ? .allNodes : packet.source,
            mac: isCheck ? MACAddress(ipv6Group: .allNodes) : packet.mac,
            on: ethernet.link(of: packet.mac)
        )
    }

    private func learn(_ advertisement: NeighborAdvertisement, _ packet: InboundPacket) {
        let mac = advertisement.options.targetLinkAddress ?? packet.mac
        guard plan.isGuest(advertisement.target), mac == packet.mac,
            ethernet.learn(advertisement.target, mac: mac, now: packet.now)
        else { return network.drop(.takenAddress) }
    }
}
