/// The host ports of this gateway's UDP flows, by which one guest reaches another through its
/// external mapping.
///
/// Such a datagram passes the filter of RFC 4787, REQ-8: guests of one network can reach each other
/// anyway.
struct HairpinPorts {
    private var ports: Set<UInt16> = []

    /// Adds the port of a flow.
    mutating func insert(_ port: UInt16) {
        ports.insert(port)
    }

    /// Removes the port of a closed flow.
    mutating func remove(_ port: UInt16) {
        ports.remove(port)
    }

    /// Whether a sender is one of the flows: its port is, and its address is this machine's.
    func contains(_ sender: Endpoint) -> Bool {
        ports.contains(sender.port) && Socket.isLocal(sender.address)
    }
}
