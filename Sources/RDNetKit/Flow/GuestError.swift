/// An ICMP error for a guest, about a packet that the guest sent.
struct GuestError {
    var kind: ICMPMessage.Kind
    /// The error's second word: the next hop's MTU or the pointer, otherwise zero.
    var rest: UInt32 = 0
    /// The reporter's address on the host's network; nil for the gateway.
    var reporter: IPAddress?
    /// The hop limit that the error arrives with at the guest.
    var hopLimit: UInt8 = 64
    /// The packet's header.
    let header: IPHeader
    /// The known part of the payload.
    let payload: [UInt8]
    /// The packet as it arrived, if the error points into it.
    var original: [UInt8]?

    /// An error that the gateway itself reports.
    init(
        _ kind: ICMPMessage.Kind,
        rest: UInt32 = 0,
        about header: IPHeader,
        _ payload: [UInt8]
    ) {
        self.kind = kind
        self.rest = rest
        self.header = header
        self.payload = payload
    }

    /// An error of the host's kernel or network, forwarded by the gateway.
    ///
    /// - Parameters:
    ///   - error: From the error queue.
    ///   - header: Of the guest's packet.
    ///   - payload: The guest packet's payload.
    init(_ error: QueuedError, about header: IPHeader, _ payload: [UInt8]) {
        var header = header
        // A router quotes the packet as it discarded it.
        if case .timeExceeded(code: 0) = error.kind { header.hopLimit = 1 }
        self.init(error.kind, rest: error.rest, about: header, payload)
        reporter = error.offender
        if let hopLimit = error.hopLimit { self.hopLimit = max(hopLimit, 2) - 1 }
    }
}

extension IPHeader {
    /// The header of a guest's packet for a quotation.
    ///
    /// - Parameters:
    ///   - transport: The packet's protocol.
    ///   - guest: Its sender.
    ///   - destination: The guest's original destination.
    ///   - sent: What was remembered of the packet; nil leaves only what the error itself says.
    ///   - length: Payload length if nothing was remembered.
    init(
        quoting transport: UInt8,
        from guest: IPAddress,
        to destination: IPAddress,
        _ sent: SentPacket?,
        length: Int
    ) {
        self.init(
            transport: transport,
            source: guest,
            destination: destination,
            payloadLength: sent.map { Int($0.payloadLength) } ?? length
        )
        guard let sent else { return }
        identification = UInt32(sent.identification)
        trafficClass = sent.trafficClass
        hopLimit = sent.hopLimit
        dontFragment = sent.dontFragment
    }
}
