/// ICMP from guests: echo requests, and errors about what was sent to them.
extension PacketEngine {
    /// Handles an ICMP message: answers or forwards echo requests, and passes errors to flows.
    func receiveICMP(_ packet: InboundPacket) throws(PacketError) {
        let message = try ICMPMessage(reading: packet.payload.bytes)
        guard InternetChecksum.checksum(packet.payload) == 0 else { throw .badChecksum }
        try receive(message, in: packet)
    }

    /// Handles a message of either family whose checksum is right.
    func receive(_ message: ICMPMessage, in packet: InboundPacket) throws(PacketError) {
        switch message.kind {
        case .echoRequest:
            receiveEcho(message, in: packet)
        case .destinationUnreachable(let reason):
            let quoted = UnsafeRawBufferPointer(
                rebasing: packet.payload[ICMPMessage.headerLength...]
            )
            let quote = try ICMPQuote(
                reading: quoted.bytes,
                isIPv4: packet.header.isIPv4
            )
            // RFC 1191, 4 has 16 bits for the MTU, RFC 4443, 3.2 has 32.
            let mtu = packet.header.isIPv4 ? message.rest & 0xffff : message.rest
            receive(reason, mtu: Int(mtu), about: quote, in: packet)
        case .echoReply, .timeExceeded, .parameterProblem, .other:
            network.drop(.noRoute)
        }
    }

    private func receiveEcho(_ message: ICMPMessage, in packet: InboundPacket) {
        let key = EchoFlow.Key(guest: packet.source, identifier: message.identifier)
        let remote = Endpoint(address: packet.destination, port: 0)
        switch network.admit(packet.header.transport, from: packet.source, to: remote) {
        case .gateway:
            echo.sendReply(message, packet.payload, from: packet.destination, to: key)
        case .host(let host):
            let checksum: UInt16 = packet.payload.bytes.bigEndian(at: 2)
            let request = SentPacket(
                packet.header,
                to: host,
                checksum: checksum,
                mark: UInt64(message.rest & 0xffff)
            )
            let options = PathOptions(forwarding: packet.header)
            echo.send(packet.payload, key, request, options, now: packet.now)
        case .refuse(.policy):
            network.drop(.policy)
            echo.failed(packet.source, to: packet.destination, .policy)
            let kind = ICMPMessage.Kind.destinationUnreachable(.administrativelyProhibited)
            network.report(GuestError(kind, about: packet.header, packet.quote))
        case .refuse(let reason), .drop(let reason):
            network.drop(reason)
        // A ping shows no name; the next one may find an answer.
        case .examine, .wait:
            network.drop(.policy)
        }
    }

    /// Handles a guest's report that a packet did not reach its destination.
    private func receive(
        _ reason: ICMPMessage.Unreachable,
        mtu: Int,
        about quote: ICMPQuote,
        in packet: InboundPacket
    ) {
        let guest = packet.source
        // A router may report for guests behind it, but not for guests on other links.
        guard ethernet.areTogether(guest, quote.destination.address) else {
            return network.drop(.noRoute)
        }
        switch (quote.transport, reason) {
        case (IPProtocol.tcp, .fragmentationNeeded):
            let key = FlowKey(guest: quote.destination, remote: quote.source)
            tcp.reducePath(key, sequence: quote.sequence, mtu: mtu)
        case (IPProtocol.tcp, _):
            let key = FlowKey(guest: quote.destination, remote: quote.source)
            tcp.refused(by: key, sequence: quote.sequence, now: packet.now)
        case (IPProtocol.udp, .port) where quote.destination.address == guest:
            receivePortUnreachable(quote, now: packet.now)
        default:
            network.drop(.noRoute)
        }
    }

    private func receivePortUnreachable(_ quote: ICMPQuote, now: Instant) {
        switch plan.destination(of: quote.source.address) {
        case .gateway:
            datagramPorts.refuse(guest: quote.destination, port: quote.source.port, now: now)
        case .host(let address):
            let guest = quote.destination
            if quote.source.address == plan.forwardSource(for: guest.address),
                datagramPorts.refuse(guest: guest, port: quote.source.port, now: now)
            {
                return
            }
            // Datagrams that arrived before the report are sent before the socket closes.
            udp.sendToHosts(now: now)
            let host = Endpoint(address: address, port: quote.source.port)
            udp.refused(by: quote.destination, host)
        case .refused, .nowhere:
            network.drop(.noRoute)
        }
    }
}
