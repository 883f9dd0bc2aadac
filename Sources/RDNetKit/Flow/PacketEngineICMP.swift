/// ICMP from guests, and ICMP errors to them.
extension PacketEngine {
    /// Handles an ICMP message: answers or forwards echo requests, and passes errors to flows.
    func receiveICMP(
        _ ip: IPv4Header,
        _ octets: UnsafeRawBufferPointer,
        _ offload: VirtioNetHeader,
        from mac: MACAddress,
        now: Instant
    ) throws(PacketError) {
        let message = try ICMPMessage(reading: octets.bytes)
        guard InternetChecksum.checksum(octets) == 0 else { throw .badChecksum }
        switch message.kind {
        case .echoRequest:
            receiveEcho(ip, message, octets, now: now)
        case .destinationUnreachable(let reason):
            let quoted = UnsafeRawBufferPointer(rebasing: octets[ICMPMessage.headerLength...])
            let quote = try ICMPQuote(reading: quoted.bytes)
            receive(
                reason,
                mtu: Int(message.rest & 0xffff),
                about: quote,
                from: ip.source,
                now: now
            )
        case .echoReply, .timeExceeded, .parameterProblem, .other:
            drop(.noRoute)
        }
    }

    private func receiveEcho(
        _ ip: IPv4Header,
        _ message: ICMPMessage,
        _ octets: UnsafeRawBufferPointer,
        now: Instant
    ) {
        // The gateway also answers for the host alias: this program runs, so the host is up.
        if plan.answersARP(for: ip.destination) {
            let key = EchoFlow.Key(guest: ip.source, identifier: message.identifier)
            var reply = message
            reply.kind = .echoReply
            return echo.sendReply(octets, reply, from: ip.destination, to: key)
        }
        switch plan.destination(of: ip.destination) {
        case .host(let address):
            let key = EchoFlow.Key(guest: ip.source, identifier: message.identifier)
            let checksum: UInt16 = octets.bytes.bigEndian(at: 2)
            let request = SentPacket(
                ip,
                to: Endpoint(address: address, port: 0),
                checksum: checksum,
                mark: UInt64(message.rest & 0xffff)
            )
            echo.send(octets, key, request, PathOptions(forwarding: ip), now: now)
        case .refused: drops.count(.refusedDestination)
        case .gateway, .nowhere: drop(.noRoute)
        }
    }

    /// Handles a guest's report that a packet did not reach its destination.
    private func receive(
        _ reason: ICMPMessage.Unreachable,
        mtu: Int,
        about quote: ICMPQuote,
        from guest: IPAddress,
        now: Instant
    ) {
        // A router may report for guests behind it, but not for guests on other links.
        guard ethernet.areTogether(guest, quote.destination.address) else {
            return drop(.noRoute)
        }
        switch (quote.transport, reason) {
        case (IPProtocol.tcp, .fragmentationNeeded):
            let key = FlowKey(guest: quote.destination, remote: quote.source)
            tcp.reducePath(key, sequence: quote.sequence, mtu: mtu)
        case (IPProtocol.tcp, _):
            let key = FlowKey(guest: quote.destination, remote: quote.source)
            tcp.refused(by: key, sequence: quote.sequence, now: now)
        case (IPProtocol.udp, .port) where quote.destination.address == guest:
            receivePortUnreachable(quote, now: now)
        default:
            drop(.noRoute)
        }
    }

    private func receivePortUnreachable(_ quote: ICMPQuote, now: Instant) {
        switch plan.destination(of: quote.source.address) {
        case .gateway:
            datagramPorts.refuse(guest: quote.destination, port: quote.source.port, now: now)
        case .host(let address):
            // Datagrams that arrived before the report are sent before the socket closes.
            udp.sendToHosts(now: now)
            let host = Endpoint(address: address, port: quote.source.port)
            udp.refused(by: quote.destination, host)
        case .refused, .nowhere:
            drop(.noRoute)
        }
    }

    /// The start of a packet's payload as an ICMP error quotes it.
    ///
    /// - Parameters:
    ///   - payload: The bytes after the IP header.
    ///   - offload: Whether the guest left the checksum to its network card.
    /// - Returns: At most as much as fits, with a complete checksum.
    func quote(_ payload: UnsafeRawBufferPointer, _ offload: VirtioNetHeader) -> [UInt8] {
        var octets = Array(payload.prefix(ICMPError.maximumQuote))
        let field = Int(offload.checksumOffset)
        guard offload.needsChecksum, field + 2 <= octets.count else { return octets }
        // The field holds the pseudo-header's sum, so summing everything completes it.
        let sum = InternetChecksum.checksum(payload)
        octets[field] = UInt8(truncatingIfNeeded: sum >> 8)
        octets[field + 1] = UInt8(truncatingIfNeeded: sum)
        return octets
    }

    /// Sends an ICMP error to the sender of a packet if allowed, at a limited rate.
    func sendError(_ error: GuestError) {
        error.payload.withUnsafeBytes { payload in
            guard ICMPError.isAllowed(about: error.header, payload),
                errorLimit.permits(now: loop.now),
                let route = ethernet.route(to: error.header.source)
            else { return }
            let message = ICMPError.message(
                error.kind,
                rest: error.rest,
                about: error.header,
                payload
            )
            // The gateway's source is the packet's destination, if that is one of its own
            // addresses.
            let isOwn = plan.answersARP(for: error.header.destination)
            let own = isOwn ? error.header.destination : plan.gateway
            var ip = IPv4Header(
                transport: IPProtocol.icmp,
                source: error.reporter ?? own,
                destination: error.header.source,
                payloadLength: message.count
            )
            ip.timeToLive = error.hopLimit
            message.withUnsafeBytes {
                ethernet.send(ip, $0, to: route.mac, on: route.link, .control)
            }
        }
    }
}

/// The rate limit of ICMP errors (RFC 1812, 4.3.2.8): a bucket of 50, refilled at 1,000 per second.
struct ErrorLimit {
    private var tokens = 50.0
    private var filled = Instant(nanoseconds: 0)

    /// Takes one token; false if the bucket is empty.
    mutating func permits(now: Instant) -> Bool {
        let elapsed = Double((now - filled).wholeNanoseconds) / 1e9
        tokens = min(tokens + elapsed * 1_000, 50)
        filled = now
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }
}
