import Testing

@testable import RDNetKit

/// A server on 192.168.127.0/24 and its clients.
final class DHCPServerScene {
    static let start = Instant(nanoseconds: 1_000_000_000_000)
    static let guest = mac(0x5a94_efe4_0cee)
    static let gateway = address("192.168.127.1")

    var server: DHCPServer
    var now = start

    init(subnet: String = "192.168.127.0/24", domains: [String] = [], mtu: UInt16 = 1500) throws {
        let subnet = try #require(Subnet(subnet))
        server = DHCPServer(
            DHCPServer.Configuration(
                subnet: subnet,
                gateway: subnet.host(1),
                gatewayMAC: Self.mac(0x5a94_efe4_0cdd),
                reserved: [subnet.host(-2)],
                mtu: mtu,
                domainSearch: domains,
                staticLeases: [Self.guest: subnet.host(2)]
            )
        )
    }

    static func mac(_ number: UInt64) -> MACAddress { MACAddress(rawValue: number) }

    static func address(_ text: String) -> IPAddress { IPAddress(text) ?? .anyIPv6 }

    static func message(
        _ type: DHCPMessageType,
        from mac: MACAddress = guest,
        requesting requested: String? = nil,
        server: String? = nil,
        holding current: String? = nil
    ) -> DHCPMessage {
        var message = DHCPMessage(type, transactionID: 0xdead_beef, hardwareAddress: mac)
        if let requested { message.options.set(.requestedAddress, to: [address(requested)]) }
        if let server { message.options.set(.serverIdentifier, to: [address(server)]) }
        if let current { message.clientAddress = address(current) }
        return message
    }

    /// Returns the server's response to a client's message.
    ///
    /// - Parameters:
    ///   - message: The client's message.
    ///   - port: The client's port.
    ///   - sender: The frame's source, if it differs from the client's address in the message.
    /// - Returns: The response; nil if the server sends none.
    func response(
        to message: DHCPMessage,
        port: UInt16 = 68,
        sender: MACAddress? = nil
    ) -> DHCPResponse? {
        let datagram = ServiceDatagram(
            source: Endpoint(address: message.clientAddress, port: port),
            destination: Endpoint(address: .broadcastIPv4, port: 67),
            sourceMAC: sender ?? message.hardwareAddress,
            payload: message.octets
        )
        return server.respond(to: datagram, now: now)
    }

    func reply(to message: DHCPMessage) throws -> DHCPMessage? {
        try response(to: message).map { try DHCPMessage(reading: $0.octets.span.bytes) }
    }

    /// Runs DISCOVER, OFFER, REQUEST, ACK; returns the address, or nil without an offer.
    func lease(to mac: MACAddress) throws -> String? {
        guard let offer = try reply(to: Self.message(.discover, from: mac)) else { return nil }
        let offered = "\(offer.yourAddress)"
        let gateway = "\(try #require(offer.options.address(.serverIdentifier)))"
        let request = Self.message(.request, from: mac, requesting: offered, server: gateway)
        let ack = try #require(try reply(to: request))
        #expect(ack.type == .ack)
        #expect(ack.yourAddress == offer.yourAddress)
        return offered
    }
}
