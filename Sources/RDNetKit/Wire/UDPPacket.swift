/// A complete UDP datagram in one IPv4 packet, for packet sockets.
struct UDPPacket: Equatable {
    var source: Endpoint
    var destination: Endpoint
    var payload: [UInt8]

    init(source: Endpoint, destination: Endpoint, payload: [UInt8]) {
        self.source = source
        self.destination = destination
        self.payload = payload
    }

    /// Reads a packet.
    ///
    /// The UDP checksum is not verified: between virtual interfaces it may be only the
    /// pseudo-header sum (partial checksum), which is not an error.
    ///
    /// - Parameter packet: Starts with the IPv4 header; bytes after the total length are ignored.
    /// - Throws: `PacketError` for fragments, other protocols and lengths that contradict each
    ///   other.
    init(reading packet: RawSpan) throws(PacketError) {
        let ip = try IPHeader(readingIPv4: packet)
        guard ip.transport == IPProtocol.udp, !ip.isFragment else { throw .notThisFormat }
        let datagram = packet.extracting(ip.headerLength..<(ip.headerLength + ip.payloadLength))
        let udp = try UDPHeader(reading: datagram)
        source = Endpoint(address: ip.source, port: udp.sourcePort)
        destination = Endpoint(address: ip.destination, port: udp.destinationPort)
        payload = datagram.array(UDPHeader.length..<(UDPHeader.length + udp.payloadLength))
    }

    /// The packet from the IPv4 header on, with both checksums.
    var octets: [UInt8] {
        let udpLength = UDPHeader.length + payload.count
        let ip = IPHeader(
            transport: IPProtocol.udp,
            source: source.address,
            destination: destination.address,
            payloadLength: udpLength
        )
        var udp = UDPHeader(
            sourcePort: source.port,
            destinationPort: destination.port,
            payloadLength: payload.count
        )
        let unsummed = Self.octets(of: udp) + payload
        udp.checksum = unsummed.withUnsafeBytes { ip.datagramChecksum(of: $0) }
        var header = [UInt8](repeating: 0, count: IPHeader.lengthIPv4)
        var span = header.mutableSpan
        var octets = span.mutableBytes
        ip.write(to: &octets)
        return header + Self.octets(of: udp) + payload
    }

    private static func octets(of udp: UDPHeader) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: UDPHeader.length)
        var span = header.mutableSpan
        var octets = span.mutableBytes
        udp.write(to: &octets)
        return header
    }
}
