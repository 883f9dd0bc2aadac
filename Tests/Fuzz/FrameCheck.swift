/// What every frame from the gateway must fulfill, checked without the code under test.
enum FrameCheck {
    /// Checks a frame that a guest receives.
    ///
    /// - Parameters:
    ///   - frame: The frame.
    ///   - header: Its offload header; finished on a plain link.
    ///   - mtu: The largest packet.
    static func check(_ frame: UnsafeRawBufferPointer, _ header: VirtioNetHeader, mtu: Int) {
        mustHold((14...65_535).contains(frame.count), "a frame of \(frame.count) bytes")
        // Other guests' frames are theirs.
        guard Array(frame[6..<12]) == MACAddress.standardGateway.octets else { return }
        let isIPv6 = frame[12] == 0x86 && frame[13] == 0xdd
        guard isIPv6 || frame[12] == 8 && frame[13] == 0 else {
            mustHold(frame[12] == 8 && frame[13] == 6 && frame.count == 60, "neither IP nor ARP")
            return
        }
        guard header.segmentation == .none else { return superFrame(frame, header, mtu: mtu) }
        mustHold(frame.count <= 14 + mtu, "a packet of \(frame.count - 14) bytes")
        var octets = Array(frame)
        if header.needsChecksum { complete(&octets, header) }
        packet(octets)
    }

    /// A super-frame's segments must fit the guest's MTU, and its checksum must be unfinished.
    private static func superFrame(
        _ frame: UnsafeRawBufferPointer,
        _ header: VirtioNetHeader,
        mtu: Int
    ) {
        mustHold(header.needsChecksum, "a super-frame with a finished checksum")
        let isIPv6 = frame[14] >> 4 == 6
        let start = isIPv6 ? 54 : 14 + Int(frame[14] & 15) * 4
        let isTCP = header.segmentation == (isIPv6 ? .tcpIPv6 : .tcpIPv4)
        let transport = frame[isIPv6 ? 20 : 23]
        mustHold(isTCP ? transport == 6 : transport == 17, "another transport")
        mustHold(Int(header.checksumStart) == start, "the checksum starts elsewhere")
        let length = isTCP ? Int(frame[start + 12] >> 4) * 4 : 8
        let packet = start - 14 + length + Int(header.segmentSize)
        mustHold(header.segmentSize > 0 && packet <= mtu, "segments of \(packet) bytes")
        var octets = Array(frame)
        complete(&octets, header)
        self.packet(octets)
    }

    private static func complete(_ frame: inout [UInt8], _ header: VirtioNetHeader) {
        let start = Int(header.checksumStart)
        let field = start + Int(header.checksumOffset)
        mustHold(field + 2 <= frame.count, "the checksum is outside of the frame")
        let sum = Checksum.of(frame[start...])
        (frame[field], frame[field + 1]) = (UInt8(sum >> 8), UInt8(sum & 255))
    }

    /// A complete IPv6 packet in a frame.
    private static func packetIPv6(_ frame: [UInt8]) {
        let length = Int(frame[18]) << 8 | Int(frame[19])
        mustHold(length == frame.count - 54, "\(length) bytes in a frame of \(frame.count)")
        // A fragment; only the whole has a checksum.
        guard frame[20] != 44 else { return }
        mustHold([6, 17, 58].contains(frame[20]), "protocol \(frame[20])")
        let payload = frame[54...]
        let pseudo = Checksum.pseudoHeaderIPv6(frame, payload.count)
        mustHold(Checksum.of(pseudo + payload) == 0, "the checksum over IPv6")
    }

