/// Errors from the host's network and kernel about echo requests.
extension EchoFlows {
    /// Forwards an error about a guest's request.
    ///
    /// - Parameters:
    ///   - error: From the error queue.
    ///   - message: The request as the host sent it, or as much of it as the error quotes; at least
    ///     eight bytes.
    ///   - flow: The request's flow.
    func report(_ error: QueuedError, quoting message: UnsafeRawBufferPointer, of flow: EchoFlow) {
        if error.offender == nil { path.drop(.hostError) }
        if let reason = FlowFailure(error.kind) {
            failed(flow.key.guest, to: error.destination.address, reason)
        }
        let (header, octets) = quote(flow, to: error.destination.address, message)
        path.report(GuestError(error, about: header, octets))
    }

    /// Reports that the host's kernel has no route for a request.
    func failed(
        _ flow: EchoFlow,
        _ host: IPAddress,
        _ message: UnsafeRawBufferPointer,
        errno code: Int32
    ) {
        path.drop(.hostError)
        failed(flow.key.guest, to: host, FlowFailure(errno: code), errno: code)
        guard let reason = QueuedError.unreachable(errno: code) else { return }
        let (header, octets) = quote(flow, to: host, message)
        path.report(GuestError(.destinationUnreachable(reason), about: header, octets))
    }

    /// Records that a ping did not reach its destination.
    func failed(
        _ guest: IPAddress,
        to host: IPAddress,
        _ reason: FlowFailure,
        errno code: Int32 = 0
    ) {
        path.failed(
            FailedFlow(
                transport: IPProtocol.icmp(for: host),
                guest: Endpoint(address: guest, port: 0),
                remote: Endpoint(address: path.seenByGuests(host), port: 0),
                reason: reason,
                errno: code
            )
        )
    }

    /// The guest's original request: its IP header, and the message with the guest's identifier.
    private func quote(
        _ flow: EchoFlow,
        to host: IPAddress,
        _ message: UnsafeRawBufferPointer
    ) -> (IPHeader, [UInt8]) {
        let identifier = flow.key.identifier
        // Sound: every caller has at least the message's header.
        let sequence: UInt16 = message.bytes.bigEndian(at: 6)
        let sent = flow.sent.latest(
            to: Endpoint(address: host, port: 0),
            mark: UInt64(sequence)
        )
        let header = IPHeader(
            quoting: IPProtocol.icmp(for: host),
            from: flow.key.guest,
            to: path.seenByGuests(host),
            sent,
            length: message.count
        )
        var octets = Array(message.prefix(header.payloadLength))
        octets.withUnsafeMutableBytes { octets in
            Self.setIdentifier(identifier, in: octets)
            guard let checksum = sent?.checksum else { return }
            // Sound: the span is used inside the closure only.
            var span = octets.mutableBytes
            span.storeBigEndian(checksum, at: 2)
        }
        return (header, octets)
    }

    /// Replaces the identifier of an echo message and adjusts the checksum.
    ///
    /// - Parameters:
    ///   - identifier: The new identifier.
    ///   - message: The message or its start, at least eight bytes.
    static func setIdentifier(_ identifier: UInt16, in message: UnsafeMutableRawBufferPointer) {
        // Sound: the span is used inside this function only.
        var span = message.mutableBytes
        let checksum: UInt16 = span.bytes.bigEndian(at: 2)
        let old: UInt16 = span.bytes.bigEndian(at: 4)
        span.storeBigEndian(identifier, at: 4)
        span.storeBigEndian(updated(checksum, old, identifier), at: 2)
    }

    /// A checksum after one word of the message has changed (RFC 1624, 3).
    private static func updated(_ checksum: UInt16, _ old: UInt16, _ new: UInt16) -> UInt16 {
        let sum = UInt32(~checksum) + UInt32(~old) + UInt32(new)
        let folded = (sum & 0xffff) + sum >> 16
        return ~UInt16(truncatingIfNeeded: folded + folded >> 16)
    }
}
