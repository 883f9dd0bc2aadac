/// A record of an answer (RFC 1035, section 4.1.3), with its value still in the message.
struct DNSResourceRecord: Equatable, Sendable {
    /// The part of a message that a record stands in.
    enum Section: Sendable {
        case answer
        case authority
        case additional
    }

    /// How many records of a message are read at most.
    static let limit = 64

    let section: Section
    let name: DNSName
    let type: DNSType
    let recordClass: UInt16
    /// Seconds.
    let timeToLive: UInt32
    /// Where the value stands in the message.
    let value: Range<Int>

    /// Reads the records of a message, `limit` at most.
    ///
    /// - Parameter message: The whole message.
    /// - Returns: The records of all sections, in order.
    /// - Throws: `PacketError` for questions or records that do not fit the message.
    static func records(in message: RawSpan) throws(PacketError) -> [DNSResourceRecord] {
        let header = try DNSHeader(reading: message)
        var offset = DNSHeader.length
        for _ in 0..<header.questions { _ = try DNSQuestion(reading: message, at: &offset) }
        var records: [DNSResourceRecord] = []
        let sections: [(Section, UInt16)] = [
            (.answer, header.answers), (.authority, header.authorities),
            (.additional, header.additionals),
        ]
        for (section, count) in sections {
            for _ in 0..<count where records.count < limit {
                records.append(try DNSResourceRecord(section, reading: message, at: &offset))
            }
        }
        return records
    }

    /// The address of an A or AAAA record (RFC 1035, 3.4.1; RFC 3596, 2.2).
    ///
    /// - Parameter message: The message that the record stands in.
    /// - Returns: Nil for another type, another length, and an IPv4 address in IPv6 form.
    func address(in message: RawSpan) -> IPAddress? {
        let start = value.lowerBound
        switch (type, value.count) {
        case (.a, 4):
            return IPAddress(ipv4: message.bigEndian(at: start))
        case (.aaaa, 16):
            let address = IPAddress(
                high: message.bigEndian(at: start),
                low: message.bigEndian(at: start + 8)
            )
            return address.isIPv4 ? nil : address
        default:
            return nil
        }
    }

    private init(
        _ section: Section,
        reading message: RawSpan,
        at offset: inout Int
    ) throws(PacketError) {
        self.section = section
        name = try DNSName(reading: message, at: &offset)
        guard offset + 10 <= message.byteCount else {
            throw .truncated(needed: offset + 10, available: message.byteCount)
        }
        type = DNSType(rawValue: message.bigEndian(at: offset))
        recordClass = message.bigEndian(at: offset + 2)
        timeToLive = message.bigEndian(at: offset + 4)
        let length = Int(message.bigEndian(at: offset + 8, as: UInt16.self))
        offset += 10
        guard offset + length <= message.byteCount else {
            throw .truncated(needed: offset + length, available: message.byteCount)
        }
        value = offset..<(offset + length)
        offset += length
    }
}
