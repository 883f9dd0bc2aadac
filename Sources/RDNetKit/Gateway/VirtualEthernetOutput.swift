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
        if !taps.isEmpty {
            tap(Frame(UnsafeRawBufferPointer(rebasing: room[..<count]), header), on: link, .toGuest)
        }
        link.commit(count, header)
    }
}
