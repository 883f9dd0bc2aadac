/// A human-readable line about a frame: addresses, protocol, length.
enum FrameSummary {
    /// Returns the line, such as `192.168.127.2:40112 → 1.1.1.1:443 tcp 60 octets`.
    static func text(of frame: Frame) -> String {
        let size = "\(frame.octets.count) octets"
        do {
            let ethernet = try EthernetHeader(reading: frame.octets.bytes)
            let start = EthernetHeader.length
            let rest = UnsafeRawBufferPointer(rebasing: frame.octets[start...])
            switch ethernet.kind {
            case EthernetHeader.Kind.ipv4, EthernetHeader.Kind.ipv6:
                return "\(try packet(rest)) \(size)"
            case EthernetHeader.Kind.arp:
                let arp = try ARPPacket(reading: rest.bytes)
                return "\(arp.senderAddress) → \(arp.targetAddress) arp \(arp.operation) \(size)"
            default:
                let kind = String(ethernet.kind, radix: 16)
                return "\(ethernet.source) → \(ethernet.destination) type 0x\(kind) \(size)"
            }
        } catch {
            return "malformed frame, \(size): \(error)"
        }
    }

    private static func packet(_ octets: UnsafeRawBufferPointer) throws(PacketError) -> String {
        let ip = try IPHeader(reading: octets.bytes)
        let payload = UnsafeRawBufferPointer(rebasing: octets[ip.headerLength...])
        guard !ip.isFragment else { return "\(ip.source) → \(ip.destination) fragment" }
        switch ip.transport {
        case IPProtocol.tcp:
            let tcp = try TCPHeader(reading: payload.bytes)
            let source = Endpoint(address: ip.source, port: tcp.sourcePort)
            let destination = Endpoint(address: ip.destination, port: tcp.destinationPort)
            return "\(source) → \(destination) tcp"
        case IPProtocol.udp:
            let udp = try UDPHeader(reading: payload.bytes)
            let source = Endpoint(address: ip.source, port: udp.sourcePort)
            let destination = Endpoint(address: ip.destination, port: udp.destinationPort)
            return "\(source) → \(destination) udp"
        case IPProtocol.icmp(for: ip.source):
            let message = try ICMPMessage(reading: payload.bytes, isIPv4: ip.isIPv4)
            return "\(ip.source) → \(ip.destination) icmp \(message.kind)"
        default:
            return "\(ip.source) → \(ip.destination) protocol \(ip.transport)"
        }
    }
}
