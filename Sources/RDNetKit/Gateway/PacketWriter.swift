/// Builds every IP packet that goes to a guest: Ethernet, IP and transport headers of either
/// family, checksums, fragments, and what is left to the link's offloads.
final class PacketWriter {
    /// The largest payload of an IPv4 datagram.
    static let maximumDatagram = 65_507

    private let ethernet: VirtualEthernet
    private var lastIdentification: UInt32 = 0
    /// Transport header and payload of a packet that may need fragments.
    private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 64)

    /// Creates a writer of the packets on an Ethernet.
    init(_ ethernet: VirtualEthernet) {
        self.ethernet = ethernet
    }

    deinit {
        scratch.deallocate()
    }

    // MARK: In place

    /// Sends a TCP segment; see `GuestPath`.
    ///
    /// The checksum stays partial until the last stage that can finish it.
    @inline(__always)
    func commit(_ packet: OutboundPacket, _ header: TCPHeader, payload: Int, segmentSize: Int) {
        let headerLength = header.writtenLength
        let packets = max(1, (payload + segmentSize - 1) / segmentSize)
        var octets = packet.payload(behind: 0).mutableBytes
        header.write(to: &octets)
        let checksum = pseudoChecksum(packet, IPProtocol.tcp, headerLength + payload)
        octets.storeBigEndian(checksum, at: TCPHeader.checksumOffset)
        var offload = partialChecksum(packet, at: TCPHeader.checksumOffset)
        if packets > 1 {
            offload.segmentation = packet.destination.isIPv4 ? .tcpIPv4 : .tcpIPv6
            offload.segmentSize = UInt16(truncatingIfNeeded: segmentSize)
            offload.headerLength = UInt16(
                truncatingIfNeeded: packet.transportStart + headerLength
            )
        }
        commit(packet, IPProtocol.tcp, headerLength + payload, packets: packets, offload)
    }

    /// Sends datagrams of equal length; see `GuestPath`.
    func commit(_ packet: OutboundPacket, _ header: UDPHeader, payload: Int, segmentSize: Int) {
        let count = UDPHeader.length + payload
        var header = header
        header.payloadLength = payload
        header.checksum = pseudoChecksum(packet, IPProtocol.udp, count)
        var octets = packet.payload(behind: 0).mutableBytes
        header.write(to: &octets)
        var offload = partialChecksum(packet, at: UDPHeader.checksumOffset)
        offload.segmentation = .udp
        offload.segmentSize = UInt16(truncatingIfNeeded: segmentSize)
        offload.headerLength = UInt16(packet.transportStart + UDPHeader.length)
        commit(packet, IPProtocol.udp, count, packets: payload / segmentSize + 1, offload)
    }

    /// The folded sum of a pseudo-header, to which the payload's is added later.
    @inline(__always)
    private func pseudoChecksum(_ packet: OutboundPacket, _ transport: UInt8, _ count: Int)
        -> UInt16
    {
        InternetChecksum.fold(
            InternetChecksum.pseudoHeaderSum(
                source: packet.source,
                destination: packet.destination,
                transport: transport,
                length: count
            )
        )
    }

    @inline(__always)
    private func partialChecksum(_ packet: OutboundPacket, at offset: Int) -> VirtioNetHeader {
        var offload = VirtioNetHeader()
        offload.needsChecksum = true
        offload.checksumStart = UInt16(packet.transportStart)
        offload.checksumOffset = UInt16(offset)
        return offload
    }

    @inline(__always)
    private func commit(
        _ packet: OutboundPacket,
        _ transport: UInt8,
        _ count: Int,
        packets: Int,
        _ offload: VirtioNetHeader
    ) {
        var header = IPHeader(
            transport: transport,
            source: packet.source,
            destination: packet.destination,
            payloadLength: count,
            identification: nextIdentification(packets)
        )
        // Our segments fit the guests' MTU, so a router that would cut them is to report it.
        if transport == IPProtocol.tcp { header.dontFragment = true }
        writeHeaders(header, to: packet.route.mac, packet.frame)
        let length = packet.transportStart + count
        ethernet.commit(length, offload, packet.frame, on: packet.route.link)
    }

    // MARK: Copied

    /// Sends one datagram, always with a complete checksum, because clients with packet sockets
    /// (DHCP) do not handle partial ones.
    ///
    /// - Parameters:
    ///   - payload: At most `maximumDatagram` bytes.
    ///   - source: The sender that the guest sees.
    ///   - guest: The receiver.
    ///   - mac: The receiver's MAC address.
    ///   - link: The receiver's link; nil for every link.
    func send(
        _ payload: UnsafeRawBufferPointer,
        from source: Endpoint,
        to guest: Endpoint,
        mac: MACAddress,
        on link: (any FrameLink)?
    ) {
        let count = UDPHeader.length + payload.count
        let datagram = UnsafeMutableRawBufferPointer(rebasing: scratch[..<count])
        UnsafeMutableRawBufferPointer(rebasing: datagram[UDPHeader.length...])
            .copyMemory(from: payload)
        let ip = IPHeader(
            transport: IPProtocol.udp,
            source: source.address,
            destination: guest.address,
            payloadLength: count
        )
        var header = UDPHeader(
            sourcePort: source.port,
            destinationPort: guest.port,
            payloadLength: payload.count
        )
        var octets = datagram.mutableBytes
        header.write(to: &octets)
        header.checksum = ip.datagramChecksum(of: UnsafeRawBufferPointer(datagram))
        header.write(to: &octets)
        send(ip, UnsafeRawBufferPointer(datagram), to: mac, on: link)
    }

    /// Sends an ICMP message; see `GuestPath`.
    func send(
        _ message: ICMPMessage,
        _ data: UnsafeRawBufferPointer,
        from source: IPAddress,
        to guest: IPAddress,
        hopLimit: UInt8,
        over route: GuestRoute,
        _ priority: FramePriority = .datagram
    ) {
        let count = ICMPMessage.headerLength + data.count
        let octets = UnsafeMutableRawBufferPointer(rebasing: scratch[..<count])
        UnsafeMutableRawBufferPointer(rebasing: octets[ICMPMessage.headerLength...])
            .copyMemory(from: data)
        var ip = IPHeader(
            transport: IPProtocol.icmp(for: guest),
            source: source,
            destination: guest,
            payloadLength: count
        )
        ip.hopLimit = hopLimit
        var span = octets.mutableBytes
        message.write(to: &span, isIPv4: guest.isIPv4)
        // Only ICMPv6 covers a pseudo-header (RFC 4443, 2.3).
        let whole = UnsafeRawBufferPointer(octets)
        let sum = guest.isIPv4 ? InternetChecksum.checksum(whole) : ip.checksum(of: whole)
        span.storeBigEndian(sum, at: 2)
        send(ip, whole, to: route.mac, on: route.link, priority)
    }

    /// Sends an ICMPv6 message between nodes of the link, such as neighbor discovery.
    ///
    /// - Parameters:
    ///   - octets: The whole message; its checksum is computed here.
    ///   - source: One of the gateway's addresses.
    ///   - destination: A guest or a group.
    ///   - mac: The receiver's MAC address, or the group's.
    ///   - link: The receiver's link; nil for every link.
    func sendOnLink(
        _ octets: [UInt8],
        from source: IPAddress,
        to destination: IPAddress,
        mac: MACAddress,
        on link: (any FrameLink)?
    ) {
        var octets = octets
        var ip = IPHeader(
            transport: IPProtocol.icmpIPv6,
            source: source,
            destination: destination,
            payloadLength: octets.count
        )
        ip.hopLimit = NeighborDiscoveryMessage.Envelope.hopLimit
        octets.withUnsafeMutableBytes { octets in
            let sum = ip.checksum(of: UnsafeRawBufferPointer(octets))
            // Sound: the span is used inside the closure only.
            var span = octets.mutableBytes
            span.storeBigEndian(sum, at: 2)
            send(ip, UnsafeRawBufferPointer(octets), to: mac, on: link, .control)
        }
    }

    /// Asks for a guest's MAC address (RFC 4861, 7.2.2).
    func solicit(_ guest: IPAddress) {
        let group = guest.solicitedNodeGroup
        var message = NeighborSolicitation(target: guest)
        message.options.sourceLinkAddress = ethernet.plan.gatewayMAC
        sendOnLink(
            message.octets,
            from: ethernet.plan.ipv6?.linkLocal ?? .gatewayLinkLocal,
            to: group,
            mac: MACAddress(ipv6Group: group),
            on: nil
        )
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
        _ header: IPHeader,
        _ payload: UnsafeRawBufferPointer,
        to mac: MACAddress,
        on link: (any FrameLink)?,
        _ priority: FramePriority = .datagram
    ) {
        guard let link else {
            for link in ethernet.attached { send(header, payload, to: mac, on: link, priority) }
            return
        }
        var fragment = header
        fragment.identification = nextIdentification(1)
        let isWhole = payload.count + header.writtenLength <= ethernet.plan.mtu
        fragment.moreFragments = !isWhole
        // Fragment boundaries are multiples of eight (RFC 791, 3.2; RFC 8200, 4.5).
        let largest = (ethernet.plan.mtu - fragment.writtenLength) & ~7
        var offset = 0
        repeat {
            let rest = payload.count - offset
            let count = isWhole ? rest : min(rest, largest)
            fragment.payloadLength = count
            fragment.fragmentOffset = offset
            fragment.moreFragments = offset + count < payload.count
            let part = UnsafeRawBufferPointer(rebasing: payload[offset..<(offset + count)])
            sendWhole(fragment, part, to: mac, on: link, priority)
            offset += count
        } while offset < payload.count
    }

    private func sendWhole(
        _ header: IPHeader,
        _ payload: UnsafeRawBufferPointer,
        to mac: MACAddress,
        on link: any FrameLink,
        _ priority: FramePriority
    ) {
        let start = EthernetHeader.length + header.writtenLength
        guard let room = link.reserveOrDrop(start + payload.count, priority) else { return }
        writeHeaders(header, to: mac, room)
        UnsafeMutableRawBufferPointer(rebasing: room[start...]).copyMemory(from: payload)
        ethernet.commit(start + payload.count, .finished, room, on: link)
    }

    // MARK: Headers

    /// Writes the Ethernet and IP headers of a frame.
    @inline(__always)
    private func writeHeaders(
        _ header: IPHeader,
        to mac: MACAddress,
        _ room: UnsafeMutableRawBufferPointer
    ) {
        var octets = room.mutableBytes
        EthernetHeader(
            destination: mac,
            source: ethernet.plan.gatewayMAC,
            kind: header.isIPv4 ? EthernetHeader.Kind.ipv4 : EthernetHeader.Kind.ipv6
        ).write(to: &octets)
        let packet = UnsafeMutableRawBufferPointer(rebasing: room[EthernetHeader.length...])
        var packetOctets = packet.mutableBytes
        header.write(to: &packetOctets)
    }

    /// The next packets' IP identification.
    @inline(__always)
    private func nextIdentification(_ count: Int) -> UInt32 {
        let first = lastIdentification &+ 1
        lastIdentification &+= UInt32(truncatingIfNeeded: count)
        return first
    }
}
