/// UDP from guests: to the gateway's services, to ports of forwards, and to hosts.
extension PacketEngine {
    /// Parses a UDP datagram and passes it to its receiver.
    func receiveUDP(
        _ ip: IPv4Header,
        _ datagram: UnsafeRawBufferPointer,
        _ offload: VirtioNetHeader,
        from mac: MACAddress,
        now: Instant
    ) throws(PacketError) {
        if offload.segmentation == .udp {
            return try receiveSegmentedUDP(ip, datagram, offload, from: mac, now: now)
        }
        let header = try UDPHeader(reading: datagram.bytes)
        let whole = UnsafeRawBufferPointer(
            rebasing: datagram[..<(UDPHeader.length + header.payloadLength)]
        )
        // RFC 768: zero means "no checksum".
        if header.checksum != 0 { try verify(ip, whole, offload) }
        let payload = UnsafeRawBufferPointer(rebasing: whole[UDPHeader.length...])
        // A checksum that the guest left to its network card is not one to quote.
        let checksum = offload.needsChecksum ? nil : header.checksum
        pass(header, ip, payload, checksum, from: mac, now: now)
    }

    /// Datagrams that the guest's kernel left unsegmented (USO): the same headers for every
    /// `segmentSize` bytes.
    private func receiveSegmentedUDP(
        _ ip: IPv4Header,
        _ datagram: UnsafeRawBufferPointer,
        _ offload: VirtioNetHeader,
        from mac: MACAddress,
        now: Instant
    ) throws(PacketError) {
        let size = Int(offload.segmentSize)
        // No kernel combines more (UDP_MAX_SEGMENTS); a forged header could produce 65,000
        // datagrams.
        guard datagram.count >= UDPHeader.length, size > 0,
            datagram.count <= 128 * size + UDPHeader.length
        else {
            throw .badLength(field: size, available: datagram.count)
        }
        let octets = datagram.bytes
        var header = UDPHeader(
            sourcePort: octets.bigEndian(at: 0),
            destinationPort: octets.bigEndian(at: 2),
            payloadLength: 0
        )
        var ip = ip
        var offset = UDPHeader.length
        while offset < datagram.count {
            let end = min(offset + size, datagram.count)
            header.payloadLength = end - offset
            let payload = UnsafeRawBufferPointer(rebasing: datagram[offset..<end])
            ip.payloadLength = UDPHeader.length + payload.count
            pass(header, ip, payload, nil, from: mac, now: now)
            ip.identification &+= 1
            offset = end
        }
    }

    private func pass(
        _ header: UDPHeader,
        _ ip: IPv4Header,
        _ payload: UnsafeRawBufferPointer,
        _ checksum: UInt16?,
        from mac: MACAddress,
        now: Instant
    ) {
        let guest = Endpoint(address: ip.source, port: header.sourcePort)
        let remote = Endpoint(address: ip.destination, port: header.destinationPort)
        switch plan.destination(of: ip.destination) {
        case .gateway:
            if datagramPorts.deliver(payload, from: guest, to: remote.port, now: now) { return }
            if let service = datagramServices[remote.port] {
                return service(mac, guest, remote, payload)
            }
            if datagramPorts.deliverStray(payload, from: guest, to: remote.port, now: now) {
                return
            }
            sendPortUnreachable(header, ip, payload, checksum)
        case .host(let address):
            if ip.destination == plan.forwardSource,
                datagramPorts.deliver(payload, from: guest, to: remote.port, now: now)
            {
                return
            }
            guard ip.source != .anyIPv4 else { return drops.count(.badSource) }
            let host = Endpoint(address: address, port: remote.port)
            if plan.isolatesGuests, let other = udp.hairpinGuest(at: host), other != ip.source {
                return drops.count(.isolated)
            }
            let sent = SentPacket(
                ip,
                to: host,
                checksum: checksum,
                mark: SentPacket.mark(of: payload)
            )
            udp.send(payload, from: guest, sent, PathOptions(forwarding: ip), now: now)
        case .refused:
            drops.count(.refusedDestination)
        case .nowhere:
            // DHCP is the only service that accepts broadcasts.
            if remote.port == 67, let service = datagramServices[67] {
                return service(mac, guest, remote, payload)
            }
            drop(.noRoute)
        }
    }

    private func sendPortUnreachable(
        _ header: UDPHeader,
        _ ip: IPv4Header,
        _ payload: UnsafeRawBufferPointer,
        _ checksum: UInt16?
    ) {
        let quoted = UDPFlows.quote(header, ip, payload, checksum: checksum)
        sendError(GuestError(.destinationUnreachable(.port), about: ip, quoted))
    }
}
