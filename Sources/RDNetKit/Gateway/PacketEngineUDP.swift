/// UDP from guests: to the gateway's services, to ports of forwards, and to hosts.
extension PacketEngine {
    /// One datagram of a guest.
    private struct Datagram {
        let header: UDPHeader
        let ip: IPHeader
        let payload: UnsafeRawBufferPointer
        /// The checksum to quote; nil if the guest left it to its network card.
        let checksum: UInt16?
        let mac: MACAddress
        let now: Instant

        var guest: Endpoint { Endpoint(address: ip.source, port: header.sourcePort) }
        var remote: Endpoint { Endpoint(address: ip.destination, port: header.destinationPort) }
    }

    /// Parses a UDP datagram and passes it to its receiver.
    func receiveUDP(_ packet: InboundPacket) throws(PacketError) {
        if packet.offload.segmentation == .udp { return try receiveSegmentedUDP(packet) }
        let header = try UDPHeader(reading: packet.payload.bytes)
        let end = UDPHeader.length + header.payloadLength
        let whole = UnsafeRawBufferPointer(rebasing: packet.payload[..<end])
        // RFC 768: zero means "no checksum", which IPv6 does not allow (RFC 8200, 8.1).
        if header.checksum != 0 || !packet.header.isIPv4 { try packet.verifyChecksum(of: whole) }
        let datagram = Datagram(
            header: header,
            ip: packet.header,
            payload: UnsafeRawBufferPointer(rebasing: whole[UDPHeader.length...]),
            checksum: packet.offload.needsChecksum ? nil : header.checksum,
            mac: packet.mac,
            now: packet.now
        )
        pass(datagram)
    }

    /// Datagrams that the guest's kernel left unsegmented (USO): the same headers for every
    /// `segmentSize` bytes.
    private func receiveSegmentedUDP(_ packet: InboundPacket) throws(PacketError) {
        let size = Int(packet.offload.segmentSize)
        let count = packet.payload.count
        // No kernel combines more (UDP_MAX_SEGMENTS); a forged header could produce 65,000
        // datagrams.
        guard count >= UDPHeader.length, size > 0, count <= 128 * size + UDPHeader.length else {
            throw .badLength(field: size, available: count)
        }
        let octets = packet.payload.bytes
        var header = UDPHeader(
            sourcePort: octets.bigEndian(at: 0),
            destinationPort: octets.bigEndian(at: 2),
            payloadLength: 0
        )
        var ip = packet.header
        var offset = UDPHeader.length
        while offset < count {
            let end = min(offset + size, count)
            header.payloadLength = end - offset
            ip.payloadLength = UDPHeader.length + header.payloadLength
            let datagram = Datagram(
                header: header,
                ip: ip,
                payload: UnsafeRawBufferPointer(rebasing: packet.payload[offset..<end]),
                checksum: nil,
                mac: packet.mac,
                now: packet.now
            )
            pass(datagram)
            ip.identification &+= 1
            offset = end
        }
    }

    private func pass(_ datagram: Datagram) {
        let (ip, guest, remote) = (datagram.ip, datagram.guest, datagram.remote)
        switch network.admit(IPProtocol.udp, from: ip.source, to: remote) {
        case .gateway:
            passToGateway(datagram)
        case .host(let host):
            if ip.destination == plan.forwardSource(for: ip.source), deliverToPort(datagram) {
                return
            }
            if plan.mirror != nil, passRenewal(datagram) { return }
            guard !ip.source.isUnspecified else { return network.drop(.badSource) }
            let verdict = network.admission.decide(
                datagram.payload,
                from: guest,
                to: remote,
                host,
                now: datagram.now
            )
            switch verdict {
            case .host: break
            case .drop(let reason): return network.drop(reason)
            case .gateway, .examine, .wait, .refuse: return refuse(datagram)
            }
            let sent = SentPacket(
                ip,
                to: host,
                checksum: datagram.checksum,
                mark: SentPacket.mark(of: datagram.payload)
            )
            let options = PathOptions(forwarding: ip)
            for held in network.admission.takeReleased() {
                held.withUnsafeBytes {
                    udp.send($0, from: guest, sent, options, now: datagram.now)
                }
            }
            udp.send(datagram.payload, from: guest, sent, options, now: datagram.now)
        case .refuse(let reason):
            failed(datagram, FlowFailure(reason))
            network.drop(reason)
        // Only a policy makes conditions, and it hears of datagrams above.
        case .examine, .wait:
            network.drop(.policy)
        case .drop(let reason):
            // DHCP is the only service that accepts broadcasts, DHCPv6 the only one with a group.
            let isDHCP = remote.port == DHCPMessage.serverPort && ip.isIPv4
            let isDHCPv6 =
                remote.port == DHCPv6Message.serverPort && ip.destination == .allDHCPv6Servers
            if isDHCP || isDHCPv6, let service = datagramServices[remote.port] {
                return service(datagram.mac, guest, remote, datagram.payload)
            }
            network.drop(reason)
        }
    }

    /// Passes a DHCP client's renewal to the server, which has the address of the host's router.
    private func passRenewal(_ datagram: Datagram) -> Bool {
        let server = Endpoint(address: plan.gateway, port: DHCPMessage.serverPort)
        guard datagram.remote == server, let service = datagramServices[server.port] else {
            return false
        }
        service(datagram.mac, datagram.guest, server, datagram.payload)
        return true
    }

    private func passToGateway(_ datagram: Datagram) {
        let (guest, remote) = (datagram.guest, datagram.remote)
        if deliverToPort(datagram) { return }
        if let service = datagramServices[remote.port] {
            return service(datagram.mac, guest, remote, datagram.payload)
        }
        let payload = datagram.payload
        if datagramPorts.deliverStray(payload, from: guest, to: remote.port, now: datagram.now) {
            return
        }
        report(.port, about: datagram)
    }

    /// Tells the guest that the policy denies its datagram (RFC 1812, 5.2.7.1; RFC 4443, 3.1).
    private func refuse(_ datagram: Datagram) {
        network.drop(.policy)
        failed(datagram, .policy)
        report(.administrativelyProhibited, about: datagram)
    }

    private func failed(_ datagram: Datagram, _ reason: FlowFailure) {
        network.failed(
            FailedFlow(
                transport: IPProtocol.udp,
                guest: datagram.guest,
                remote: datagram.remote,
                reason: reason
            )
        )
    }

    private func report(_ reason: ICMPMessage.Unreachable, about datagram: Datagram) {
        let quoted = UDPFlows.quote(
            datagram.header,
            datagram.ip,
            datagram.payload,
            checksum: datagram.checksum
        )
        network.report(
            GuestError(.destinationUnreachable(reason), about: datagram.ip, quoted)
        )
    }

    @inline(__always)
    private func deliverToPort(_ datagram: Datagram) -> Bool {
        datagramPorts.deliver(
            datagram.payload,
            from: datagram.guest,
            to: datagram.remote.port,
            now: datagram.now
        )
    }
}
