/// Infers the pending offloads of a frame whose link carries no `virtio_net_hdr`.
///
/// libkrun, krunkit and others let the guest's kernel leave TCP and UDP checksums and TCP
/// segmentation to the device, and then strip the header that says so. The checksum field of such a
/// frame holds only the folded sum of the pseudo-header, and a TCP segment can exceed the MTU. If a
/// complete checksum happens to equal that sum, completing it again does not change it. It is
/// therefore always safe to treat such a frame as unfinished.
enum InferredOffload {
    /// The TCP or UDP segment in a frame.
    private struct Segment {
        /// From the start of the transport header to the end of the packet; Ethernet padding may
        /// follow.
        var range: Range<Int>
        var isTCP: Bool
        var source: IPAddress
        var destination: IPAddress
    }

    /// Infers which offloads the sender left to the device.
    ///
    /// - Parameters:
    /// - octets: The frame as received, from a link without offload headers.
    /// - mtu: The largest packet that the frame's receivers take; longer TCP segments are cut to
    ///   fit.
    /// - Returns: The frame without padding if its checksum is unfinished; otherwise the frame
    ///   unchanged.
    @inline(never)
    static func frame(_ octets: UnsafeRawBufferPointer, mtu: Int) -> Frame {
        let bytes = octets.bytes
        guard let segment = segment(bytes) else { return Frame(octets) }
        let checksumOffset = segment.isTCP ? 16 : 6
        let pseudo = InternetChecksum.pseudoHeaderSum(
            source: segment.source,
            destination: segment.destination,
            transport: segment.isTCP ? IPProtocol.tcp : IPProtocol.udp,
            length: segment.range.count
        )
        let field: UInt16 = bytes.bigEndian(at: segment.range.lowerBound + checksumOffset)
        guard field == InternetChecksum.fold(pseudo) else { return Frame(octets) }
        var header = VirtioNetHeader()
        header.needsChecksum = true
        header.checksumStart = UInt16(segment.range.lowerBound)
        header.checksumOffset = UInt16(checksumOffset)
        if segment.isTCP { setSegmentation(&header, segment, bytes, mtu: mtu) }
        return Frame(UnsafeRawBufferPointer(rebasing: octets[..<segment.range.upperBound]), header)
    }

    /// Completes the checksum of an IPv4 header that the sender left to a device, as VPNKit's
    /// client does when it asks for its address by DHCP.
    ///
    /// - Parameter octets: The frame as received, from a link without offload headers.
    /// - Returns: The frame with the checksum; nil if that is not what it lacks.
    @inline(never)
    static func completingHeader(of octets: UnsafeRawBufferPointer) -> [UInt8]? {
        let (start, field) = (EthernetHeader.length, EthernetHeader.length + 10)
        guard octets.count >= start + IPHeader.lengthIPv4, octets[12] == 8, octets[13] == 0,
            octets[start] >> 4 == 4, octets[field] == 0, octets[field + 1] == 0
        else { return nil }
        let end = start + Int(octets[start] & 15) * 4
        guard end >= start + IPHeader.lengthIPv4, end <= octets.count else { return nil }
        let header = UnsafeRawBufferPointer(rebasing: octets[start..<end])
        let checksum = InternetChecksum.checksum(header)
        var frame = Array(octets)
        frame[field] = UInt8(checksum >> 8)
        frame[field + 1] = UInt8(truncatingIfNeeded: checksum)
        return frame
    }

    private static func setSegmentation(
        _ header: inout VirtioNetHeader,
        _ segment: Segment,
        _ octets: RawSpan,
        mtu: Int
    ) {
        let start = segment.range.lowerBound
        let headerLength = start + Int(octets.octet(at: start + 12) >> 4) * 4
        let largest = EthernetHeader.length + mtu
        guard segment.range.upperBound > largest, headerLength < largest else { return }
        header.segmentation = segment.source.isIPv4 ? .tcpIPv4 : .tcpIPv6
        header.segmentSize = UInt16(truncatingIfNeeded: largest - headerLength)
        header.headerLength = UInt16(headerLength)
    }

    /// Finds a complete TCP or UDP segment; returns nil for fragments and everything else.
    private static func segment(_ frame: RawSpan) -> Segment? {
        guard frame.byteCount >= EthernetHeader.length + IPHeader.lengthIPv4 else { return nil }
        let found: Segment?
        switch frame.bigEndian(at: 12, as: UInt16.self) {
        case EthernetHeader.Kind.ipv4: found = segmentIPv4(frame)
        case EthernetHeader.Kind.ipv6: found = segmentIPv6(frame)
        default: found = nil
        }
        guard let found, found.range.upperBound <= frame.byteCount,
            found.range.count >= (found.isTCP ? TCPHeader.length : UDPHeader.length)
        else { return nil }
        return found
    }

    private static func segmentIPv4(_ frame: RawSpan) -> Segment? {
        let start = EthernetHeader.length
        let transport = frame.octet(at: start + 9)
        let isFragment = frame.bigEndian(at: start + 6, as: UInt16.self) & 0x3fff != 0
        guard transport == IPProtocol.tcp || transport == IPProtocol.udp, !isFragment,
            frame.octet(at: start) >> 4 == 4
        else { return nil }
        let headerLength = Int(frame.octet(at: start) & 15) * 4
        let totalLength = Int(frame.bigEndian(at: start + 2, as: UInt16.self))
        guard headerLength >= IPHeader.lengthIPv4, totalLength >= headerLength else { return nil }
        return Segment(
            range: start + headerLength..<start + totalLength,
            isTCP: transport == IPProtocol.tcp,
            source: IPAddress(ipv4: frame.bigEndian(at: start + 12)),
            destination: IPAddress(ipv4: frame.bigEndian(at: start + 16))
        )
    }

    /// Ignores extension headers: no guest kernel puts one before TCP or UDP on its own.
    private static func segmentIPv6(_ frame: RawSpan) -> Segment? {
        let (start, headerLength) = (EthernetHeader.length, IPHeader.lengthIPv6)
        guard frame.byteCount >= start + headerLength else { return nil }
        let transport = frame.octet(at: start + 6)
        guard transport == IPProtocol.tcp || transport == IPProtocol.udp else { return nil }
        let payloadLength = Int(frame.bigEndian(at: start + 4, as: UInt16.self))
        return Segment(
            range: start + headerLength..<start + headerLength + payloadLength,
            isTCP: transport == IPProtocol.tcp,
            source: IPAddress(reading: frame, at: start + 8),
            destination: IPAddress(reading: frame, at: start + 24)
        )
    }
}