    /// A complete packet in a frame.
    private static func packet(_ frame: [UInt8]) {
        if frame[14] >> 4 == 6 { return packetIPv6(frame) }
        let headerLength = Int(frame[14] & 15) * 4
        let total = Int(frame[16]) << 8 | Int(frame[17])
        mustHold(frame[14] >> 4 == 4 && headerLength >= 20, "no IPv4 header")
        mustHold(total == frame.count - 14, "\(total) bytes in a frame of \(frame.count)")
        mustHold(Checksum.of(frame[14..<(14 + headerLength)]) == 0, "the IPv4 checksum")
        let isFragment = (Int(frame[20]) << 8 | Int(frame[21])) & 0x3fff != 0
        guard !isFragment else { return }
        let payload = frame[(14 + headerLength)...]
        switch frame[23] {
        case IPProtocol.icmp: mustHold(Checksum.of(payload) == 0, "the ICMP checksum")
        case IPProtocol.tcp, IPProtocol.udp:
            let field = payload.startIndex + 6
            let isPresent = frame[23] == IPProtocol.tcp || payload[field] | payload[field + 1] != 0
            mustHold(isPresent, "a datagram without a checksum")
            let pseudo = Checksum.pseudoHeader(frame, payload.count)
            mustHold(Checksum.of(pseudo + payload) == 0, "the transport checksum")
        default: mustHold(false, "protocol \(frame[23])")
        }
    }
}

/// The Internet checksum (RFC 1071), word by word.
enum Checksum {
    static func of(_ octets: some Sequence<UInt8>) -> UInt16 {
        var (sum, isHigh) = (UInt64(0), true)
        for octet in octets {
            sum += isHigh ? UInt64(octet) << 8 : UInt64(octet)
            isHigh.toggle()
        }
        while sum > 0xffff { sum = (sum & 0xffff) + (sum >> 16) }
        return ~UInt16(sum)
    }

    /// The pseudo-header of the transport in an IPv4 frame.
    static func pseudoHeader(_ frame: [UInt8], _ length: Int) -> [UInt8] {
        Array(frame[26..<34]) + [0, frame[23], UInt8(length >> 8 & 255), UInt8(length & 255)]
    }

    /// The pseudo-header of the transport in an IPv6 frame.
    static func pseudoHeaderIPv6(_ frame: [UInt8], _ length: Int) -> [UInt8] {
        Array(frame[22..<54]) + [0, 0, UInt8(length >> 8 & 255), UInt8(length & 255)]
            + [0, 0, 0, frame[20]]
    }

    private static func repairIPv6(_ frame: inout [UInt8]) {
        let end = 54 + (Int(frame[18]) << 8 | Int(frame[19]))
        guard let offset = [6: 16, 17: 6, 58: 2][frame[20]], 54 + offset + 2 <= end,
            end <= frame.count
        else { return }
        store(0, in: &frame, at: 54 + offset)
        let pseudo = pseudoHeaderIPv6(frame, end - 54)
        store(of(pseudo + frame[54..<end]), in: &frame, at: 54 + offset)
    }

    /// Writes the checksums of an IP frame, as far as its lengths allow.
    static func repair(_ frame: inout [UInt8]) {
        if frame.count >= 54, frame[12] == 0x86, frame[13] == 0xdd { return repairIPv6(&frame) }
        guard frame.count >= 34, frame[12] == 8, frame[13] == 0 else { return }
        let start = 14 + Int(frame[14] & 15) * 4
        guard start >= 34, start <= frame.count else { return }
        store(0, in: &frame, at: 24)
        store(of(frame[14..<start]), in: &frame, at: 24)
        let field: Int
        switch frame[23] {
        case 1: field = start + 2
        case 6: field = start + 16
        case 17: field = start + 6
        default: return
        }
        let end = 14 + (Int(frame[16]) << 8 | Int(frame[17]))
        guard field + 2 <= end, end <= frame.count else { return }
        store(0, in: &frame, at: field)
        let pseudo = frame[23] == 1 ? [] : pseudoHeader(frame, end - start)
        store(of(pseudo + frame[start..<end]), in: &frame, at: field)
    }

    private static func store(_ sum: UInt16, in octets: inout [UInt8], at offset: Int) {
        octets[offset] = UInt8(sum >> 8)
        octets[offset + 1] = UInt8(sum & 255)
    }
}
