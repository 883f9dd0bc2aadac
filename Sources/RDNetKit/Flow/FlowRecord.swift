/// A flow at its start or its end, for those who keep records.
struct FlowRecord {
    /// TCP, UDP or ICMP.
    var transport: UInt8
    /// The guest's end; port 0 for a ping.
    var guest: Endpoint
    /// As the guest sees it; nil for a flow that may have had several destinations.
    var remote: Endpoint?
    /// The server's name, as far as it was known.
    var name: String?
    var traffic: FlowTraffic

    /// `tcp`, `udp` or `icmp`.
    var protocolName: String { IPProtocol.name(of: transport) }
}

extension Endpoint {
    /// The end of a flow as people write it: a ping has no ports.
    var textOfEnd: String { port == 0 ? "\(address)" : "\(self)" }
}

extension TCPFlow {
    /// The flow for those who keep records.
    var record: FlowRecord {
        FlowRecord(
            transport: IPProtocol.tcp,
            guest: key.guest,
            remote: key.remote,
            name: server?.name,
            traffic: traffic
        )
    }
}

extension TCPFlow {
    /// The kernel's estimate of the time to the host's peer and back, in microseconds; nil for a
    /// service, and before the connection.
    var hostRoundTrip: UInt64? {
        switch stream {
        case .some(let stream): phase == .open ? Socket.roundTrip(stream.descriptor) : nil
        case .none: nil
        }
    }
}
