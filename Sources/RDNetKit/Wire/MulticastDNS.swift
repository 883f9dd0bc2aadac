/// One-shot multicast DNS (RFC 6762, section 5.1): queries from any port, answered to that port.
enum MulticastDNS {
    static let port: UInt16 = 5353
    static let groupIPv4 = IPAddress(ipv4: 0xe000_00fb)
    static let groupIPv6 = IPAddress(high: 0xff02_0000_0000_0000, low: 0xfb)
    static let domain = DNSName("local") ?? .root
    /// How long a guest may keep an answer, in seconds (RFC 6762, section 6.7).
    static let maximumTimeToLive: UInt32 = 10
    /// The longest message (RFC 6762, section 17).
    static let maximumLength = 9000
    /// The bit of a record's class that tells caches to forget other records of the name.
    private static let cacheFlush: UInt16 = 0x8000
    private static let recordLimit = 16
    /// A query's question section is behind the header.
    private static let questionStart = DNSHeader.length

    /// Whether a question is for multicast DNS: an address or a pointer of a name below `local`.
    static func serves(_ question: DNSQuestion) -> Bool {
        guard [.a, .aaaa, .ptr].contains(question.type),
            question.recordClass == DNSQuestion.internet,
            let offset = question.name.offset(of: domain)
        else { return false }
        return offset > 0
    }

    /// A query.
    static func query(_ name: DNSName, _ type: DNSType, id: UInt16) -> [UInt8] {
        DNSHeader(id: id, flags: [], questions: 1).octets + name.octets
            + [UInt8(type.rawValue >> 8), UInt8(type.rawValue & 0xff)]
            + [0, UInt8(DNSQuestion.internet)]
    }

    /// What a response says about one name.
    struct Response: Equatable {
        /// Records of the type asked for; empty when there are none.
        var records: [DNSRecord] = []
        /// Seconds, `maximumTimeToLive` at most.
        var timeToLive: UInt32 = MulticastDNS.maximumTimeToLive
        /// Whether the name exists, with whatever records.
        var exists = false
    }

    /// Reads a response to a query.
    ///
    /// - Parameters:
    ///   - message: Any octets.
    ///   - name: The name that was asked for.
    ///   - type: The type that was asked for.
    ///   - isUsable: Whether an address means the same to a guest.
    /// - Returns: Nil when the message is no response to the query.
    static func response(
        reading message: [UInt8],
        to name: DNSName,
        _ type: DNSType,
        where isUsable: (IPAddress) -> Bool
    ) -> Response? {
        guard message.count <= maximumLength else { return nil }
        let octets = message.span.bytes
        do {
            let header = try DNSHeader(reading: octets)
            guard header.flags.contains(.response), header.flags.isDisjoint(with: .opcode),
                header.flags.responseCode == .noError, header.questions <= 1
            else { return nil }
            if header.questions == 1 {
                var offset = questionStart
                let question = try DNSQuestion(reading: octets, at: &offset)
                guard question.name == name, question.type == type else { return nil }
            }
            var response = Response()
            for record in try DNSResourceRecord.records(in: octets) {
                guard record.section != .authority, record.name == name, record.timeToLive > 0,
                    record.recordClass & ~cacheFlush == DNSQuestion.internet
                else { continue }
                response.exists = true
                guard record.section == .answer, record.type == type,
                    response.records.count < recordLimit,
                    let value = try value(of: record, in: octets, where: isUsable)
                else { continue }
                response.records.append(value)
                response.timeToLive = min(response.timeToLive, record.timeToLive)
            }
            return response.exists ? response : nil
        } catch {
            return nil
        }
    }

    private static func value(
        of record: DNSResourceRecord,
        in message: RawSpan,
        where isUsable: (IPAddress) -> Bool
    ) throws(PacketError) -> DNSRecord? {
        if let address = record.address(in: message) {
            return isUsable(address) ? .address(address) : nil
        }
        switch record.type {
        case .ptr:
            var offset = record.value.lowerBound
            let target = try DNSName(reading: message, at: &offset)
            guard offset == record.value.upperBound, target.offset(of: domain) != nil else {
                return nil
            }
            return .pointer(target)
        default:
            return nil
        }
    }
}

extension DNSName {
    /// Whether a server's denial comes from a zone in `local`, such as a company's `corp.local`.
    ///
    /// - Parameter answer: Any octets.
    /// - Returns: Whether it is one; false if it cannot be parsed.
    static func isLocalZoneDenial(_ answer: [UInt8]) -> Bool {
        do {
            return try DNSResourceRecord.records(in: answer.span.bytes).contains { record in
                record.section == .authority && record.type == .soa
                    && record.name.offset(of: MulticastDNS.domain) != nil
            }
        } catch {
            return false
        }
    }
}
