/// The host ports of this gateway's UDP flows, by which one guest reaches another through its
/// external mapping.
///
/// Such a datagram passes the filter of RFC 4787, REQ-8: guests of one network can reach each other
/// anyway. Isolated guests cannot, so the gateway does not forward it for them.
struct HairpinPorts {
    /// Both families have each number.
    struct Port: Hashable {
        var number: UInt16
        var isIPv4: Bool
    }

    /// The guest of each port.
    private var guests: [Port: IPAddress] = [:]

    /// Adds the port of a guest's flow.
    mutating func insert(_ port: Port, of guest: IPAddress) {
        guests[port] = guest
    }

    /// Removes the port of a closed flow.
    mutating func remove(_ port: Port) {
        guests[port] = nil
    }

    /// The guest that an endpoint of this machine belongs to; nil if it is not one of the flows.
    func guest(at endpoint: Endpoint) -> IPAddress? {
        let port = Port(number: endpoint.port, isIPv4: endpoint.address.isIPv4)
        guard let guest = guests[port], Socket.isLocal(endpoint.address) else { return nil }
        return guest
    }

    /// The guest that a datagram to an endpoint reaches; nil if it reaches none.
    ///
    /// A datagram that one loopback address refuses goes to the other.
    func guest(reachedAt endpoint: Endpoint) -> IPAddress? {
        if let guest = guest(at: endpoint) { return guest }
        return endpoint.address.otherLoopback.flatMap {
            guest(at: Endpoint(address: $0, port: endpoint.port))
        }
    }
}
