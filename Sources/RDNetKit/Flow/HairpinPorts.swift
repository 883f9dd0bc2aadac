/// The host ports of this gateway's UDP flows, by which one guest reaches another through its
/// external mapping.
///
/// Such a datagram passes the filter of RFC 4787, REQ-8: guests of one network can reach each other
/// anyway. Isolated guests cannot, so the gateway does not forward it for them.
struct HairpinPorts {
    /// The guest of each port.
    private var guests: [UInt16: IPAddress] = [:]

    /// Adds the port of a guest's flow.
    mutating func insert(_ port: UInt16, of guest: IPAddress) {
        guests[port] = guest
    }

    /// Removes the port of a closed flow.
    mutating func remove(_ port: UInt16) {
        guests[port] = nil
    }

    /// The guest that an endpoint of this machine belongs to; nil if it is not one of the flows.
    func guest(at endpoint: Endpoint) -> IPAddress? {
        guard let guest = guests[endpoint.port], Socket.isLocal(endpoint.address) else {
            return nil
        }
        return guest
    }
}
