/// What a guest's ICMP error quotes of the packet it is about: the IP header and at least 64 bits
/// behind it (RFC 792; RFC 4443, 2.4).
struct ICMPQuote: Equatable {
    let transport: UInt8
    /// The sender and receiver of the quoted packet, which was sent to a guest.
    let source: Endpoint
    let destination: Endpoint
    /// The sequence number of a quoted TCP segment; in a UDP datagram its length and checksum.
    let sequence: SequenceNumber

    /// Reads the data of an ICMP error.
    ///
    /// The quoted packet is usually cut short, so its length field is not checked.
    ///
    /// - Parameters:
    ///   - quoted: What follows the error's ICMP header.
    ///   - isIPv4: The family of the error, which is that of the packet.
    /// - Throws: `PacketError` for a quotation that is too short or of something else.
    init(reading quoted: RawSpan, isIPv4: Bool = true) throws(PacketError) {
        guard quoted.byteCount >= IPHeader.lengthIPv4 else {
            throw .truncated(needed: IPHeader.lengthIPv4, available: quoted.byteCount)
        }
        let start = isIPv4 ? Int(quoted.octet(at: 0) & 15) * 4 : IPHeader.lengthIPv6
        guard quoted.octet(at: 0) >> 4 == (isIPv4 ? 4 : 6), start >= IPHeader.lengthIPv4 else {
            throw .notThisFormat
        }
        guard quoted.byteCount >= start + 8 else {
            throw .truncated(needed: start + 8, available: quoted.byteCount)
        }
        // The gateway sends no extension headers but those of fragments, about which nobody
        // complains with an error that matters here.
        transport = quoted.octet(at: isIPv4 ? 9 : 6)
        func address(_ offsetIPv4: Int, _ offsetIPv6: Int) -> IPAddress {
            isIPv4
                ? IPAddress(ipv4: quoted.bigEndian(at: offsetIPv4))
                : IPAddress(reading: quoted, at: offsetIPv6)
        }
        source = Endpoint(address: address(12, 8), port: quoted.bigEndian(at: start))
        destination = Endpoint(address: address(16, 24), port: quoted.bigEndian(at: start + 2))
        sequence = SequenceNumber(quoted.bigEndian(at: start + 4))
    }
}
