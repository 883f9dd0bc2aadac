/// A DHCP server's answer, and where it goes.
struct DHCPResponse: Equatable {
    /// The UDP payload.
    var octets: [UInt8]
    var source: Endpoint
    var destination: Endpoint
    /// The Ethernet destination; it need not be what ARP would say.
    var destinationMAC: MACAddress
}

extension DHCPResponse {
    /// Addresses a reply (RFC 2131, 4.1).
    ///
    /// Through a relay agent when there is one; to the address of a client that has one; else, and
    /// for every DHCPNAK, to everyone. 4.1 allows unicast to a client without an address and
    /// without the broadcast flag, but a broadcast is what every client accepts, whatever its flag
    /// says: gvproxy's and Rancher Desktop's guests have never seen anything else.
    init(
        _ reply: DHCPMessage,
        to request: DHCPMessage,
        in datagram: ServiceDatagram,
        from gateway: IPAddress
    ) {
        octets = reply.octets
        source = Endpoint(address: gateway, port: DHCPMessage.serverPort)
        let clientPort = datagram.source.port == 0 ? DHCPMessage.clientPort : datagram.source.port
        if !request.relayAgent.isUnspecified {
            destination = Endpoint(address: request.relayAgent, port: DHCPMessage.serverPort)
            destinationMAC = datagram.sourceMAC
        } else if reply.type != .nak, !request.clientAddress.isUnspecified {
            destination = Endpoint(address: request.clientAddress, port: clientPort)
            destinationMAC = datagram.sourceMAC
        } else {
            destination = Endpoint(address: .broadcastIPv4, port: clientPort)
            destinationMAC = .broadcast
        }
    }
}
