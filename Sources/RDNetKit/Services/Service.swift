/// A UDP datagram that a guest sent to one of the gateway's own ports.
struct ServiceDatagram {
    var source: Endpoint
    var destination: Endpoint
    /// The Ethernet source, because DHCP answers guests that have no IP address yet.
    var sourceMAC: MACAddress
    var payload: [UInt8]
}

/// Sends a service's datagrams back to guests.
protocol DatagramSender: AnyObject {
    /// Sends one datagram from a gateway address to a guest.
    func send(_ payload: [UInt8], from source: Endpoint, to destination: Endpoint)
}

/// A service that the gateway offers on a stream: the API, DNS over TCP.
///
/// The stream is a connected, non-blocking socket: one end of a socket pair whose other end a flow
/// continues to a guest, or a connection accepted on the host.
protocol StreamService: AnyObject {
    /// Takes over one connection.
    ///
    /// - Parameters:
    ///   - stream: The connection; the service closes it.
    ///   - peer: The client's address; nil for a client on a unix socket.
    func accept(_ stream: consuming OwnedDescriptor, from peer: Endpoint?)
}
