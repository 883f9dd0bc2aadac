/// ICMP error messages: when to send them, and what they quote.
enum ICMPError {
    /// Limit on the IP packet of an error message, in bytes (RFC 1812, 4.3.2.3).
    private static let maximumPacket = 576
    /// Bytes of the original packet's payload at most; a caller need not offer more.
    static let maximumQuote =
        maximumPacket - IPv4Header.length - ICMPMessage.headerLength - IPv4Header.length

    /// Whether a packet may trigger an error (RFC 1122, 3.2.2; RFC 1812, 4.3.2.7).
    ///
    /// - Parameters:
    ///   - header: The packet's header.
    ///   - payload: The packet's payload.
    /// - Returns: False for errors about errors, groups, broadcasts and later fragments.
    static func isAllowed(about header: IPv4Header, _ payload: UnsafeRawBufferPointer) -> Bool {
        guard header.fragmentOffset == 0, !header.source.isUnspecified, !header.source.isMulticast,
            !header.destination.isMulticast, header.destination != .broadcastIPv4
        else { return false }
        guard header.transport == IPProtocol.icmp else { return true }
        // ICMP: only queries (echo, timestamp).
        return payload.first == 8 || payload.first == 13
    }

    /// The message: ICMP header, then the packet's IP header and as much of its payload as fits.
    ///
    /// - Parameters:
    ///   - kind: Why.
    ///   - rest: The four bytes after the checksum: the next-hop MTU (RFC 1191, 4) or zero.
    ///   - header: The offending packet's header, rewritten without options.
    ///   - payload: The offending packet's payload.
    /// - Returns: The ICMP message including its checksum.
    static func message(
        _ kind: ICMPMessage.Kind,
        rest: UInt32 = 0,
        about header: IPv4Header,
        _ payload: UnsafeRawBufferPointer
    ) -> [UInt8] {
        let fixed = ICMPMessage.headerLength + IPv4Header.length
        let quoted = min(payload.count, maximumQuote)
        var octets = [UInt8](repeating: 0, count: fixed)
        // Sound: the span is used only inside the closure.
        octets.withUnsafeMutableBytes { room in
            let original = UnsafeMutableRawBufferPointer(
                rebasing: room[ICMPMessage.headerLength...]
            )
            var span = original.mutableBytes
            header.write(to: &span)
        }
        octets += payload[..<quoted]
        finish(
            ICMPMessage(
                kind: kind,
                rest: rest,
                dataLength: octets.count - ICMPMessage.headerLength
            ),
            &octets
        )
        return octets
    }

    /// Writes a message's header in front of its data, including the checksum.
    ///
    /// - Parameters:
    ///   - message: The header.
    ///   - octets: The whole message, at least eight bytes.
    static func finish(_ message: ICMPMessage, _ octets: inout [UInt8]) {
        // Sound: the spans are used only inside the closure.
        octets.withUnsafeMutableBytes { room in
            var span = room.mutableBytes
            message.write(to: &span)
            let sum = InternetChecksum.checksum(UnsafeRawBufferPointer(room))
            var whole = room.mutableBytes
            whole.storeBigEndian(sum, at: 2)
        }
    }
}
