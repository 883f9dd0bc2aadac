/// The records that the gateway's own answers contain.
enum DNSRecord: Equatable {
    /// A or AAAA (RFC 1035, 3.4.1; RFC 3596, 2.2).
    case address(IPAddress)
    /// PTR (RFC 1035, 3.3.12).
    case pointer(DNSName)
    /// SOA (RFC 1035, 3.3.13) of the zone whose labels start at this offset of the question's name.
    case authority(Int)

    /// The wire form (RFC 1035, section 3.2.1).
    fileprivate func octets(timeToLive: UInt32) -> [UInt8] {
        let (owner, type, value): (Int, DNSType, [UInt8]) =
            switch self {
            case .address(let address): (0, address.isIPv4 ? .a : .aaaa, address.octets)
            case .pointer(let name): (0, .ptr, name.octets)
            case .authority(let zone): (zone, .soa, Self.authorityValue(zone))
            }
        let number = type.rawValue
        return Self.reference(owner)
            + [UInt8(number >> 8), UInt8(number & 0xff), 0, UInt8(DNSQuestion.internet)]
            + timeToLive.bigEndianOctets
            + [UInt8(value.count >> 8), UInt8(value.count & 0xff)]
            + value
    }

    /// A compression pointer to an offset of the question's name.
    private static func reference(_ offset: Int) -> [UInt8] {
        let target = 0xc000 | (DNSHeader.length + offset)
        return [UInt8(truncatingIfNeeded: target >> 8), UInt8(truncatingIfNeeded: target)]
    }

    private static func authorityValue(_ zone: Int) -> [UInt8] {
        let mailbox = Array("hostmaster".utf8)
        let numbers: [UInt32] = [
            1,  // serial
            3600,  // refresh
            600,  // retry
            86_400,  // expire
            0,  // minimum: TTL of a negative answer (RFC 2308, 4)
        ]
        return reference(zone) + [UInt8(mailbox.count)] + mailbox + reference(zone)
            + numbers.flatMap(\.bigEndianOctets)
    }
}

extension DNSQuery {
    /// The upper bits of BADVERS (RFC 6891, 9), code 16.
    private static let badVersion: UInt8 = 1

    /// An authoritative answer; negative if it has no records (RFC 2308, 2).
    ///
    /// - Parameters:
    ///   - code: `noError`, or `nameError` for a name that does not exist.
    ///   - answers: The answer section.
    ///   - zone: Where the zone starts in the question's name, for the SOA of a negative answer.
    ///   - timeToLive: Seconds; 0 because names known here may change at any moment.
    /// - Returns: A message that may be longer than the requester takes over UDP.
    func answer(
        _ code: DNSResponseCode,
        _ answers: [DNSRecord],
        zone: Int,
        timeToLive: UInt32 = 0
    ) -> [UInt8] {
        if let edns, edns.version > 0 { return reply(.noError, extended: Self.badVersion) }
        let authorities = answers.isEmpty ? [DNSRecord.authority(zone)] : []
        return reply(code, [.authoritative], answers, authorities, timeToLive: timeToLive)
    }

    /// An answer with an error code and no records: SERVFAIL, NOTIMP.
    func failure(_ code: DNSResponseCode) -> [UInt8] {
        reply(code)
    }

    /// An answer without records that says why, to a requester that understands EDNS.
    func failure(_ code: DNSResponseCode, because error: DNSExtendedError) -> [UInt8] {
        reply(code, explaining: error)
    }

    private func reply(
        _ code: DNSResponseCode,
        _ flags: DNSFlags = [],
        _ answers: [DNSRecord] = [],
        _ authorities: [DNSRecord] = [],
        timeToLive: UInt32 = 0,
        extended: UInt8 = 0,
        explaining error: DNSExtendedError? = nil
    ) -> [UInt8] {
        let kept = header.flags.intersection([.recursionDesired, .checkingDisabled])
        var head = DNSHeader(
            id: header.id,
            flags: [.response, .recursionAvailable, kept, flags, .code(code)],
            questions: 1
        )
        head.answers = UInt16(truncatingIfNeeded: answers.count)
        head.authorities = UInt16(truncatingIfNeeded: authorities.count)
        let option = optionRecord(extended: extended, explaining: error)
        head.additionals = option.isEmpty ? 0 : 1
        let records = (answers + authorities).flatMap { $0.octets(timeToLive: timeToLive) }
        return head.octets + questionOctets + records + option
    }

    /// The OPT record of an answer, present exactly if the query had one (RFC 6891, 7).
    private func optionRecord(
        extended: UInt8,
        explaining error: DNSExtendedError? = nil
    ) -> [UInt8] {
        guard let edns else { return [] }
        return EDNS(
            payloadSize: Self.offeredSize,
            extendedCode: extended,
            version: 0,
            dnssecOK: edns.dnssecOK
        ).octets(explaining: error)
    }

    /// An answer that fits UDP: truncated to its head with TC set if it is too long (RFC 2181, 9).
    ///
    /// - Parameter answer: An answer to this query, at least a header long.
    /// - Returns: The answer itself, or header, question and OPT record.
    func fitted(_ answer: [UInt8]) -> [UInt8] {
        guard answer.count > datagramLimit else { return answer }
        let flags = DNSFlags(rawValue: UInt16(answer[2]) << 8 | UInt16(answer[3]))
        var head = DNSHeader(id: header.id, flags: flags.union(.truncated), questions: 1)
        let option = optionRecord(extended: 0)
        head.additionals = option.isEmpty ? 0 : 1
        return head.octets + questionOctets + option
    }

    /// An answer to a message that is not a query: its header with QR set.
    ///
    /// - Parameters:
    ///   - code: What is wrong with it.
    ///   - message: At least a header long.
    /// - Returns: A header alone.
    static func refusal(_ code: DNSResponseCode, to message: [UInt8]) -> [UInt8] {
        let flags = DNSFlags(rawValue: UInt16(message[2]) << 8 | UInt16(message[3]))
        let kept = flags.intersection([.opcode, .recursionDesired, .checkingDisabled])
        return DNSHeader(
            id: UInt16(message[0]) << 8 | UInt16(message[1]),
            flags: [.response, .recursionAvailable, kept, .code(code)],
            questions: 0
        ).octets
    }
}
