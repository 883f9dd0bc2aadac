/// Errors about datagrams from the host's network, its kernel and the guest.
extension UDPFlows {
    /// Forwards an ICMP error about a guest's datagram.
    ///
    /// - Parameters:
    ///   - error: From the error queue.
    ///   - payload: The quoted part of the datagram's payload; often empty (RFC 792).
    ///   - flow: The datagram's flow.
    func report(_ error: QueuedError, quoting payload: UnsafeRawBufferPointer, of flow: UDPFlow) {
        if let reason = FlowFailure(error.kind) {
            failed(flow.guest, to: error.destination, reason)
        }
        let (header, octets) = quote(flow, to: error.destination, payload)
        path.report(GuestError(error, about: header, octets))
    }

    /// Records that a datagram did not reach its destination.
    ///
    /// - Parameters:
    ///   - guest: Its sender.
    ///   - host: The destination on the host's network.
    ///   - reason: Why it did not.
    ///   - code: The host's errno; 0 if no system call failed.
    func failed(
        _ guest: Endpoint,
        to host: Endpoint,
        _ reason: FlowFailure,
        errno code: Int32 = 0
    ) {
        path.failed(
            FailedFlow(
                transport: IPProtocol.udp,
                guest: guest,
                remote: seenByGuest(host),
                reason: reason,
                errno: code
            )
        )
    }

    /// Reports that the host's kernel refused a datagram because it is longer than the path's MTU.
    func report(
        _ refusal: QueuedError,
        refusing payload: UnsafeRawBufferPointer,
        to host: Endpoint,
        of flow: UDPFlow
    ) {
        path.drop(.hostError)
        let (header, octets) = quote(flow, to: host, payload)
        path.report(GuestError(refusal, about: header, octets))
    }

    /// Reports that the host's kernel has no route for a datagram.
    func failed(
        _ flow: UDPFlow,
        to host: Endpoint,
        errno code: Int32,
        _ payload: UnsafeRawBufferPointer
    ) {
        path.drop(.hostError)
        failed(flow.guest, to: host, FlowFailure(errno: code), errno: code)
        guard let reason = QueuedError.unreachable(errno: code) else { return }
        let (header, octets) = quote(flow, to: host, payload)
        path.report(GuestError(.destinationUnreachable(reason), about: header, octets))
    }

    /// Reports an error about a datagram that has no flow.
    func report(
        _ kind: ICMPMessage.Kind,
        about sent: SentPacket,
        _ payload: UnsafeRawBufferPointer,
        from guest: Endpoint
    ) {
        let (header, octets) = quote(guest, to: sent.host, sent, payload)
        path.report(GuestError(kind, about: header, octets))
    }

    /// The guest's original datagram: its IP header, and its UDP header with the known part of the
    /// payload.
    private func quote(
        _ flow: UDPFlow,
        to host: Endpoint,
        _ known: UnsafeRawBufferPointer
    ) -> (IPHeader, [UInt8]) {
        let sent = flow.sent.latest(
            to: host,
            mark: SentPacket.mark(of: known),
            bits: 8 * min(known.count, 8)
        )
        return quote(flow.guest, to: host, sent, known)
    }

    private func quote(
        _ guest: Endpoint,
        to host: Endpoint,
        _ sent: SentPacket?,
        _ known: UnsafeRawBufferPointer
    ) -> (IPHeader, [UInt8]) {
        let remote = seenByGuest(host)
        let header = IPHeader(
            quoting: IPProtocol.udp,
            from: guest.address,
            to: remote.address,
            sent,
            length: UDPHeader.length + known.count
        )
        let udp = UDPHeader(
            sourcePort: guest.port,
            destinationPort: remote.port,
            payloadLength: max(header.payloadLength - UDPHeader.length, 0)
        )
        return (header, Self.quote(udp, header, known, checksum: sent.map(\.checksum) ?? 0))
    }

    /// A guest's UDP header and what is known of the payload, as an ICMP error quotes them.
    ///
    /// - Parameters:
    ///   - udp: The header; its checksum field is ignored.
    ///   - ip: The header in front of it.
    ///   - known: The start of the payload.
    ///   - checksum: The guest's; nil when the guest left it to its network card. Then it is
    ///     computed, or is zero, which means "none" (RFC 768), where only a part of the payload is
    ///     known.
    /// - Returns: At most as much as fits.
    static func quote(
        _ udp: UDPHeader,
        _ ip: IPHeader,
        _ known: UnsafeRawBufferPointer,
        checksum: UInt16?
    ) -> [UInt8] {
        var udp = udp
        // Some routers pad what they quote.
        let payload = known.prefix(udp.payloadLength)
        udp.checksum = checksum ?? 0
        var octets = [UInt8](repeating: 0, count: UDPHeader.length) + payload
        octets.withUnsafeMutableBytes { octets in
            // Sound: the span is used inside the closure only.
            var span = octets.mutableBytes
            udp.write(to: &span)
            guard checksum == nil, payload.count == udp.payloadLength else { return }
            udp.checksum = ip.datagramChecksum(of: UnsafeRawBufferPointer(octets))
            udp.write(to: &span)
        }
        return Array(octets.prefix(ICMPError.maximumQuote(to: ip.source)))
    }

    /// Handles a guest's report that it closed a port.
    ///
    /// Closing the host socket lets the host's kernel answer the peer with the same error. The flow
    /// stays while the guest's port talks to other hosts, because several sockets of the guest may
    /// share the port.
    ///
    /// - Parameters:
    ///   - guest: The closed port.
    ///   - host: The sender of the refused datagram.
    func refused(by guest: Endpoint, _ host: Endpoint) {
        guard let flow = flow(at: guest), flow.forget(host) else { return }
        expired(flow)
    }
}
