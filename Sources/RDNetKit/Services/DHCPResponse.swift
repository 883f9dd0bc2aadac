/// A DHCP server's answer and its destination.
struct DHCPResponse: Equatable {
    /// The UDP payload.
    var octets: [UInt8]
    var source: Endpoint
    var destination: Endpoint
    /// The Ethernet destination, which may differ from ARP's result.
    var destinationMAC: MACAddress
}

extension DHCPResponse {
    /// Addresses a reply (RFC 2131, 4.1).
    ///
    /// The reply goes through the relay agent if there is one, or else to the client's address if
    /// it has one. Every other reply, and every DHCPNAK without a relay agent, is broadcast.
    /// Section 4.1 allows unicast to a client without an address and without the broadcast flag.
    /// However, every client accepts a broadcast, whatever its flag says, and guests of gvproxy and
    /// Rancher Desktop have never received anything else.
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
