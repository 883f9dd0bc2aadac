/// ICMP from guests, and ICMP errors to them.
extension PacketEngine {
    /// Takes an ICMP message: echoes are answered or passed on, errors concern flows.
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
        case .destinationUnreachable(.fragmentationNeeded):
            let mtu = Int(message.rest & 0xffff)
            let quoted = UnsafeRawBufferPointer(rebasing: octets[ICMPMessage.headerLength...])
            try receiveFragmentationNeeded(quoted, mtu: mtu)
        case .echoReply, .destinationUnreachable, .timeExceeded, .other:
            drops.count(.noRoute)
        }
    }

    private func receiveEcho(
        _ ip: IPv4Header,
        _ message: ICMPMessage,
        _ octets: UnsafeRawBufferPointer,
        now: Instant
    ) {
        // The host alias is answered here too: that this program runs says that the host is up.
        if plan.answersARP(for: ip.destination) {
            let key = EchoFlow.Key(guest: ip.source, identifier: message.identifier)
            var reply = message
            reply.kind = .echoReply
            return echo.sendReply(octets, reply, from: ip.destination, to: key)
        }
        switch plan.destination(of: ip.destination) {
        case .host(let address):
            let key = EchoFlow.Key(guest: ip.source, identifier: message.identifier)
            echo.send(octets, key, to: address, now: now)
        case .refused: drops.count(.refusedDestination)
        case .gateway, .nowhere: drops.count(.noRoute)
        }
    }

    private func receiveFragmentationNeeded(
        _ quoted: UnsafeRawBufferPointer,
        mtu: Int
    ) throws(PacketError) {
        // The quote is cut short, so its length field says more than there is: only fixed offsets are read.
        let octets = quoted.bytes
        guard octets.byteCount >= IPv4Header.length + 8 else {
            throw .truncated(needed: IPv4Header.length + 8, available: octets.byteCount)
        }
        let start = Int(octets.octet(at: 0) & 15) * 4
        guard octets.octet(at: 0) >> 4 == 4, octets.octet(at: 9) == IPProtocol.tcp,
            start >= IPv4Header.length, octets.byteCount >= start + 8
        else { return }
        let key = FlowKey(
            guest: Endpoint(
                address: IPAddress(ipv4: octets.bigEndian(at: 16)),
                port: octets.bigEndian(at: start + 2)
            ),
            remote: Endpoint(
                address: IPAddress(ipv4: octets.bigEndian(at: 12)),
                port: octets.bigEndian(at: start)
            )
        )
        tcp.reducePath(key, sequence: SequenceNumber(octets.bigEndian(at: start + 4)), mtu: mtu)
    }

    /// Sends an ICMP error to the sender of a packet, where that is allowed, at a limited rate.
    func sendError(
        _ kind: ICMPMessage.Kind,
        rest: UInt32,
        about header: IPv4Header,
        _ payload: [UInt8]
    ) {
        payload.withUnsafeBytes { payload in
            guard ICMPError.isAllowed(about: header, payload), errorLimit.permits(now: loop.now),
                let route = ethernet.route(to: header.source)
            else { return }
            let message = ICMPError.message(kind, rest: rest, about: header, payload)
            // From whom the packet was meant for, when that is an address of ours; else from the gateway.
            let isOwn = plan.answersARP(for: header.destination)
            let ip = IPv4Header(
                transport: IPProtocol.icmp,
                source: isOwn ? header.destination : plan.gateway,
                destination: header.source,
                payloadLength: message.count
            )
            message.withUnsafeBytes { ethernet.send(ip, $0, to: route.mac, on: route.link) }
        }
    }
}

/// How many ICMP errors may be sent (RFC 1812, 4.3.2.8): a bucket of 50, filled at 1,000 a second.
struct ErrorLimit {
    private var tokens = 50.0
    private var filled = Instant(nanoseconds: 0)

    /// Whether one more may be sent now, which counts it.
    mutating func permits(now: Instant) -> Bool {
        let elapsed = Double((now - filled).wholeNanoseconds) / 1e9
        tokens = min(tokens + elapsed * 1_000, 50)
        filled = now
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }
}
