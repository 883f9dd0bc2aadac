/// Segmentation offload in software: splits a super-frame into packets.
///
/// Used for links whose other end takes plain frames only. Each packet gets a copy of the headers
/// with its own length, identification, sequence number and checksums. Only the last packet keeps
/// FIN and PSH (packet-engine notes, 4.4).
struct FrameSegments {
    private let frame: UnsafeRawBufferPointer
    private let transport: Transport
    private let isIPv4: Bool
    private let addressing: IPAddresses
    /// The offset of the transport header.
    private let transportStart: Int
    private let headerLength: Int
    private let segmentSize: Int

    private enum Transport { case tcp, udp }

    private struct IPAddresses {
        let source: IPAddress
        let destination: IPAddress
    }

    /// The number of packets.
    let count: Int

    /// Reads the headers that each packet repeats.
    ///
    /// - Parameters:
    /// - frame: The whole frame; borrowed, because the packets are written from it.
    /// - header: Must request segmentation.
    /// - Throws: `PacketError` when frame and header contradict each other.
    init(_ frame: UnsafeRawBufferPointer, _ header: VirtioNetHeader) throws(PacketError) {
        let octets = frame.bytes
        let ethernet = try EthernetHeader(reading: octets)
        isIPv4 = ethernet.kind == EthernetHeader.Kind.ipv4
        let ipStart = EthernetHeader.length
        if isIPv4 {
            let packet = UnsafeRawBufferPointer(rebasing: frame[ipStart...])
            let ip = try IPHeader(readingIPv4: packet.bytes)
            addressing = IPAddresses(source: ip.source, destination: ip.destination)
            transportStart = ipStart + ip.headerLength
        } else {
            transportStart = Int(header.checksumStart)
            guard ethernet.kind == EthernetHeader.Kind.ipv6,
                frame.count >= ipStart + IPHeader.lengthIPv6,
                transportStart >= ipStart + IPHeader.lengthIPv6
            else { throw .notThisFormat }
            addressing = IPAddresses(
                source: IPAddress(reading: octets, at: ipStart + 8),
                destination: IPAddress(reading: octets, at: ipStart + 24)
            )
        }
        switch header.segmentation {
        case .tcpIPv4, .tcpIPv6: transport = .tcp
        case .udp: transport = .udp
        case .none, .other: throw .notThisFormat
        }
        let transportLength = try Self.transportHeaderLength(transport, octets, at: transportStart)
        headerLength = transportStart + transportLength
        segmentSize = Int(header.segmentSize)
        guard segmentSize > 0, frame.count > headerLength else {
            throw .badLength(field: segmentSize, available: frame.count)
        }
        count = (frame.count - headerLength + segmentSize - 1) / segmentSize
        self.frame = frame
    }

    private static func transportHeaderLength(
        _ transport: Transport,
        _ octets: RawSpan,
        at start: Int
    ) throws(PacketError) -> Int {
        let minimum = transport == .tcp ? TCPHeader.length : UDPHeader.length
        guard octets.byteCount >= start + minimum else {
            throw .truncated(needed: start + minimum, available: octets.byteCount)
        }
        guard transport == .tcp else { return minimum }
        let length = Int(octets.octet(at: start + 12) >> 4) * 4
        guard length >= minimum, start + length <= octets.byteCount else {
            throw .badLength(field: length, available: octets.byteCount)
        }
        return length
    }

    /// The length of the longest packet's frame, in bytes.
    var maximumLength: Int { headerLength + min(segmentSize, frame.count - headerLength) }

    /// The length of one packet's frame, in bytes.
    func length(of index: Int) -> Int {
        headerLength + min(segmentSize, frame.count - headerLength - index * segmentSize)
    }

    /// Writes one packet as a complete frame of `length(of: index)` bytes.
    func write(_ index: Int, to room: UnsafeMutableRawBufferPointer) {
        let offset = index * segmentSize
        let payload = length(of: index) - headerLength
        let whole = UnsafeMutableRawBufferPointer(rebasing: room[..<(headerLength + payload)])
        whole.copyMemory(from: UnsafeRawBufferPointer(rebasing: frame[..<headerLength]))
        let source = headerLength + offset
        UnsafeMutableRawBufferPointer(rebasing: whole[headerLength...])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: frame[source..<(source + payload)]))
        writeIPHeader(whole, index: index)
        switch transport {
        case .tcp: writeTCPHeader(whole, index: index, offset: offset)
        case .udp: writeUDPHeader(whole)
        }
        writeChecksum(whole)
    }

    private func writeIPHeader(_ whole: UnsafeMutableRawBufferPointer, index: Int) {
        let start = EthernetHeader.length
        var octets = whole.mutableBytes
        guard isIPv4 else {
            octets.storeBigEndian(
                UInt16(truncatingIfNeeded: whole.count - start - 40),
                at: start + 4
            )
            return
        }
        let identification = octets.bytes.bigEndian(at: start + 4, as: UInt16.self)
        octets.storeBigEndian(identification &+ UInt16(truncatingIfNeeded: index), at: start + 4)
        octets.storeBigEndian(UInt16(truncatingIfNeeded: whole.count - start), at: start + 2)
        octets.storeBigEndian(0 as UInt16, at: start + 10)
        let header = UnsafeRawBufferPointer(rebasing: whole[start..<transportStart])
        octets.storeBigEndian(InternetChecksum.checksum(header), at: start + 10)
    }

    private func writeTCPHeader(_ whole: UnsafeMutableRawBufferPointer, index: Int, offset: Int) {
        var octets = whole.mutableBytes
        let sequence = octets.bytes.bigEndian(at: transportStart + 4, as: UInt32.self)
        octets.storeBigEndian(
            sequence &+ UInt32(truncatingIfNeeded: offset),
            at: transportStart + 4
        )
        var flags = octets.bytes.octet(at: transportStart + 13)
        if index < count - 1 { flags &= ~(TCPFlags.fin.rawValue | TCPFlags.psh.rawValue) }
        // CWR answers an ECN echo once, so only the first packet keeps it (RFC 3168, 6.1.2).
        if index > 0 { flags &= 0x7f }
        octets.storeOctet(flags, at: transportStart + 13)
    }

    private func writeUDPHeader(_ whole: UnsafeMutableRawBufferPointer) {
        var octets = whole.mutableBytes
        octets.storeBigEndian(
            UInt16(truncatingIfNeeded: whole.count - transportStart),
            at: transportStart + 4
        )
    }

    private func writeChecksum(_ whole: UnsafeMutableRawBufferPointer) {
        let field = transportStart + (transport == .tcp ? 16 : 6)
        var octets = whole.mutableBytes
        octets.storeBigEndian(0 as UInt16, at: field)
        let pseudo = InternetChecksum.pseudoHeaderSum(
            source: addressing.source,
            destination: addressing.destination,
            transport: transport == .tcp ? IPProtocol.tcp : IPProtocol.udp,
            length: whole.count - transportStart
        )
        let segment = UnsafeRawBufferPointer(rebasing: whole[transportStart...])
        var sum = InternetChecksum.checksum(segment, adding: pseudo)
        if sum == 0, transport == .udp { sum = 0xffff }
        octets.storeBigEndian(sum, at: field)
    }
}
