/// ICMP error messages: when to send them, and what they quote.
enum ICMPError {
    /// Limit on the IP packet of an error message, in bytes: RFC 1812, 4.3.2.3, and the minimum
    /// MTU of IPv6 (RFC 4443, 2.4).
    private static func maximumPacket(_ isIPv4: Bool) -> Int {
        isIPv4 ? 576 : IPHeader.minimumMTUIPv6
    }

    /// Bytes of the original packet's payload at most; a caller need not offer more.
    static func maximumQuote(to guest: IPAddress) -> Int {
        maximumPacket(guest.isIPv4) - 2 * IPHeader.length(for: guest) - ICMPMessage.headerLength
    }

    /// Whether a packet may trigger an error (RFC 1122, 3.2.2; RFC 1812, 4.3.2.7; RFC 4443, 2.4).
    ///
    /// - Parameters:
    ///   - kind: The error.
    ///   - header: The packet's header.
    ///   - payload: The packet's payload.
    /// - Returns: False for errors about errors, groups, broadcasts, and later fragments of IPv4.
    static func isAllowed(
        _ kind: ICMPMessage.Kind,
        about header: IPHeader,
        _ payload: UnsafeRawBufferPointer
    ) -> Bool {
        guard !header.source.isUnspecified, !header.source.isMulticast,
            header.destination != .broadcastIPv4
        else { return false }
        // RFC 8200, 4.5 even demands an error about a later fragment.
        if header.fragmentOffset != 0 { return !header.isIPv4 && !header.destination.isMulticast }
        if header.destination.isMulticast, !isAllowedAboutGroups(kind, header) { return false }
        guard header.transport == IPProtocol.icmp(for: header.source) else { return true }
        // Of ICMP only queries: echo and timestamp, and in IPv6 everything that is no error.
        guard let type = payload.first else { return !header.isIPv4 }
        return header.isIPv4 ? type == 8 || type == 13 : type >= 128 && type != 137
    }

    /// RFC 4443, 2.4 (e.3): a packet too big, and an unknown option that asks for it.
    private static func isAllowedAboutGroups(
        _ kind: ICMPMessage.Kind,
        _ header: IPHeader
    ) -> Bool {
        if header.isIPv4 { return false }
        if case .problemEvenToGroups = header.complaint { return true }
        return kind == .destinationUnreachable(.fragmentationNeeded)
    }

    /// What an error says of a packet: its IP header and as much of its payload as fits.
    ///
    /// - Parameters:
    ///   - header: The offending packet's header, written without options.
    ///   - payload: The offending packet's payload.
    /// - Returns: The data behind the error's ICMP header.
    static func quotation(of header: IPHeader, _ payload: UnsafeRawBufferPointer) -> [UInt8] {
        let quoted = min(payload.count, maximumQuote(to: header.source))
        var octets = [UInt8](repeating: 0, count: header.writtenLength)
        // Sound: the span is used only inside the closure.
        octets.withUnsafeMutableBytes { room in
            var span = room.mutableBytes
            header.write(to: &span)
        }
        octets += payload[..<quoted]
        return octets
    }
}
