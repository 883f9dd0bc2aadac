/// Writes TCP segments to guests: headers in front of a payload that is already in place.
enum TCPSegmentWriter {
    /// The length of all headers of a segment without options.
    static let headerLength = EthernetHeader.length + IPv4Header.length + TCPHeader.length
    /// The longest payload that a frame of `Frame.maximumLength` holds, without options.
    static let maximumPayload = Frame.maximumLength - headerLength

    /// A segment's addresses as the guest sees them.
    struct Path {
        let remote: Endpoint
        let guest: Endpoint
        let mac: MACAddress
    }

    /// Writes all headers; the checksum stays partial until the last stage that can finish it.
    ///
    /// - Parameters:
    ///   - room: From the Ethernet header to the payload's end.
    ///   - path: The addresses; ports are the header's.
    ///   - header: Its options decide how long it is.
    ///   - segmentSize: The largest payload of one packet.
    ///   - ethernet: Writes the lower headers and numbers packets.
    /// - Returns: The offload work left to do.
    @inline(__always)
    static func write(
        _ room: UnsafeMutableRawBufferPointer,
        _ path: Path,
        _ header: TCPHeader,
        segmentSize: Int,
        _ ethernet: VirtualEthernet
    ) -> VirtioNetHeader {
        let transportStart = EthernetHeader.length + IPv4Header.length
        let tcpLength = header.writtenLength
        let payloadLength = room.count - transportStart - tcpLength
        let packets = max(1, (payloadLength + segmentSize - 1) / segmentSize)
        var ip = IPv4Header(
            transport: IPProtocol.tcp,
            source: path.remote.address,
            destination: path.guest.address,
            payloadLength: tcpLength + payloadLength,
            identification: ethernet.nextIdentification(packets)
        )
        ip.dontFragment = true
        ethernet.writeHeaders(ip, to: path.mac, room)
        let segment = UnsafeMutableRawBufferPointer(rebasing: room[transportStart...])
        var octets = segment.mutableBytes
        header.write(to: &octets)
        let pseudo = InternetChecksum.pseudoHeaderSum(
            source: path.remote.address,
            destination: path.guest.address,
            transport: IPProtocol.tcp,
            length: tcpLength + payloadLength
        )
        octets.storeBigEndian(InternetChecksum.fold(pseudo), at: 16)
        return offload(tcpLength: tcpLength, packets: packets, segmentSize: segmentSize)
    }

    @inline(__always)
    private static func offload(tcpLength: Int, packets: Int, segmentSize: Int) -> VirtioNetHeader {
        let transportStart = EthernetHeader.length + IPv4Header.length
        var offload = VirtioNetHeader()
        offload.needsChecksum = true
        offload.checksumStart = UInt16(transportStart)
        offload.checksumOffset = 16
        if packets > 1 {
            offload.segmentation = .tcpIPv4
            offload.segmentSize = UInt16(truncatingIfNeeded: segmentSize)
            offload.headerLength = UInt16(truncatingIfNeeded: transportStart + tcpLength)
        }
        return offload
    }
}
