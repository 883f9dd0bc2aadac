/// What a guest's ICMP error quotes of the packet it is about: the IP header and 64 bits behind it
/// (RFC 792).
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
    init(reading quoted: RawSpan) throws(PacketError) {
        guard quoted.byteCount >= IPv4Header.length else {
            throw .truncated(needed: IPv4Header.length, available: quoted.byteCount)
        }
        let start = Int(quoted.octet(at: 0) & 15) * 4
        guard quoted.octet(at: 0) >> 4 == 4, start >= IPv4Header.length else {
            throw .notThisFormat
        }
        guard quoted.byteCount >= start + 8 else {
            throw .truncated(needed: start + 8, available: quoted.byteCount)
        }
        transport = quoted.octet(at: 9)
        source = Endpoint(
            address: IPAddress(ipv4: quoted.bigEndian(at: 12)),
            port: quoted.bigEndian(at: start)
        )
        destination = Endpoint(
            address: IPAddress(ipv4: quoted.bigEndian(at: 16)),
            port: quoted.bigEndian(at: start + 2)
        )
        sequence = SequenceNumber(quoted.bigEndian(at: start + 4))
    }
}
