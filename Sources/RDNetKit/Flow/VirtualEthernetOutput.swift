/// The frames that the gateway sends to guests.
extension VirtualEthernet {
    /// Broadcasts an ARP request for a guest's address, or for that of the guest in front of an
    /// address (RFC 826).
    func askFor(_ address: IPAddress) {
        let request = ARPPacket(
            operation: .request,
            senderMAC: plan.gatewayMAC,
            senderAddress: plan.gateway,
            targetMAC: MACAddress(rawValue: 0),
            targetAddress: routers.neighbor(toward: address)
        )
        for link in attached { send(request, to: .broadcast, on: link) }
    }

    /// Sends one ARP packet.
    func send(_ packet: ARPPacket, to destination: MACAddress, on link: any FrameLink) {
        // Padded to the minimum Ethernet frame (IEEE 802.3, 3.2.8), which some drivers require.
        let length = 60
        guard let room = link.reserve(length, .control) else { return }
        room.initializeMemory(as: UInt8.self, repeating: 0)
        let ethernet = EthernetHeader(
            destination: destination,
            source: plan.gatewayMAC,
            kind: EthernetHeader.Kind.arp
        )
        var octets = room.mutableBytes
        ethernet.write(to: &octets)
        let body = UnsafeMutableRawBufferPointer(rebasing: room[EthernetHeader.length...])
        var bodyOctets = body.mutableBytes
        packet.write(to: &bodyOctets)
        commit(length, .finished, room, on: link)
    }

    /// Sends one IP packet, fragmented if it exceeds the MTU.
    ///
    /// - Parameters:
    ///   - header: Its payload length is set here.
    ///   - payload: Transport header and data with a complete checksum.
    ///   - mac: The receiver.
    ///   - link: The receiver's link; nil for every link.
    ///   - priority: Payload must leave room for ACKs and ARP.
    func send(
        _ header: IPv4Header,
        _ payload: UnsafeRawBufferPointer,
        to mac: MACAddress,
        on link: (any FrameLink)?,
        _ priority: FramePriority = .bulk
    ) {
        guard let link else {
            for link in attached { send(header, payload, to: mac, on: link, priority) }
            return
        }
        // Fragment boundaries are multiples of eight (RFC 791, 3.2).
        let largest = (plan.mtu - IPv4Header.length) & ~7
        var fragment = header
        fragment.identification = nextIdentification()
        var offset = 0
        repeat {
            var count = payload.count - offset
            if payload.count > plan.mtu - IPv4Header.length { count = min(count, largest) }
            fragment.payloadLength = count
            fragment.fragmentOffset = offset
            fragment.moreFragments = offset + count < payload.count
            let part = UnsafeRawBufferPointer(rebasing: payload[offset..<(offset + count)])
            sendPacket(fragment, part, to: mac, on: link, priority)
            offset += count
        } while offset < payload.count
    }

    private func sendPacket(
        _ header: IPv4Header,
        _ payload: UnsafeRawBufferPointer,
        to mac: MACAddress,
        on link: any FrameLink,
        _ priority: FramePriority
    ) {
        let start = EthernetHeader.length + IPv4Header.length
        guard let room = link.reserveOrDrop(start + payload.count, priority) else { return }
        writeHeaders(header, to: mac, room)
        UnsafeMutableRawBufferPointer(rebasing: room[start...]).copyMemory(from: payload)
        commit(start + payload.count, .finished, room, on: link)
    }

    /// Writes the Ethernet and IPv4 headers of a frame.
    @inline(__always)
    func writeHeaders(
        _ header: IPv4Header,
        to mac: MACAddress,
        _ room: UnsafeMutableRawBufferPointer
    ) {
        var octets = room.mutableBytes
        EthernetHeader(
            destination: mac,
            source: plan.gatewayMAC,
            kind: EthernetHeader.Kind.ipv4
        ).write(to: &octets)
        let packet = UnsafeMutableRawBufferPointer(rebasing: room[EthernetHeader.length...])
        var packetOctets = packet.mutableBytes
        header.write(to: &packetOctets)
    }

    /// Commits the frame in a link's reserved room and records it in the capture.
    @inline(__always)
    func commit(
        _ count: Int,
        _ header: VirtioNetHeader,
        _ room: UnsafeMutableRawBufferPointer,
        on link: any FrameLink
    ) {
        if let capture {
            let octets = UnsafeRawBufferPointer(rebasing: room[..<count])
            capture.record(Frame(octets, header))
        }
        link.commit(count, header)
    }
}
