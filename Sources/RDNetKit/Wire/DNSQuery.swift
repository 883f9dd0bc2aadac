/// Why a message is not accepted as a query.
enum DNSRefusal: Error, Equatable {
    /// Do not answer: shorter than a header, or itself a response, which could start a loop.
    case silence
    /// Answer with only a header.
    case answer(DNSResponseCode)
}

/// A validated query with one question, and the answers that match it.
///
/// The message is kept as received, so everything that is not understood here passes through
/// unchanged.
struct DNSQuery {
    /// Limit on a query, in bytes; real ones including padding stay far below 1,000.
    static let maximumLength = 4096
    /// The UDP limit of a requester without EDNS (RFC 1035, 4.2.1).
    static let plainLimit = 512
    /// The UDP size in our OPT records: it passes everywhere (DNS flag day 2020).
    static let offeredSize: UInt16 = 1232
    /// A query for the root's name servers, which every resolver can answer (RFC 1035, 4.1):
    /// recursion desired, one question.
    static let rootServers: [UInt8] = [
        0x52, 0x44, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1,
    ]
    /// The largest payload of a UDP datagram over IPv4.
    private static let maximumDatagramLength = 65_507

    let message: [UInt8]
    let header: DNSHeader
    let question: DNSQuestion
    let edns: EDNS?
    /// Offset of the byte after the question section.
    let questionEnd: Int

    init(reading message: [UInt8]) throws(DNSRefusal) {
        let octets = message.span.bytes
        do {
            header = try DNSHeader(reading: octets)
        } catch {
            throw .silence
        }
        if header.flags.contains(.response) { throw .silence }
        guard header.flags.isDisjoint(with: .opcode) else { throw .answer(.notImplemented) }
        guard header.questions == 1, message.count <= Self.maximumLength else {
            throw .answer(.formatError)
        }
        do {
            var offset = DNSHeader.length
            question = try DNSQuestion(reading: octets, at: &offset)
            edns = try EDNS.find(in: octets, header: header, after: offset)
            questionEnd = offset
        } catch {
            throw .answer(.formatError)
        }
        self.message = message
    }

    /// The question section as received.
    var questionOctets: ArraySlice<UInt8> { message[DNSHeader.length..<questionEnd] }

    /// The longest answer that the requester accepts over UDP (RFC 6891, 6.2.3: at least 512).
    var datagramLimit: Int {
        min(max(Int(edns?.payloadSize ?? 0), Self.plainLimit), Self.maximumDatagramLength)
    }

    /// The message with another identifier.
    func message(withID id: UInt16) -> [UInt8] {
        Self.replacingID(of: message, with: id)
    }

    /// Whether a server's response answers this question; the caller has compared the identifier.
    ///
    /// Only server failures may omit the question; all others must repeat it in any case (RFC 5452,
    /// 9.1).
    func isAnswered(by answer: [UInt8]) -> Bool {
        let octets = answer.span.bytes
        do {
            let header = try DNSHeader(reading: octets)
            guard header.flags.contains(.response), header.flags.isDisjoint(with: .opcode) else {
                return false
            }
            if header.questions == 0 {
                return header.flags.responseCode != .noError
                    && header.flags.responseCode != .nameError
            }
            var offset = DNSHeader.length
            let repeated = try DNSQuestion(reading: octets, at: &offset)
            return header.questions == 1 && repeated == question && offset == questionEnd
        } catch {
            return false
        }
    }

    /// A server's answer with the requester's identifier and spelling of the name.
    func restoring(_ answer: [UInt8]) -> [UInt8] {
        var restored = Self.replacingID(of: answer, with: header.id)
        guard answer[4] | answer[5] != 0 else { return restored }
        restored.replaceSubrange(DNSHeader.length..<questionEnd, with: questionOctets)
        return restored
    }

    private static func replacingID(of message: [UInt8], with id: UInt16) -> [UInt8] {
        var renamed = message
        renamed[0] = UInt8(id >> 8)
        renamed[1] = UInt8(id & 0xff)
        return renamed
    }
}
