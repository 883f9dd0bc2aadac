/// A record type (RFC 1035, 3.2.2 and later); unnamed numbers pass through.
struct DNSType: Hashable, Sendable {
    let rawValue: UInt16

    static let a = DNSType(rawValue: 1)
    static let cname = DNSType(rawValue: 5)
    static let soa = DNSType(rawValue: 6)
    static let ptr = DNSType(rawValue: 12)
    static let aaaa = DNSType(rawValue: 28)
    static let opt = DNSType(rawValue: 41)
    /// A zone transfer: many response messages to one query, over TCP only (RFC 5936).
    static let axfr = DNSType(rawValue: 252)
    static let any = DNSType(rawValue: 255)
}

/// The low four bits of a response code (RFC 1035, 4.1.1).
struct DNSResponseCode: Hashable, Sendable {
    let rawValue: UInt16

    static let noError = DNSResponseCode(rawValue: 0)
    static let formatError = DNSResponseCode(rawValue: 1)
    static let serverFailure = DNSResponseCode(rawValue: 2)
    static let nameError = DNSResponseCode(rawValue: 3)
    static let notImplemented = DNSResponseCode(rawValue: 4)
    static let refused = DNSResponseCode(rawValue: 5)
}

/// The second word of the header (RFC 1035, 4.1.1; RFC 4035, 3 for AD and CD).
struct DNSFlags: OptionSet, Sendable {
    let rawValue: UInt16

    /// QR: a response.
    static let response = DNSFlags(rawValue: 0x8000)
    /// AA: authoritative.
    static let authoritative = DNSFlags(rawValue: 0x0400)
    /// TC: truncated; retry over TCP.
    static let truncated = DNSFlags(rawValue: 0x0200)
    static let recursionDesired = DNSFlags(rawValue: 0x0100)
    static let recursionAvailable = DNSFlags(rawValue: 0x0080)
    static let checkingDisabled = DNSFlags(rawValue: 0x0010)
    /// The four opcode bits; zero is QUERY.
    static let opcode = DNSFlags(rawValue: 0x7800)

    static func code(_ code: DNSResponseCode) -> DNSFlags {
        DNSFlags(rawValue: code.rawValue & 0x000f)
    }

    var responseCode: DNSResponseCode { DNSResponseCode(rawValue: rawValue & 0x000f) }
}

/// The header of every message (RFC 1035, 4.1.1): 12 octets.
struct DNSHeader: Equatable {
    static let length = 12

    var id: UInt16
    var flags: DNSFlags
    var questions: UInt16
    var answers: UInt16 = 0
    var authorities: UInt16 = 0
    var additionals: UInt16 = 0

    init(id: UInt16, flags: DNSFlags, questions: UInt16) {
        self.id = id
        self.flags = flags
        self.questions = questions
    }

    init(reading message: RawSpan) throws(PacketError) {
        guard message.byteCount >= Self.length else {
            throw .truncated(needed: Self.length, available: message.byteCount)
        }
        id = message.bigEndian(at: 0)
        flags = DNSFlags(rawValue: message.bigEndian(at: 2))
        questions = message.bigEndian(at: 4)
        answers = message.bigEndian(at: 6)
        authorities = message.bigEndian(at: 8)
        additionals = message.bigEndian(at: 10)
    }

    /// The wire format.
    var octets: [UInt8] {
        [id, flags.rawValue, questions, answers, authorities, additionals].flatMap {
            [UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0)]
        }
    }
}

/// One entry of the question section (RFC 1035, 4.1.2).
struct DNSQuestion: Equatable, Sendable {
    static let internet: UInt16 = 1
    static let anyClass: UInt16 = 255

    var name: DNSName
    var type: DNSType
    var recordClass: UInt16

    /// Reads a question.
    ///
    /// - Parameters:
    ///   - message: The whole message.
    ///   - offset: The start of the question; on return, the byte after it.
    /// - Throws: `PacketError` for a bad name or a truncated message.
    init(reading message: RawSpan, at offset: inout Int) throws(PacketError) {
        name = try DNSName(reading: message, at: &offset)
        guard offset + 4 <= message.byteCount else {
            throw .truncated(needed: offset + 4, available: message.byteCount)
        }
        type = DNSType(rawValue: message.bigEndian(at: offset))
        recordClass = message.bigEndian(at: offset + 2)
        offset += 4
    }
}

/// A message's OPT pseudo-record (RFC 6891, 6.1).
struct EDNS: Equatable, Sendable {
    /// The largest UDP payload that the sender accepts.
    var payloadSize: UInt16
    /// The upper eight bits of the response code.
    var extendedCode: UInt8
    var version: UInt8
    /// DO: the sender accepts DNSSEC records (RFC 3225).
    var dnssecOK: Bool

    /// Finds the OPT record after the question.
    ///
    /// - Parameters:
    ///   - message: The whole message.
    ///   - header: Its header: how many records to walk over; each takes at least 11 octets.
    ///   - offset: Where the first record starts.
    /// - Returns: Nil when there is none.
    /// - Throws: `PacketError` for records that do not fit the message, or a second OPT.
    static func find(
        in message: RawSpan,
        header: DNSHeader,
        after offset: Int
    ) throws(PacketError) -> EDNS? {
        var found: EDNS?
        var offset = offset
        let records = Int(header.answers) + Int(header.authorities) + Int(header.additionals)
        for _ in 0..<records {
            try DNSName.skip(in: message, at: &offset)
            guard offset + 10 <= message.byteCount else {
                throw .truncated(needed: offset + 10, available: message.byteCount)
            }
            if DNSType(rawValue: message.bigEndian(at: offset)) == .opt {
                if found != nil { throw .notThisFormat }
                found = EDNS(
                    payloadSize: message.bigEndian(at: offset + 2),
                    extendedCode: message.octet(at: offset + 4),
                    version: message.octet(at: offset + 5),
                    dnssecOK: message.octet(at: offset + 6) & 0x80 != 0
                )
            }
            offset += 10 + Int(message.bigEndian(at: offset + 8, as: UInt16.self))
            guard offset <= message.byteCount else {
                throw .truncated(needed: offset, available: message.byteCount)
            }
        }
        return found
    }

    /// The wire format.
    ///
    /// - Parameter error: Says why a query failed; nil for a record without options.
    /// - Returns: The whole record.
    func octets(explaining error: DNSExtendedError? = nil) -> [UInt8] {
        let options = error?.octets ?? []
        return [
            0,  // owner: the root
            0, UInt8(DNSType.opt.rawValue),
            UInt8(payloadSize >> 8), UInt8(payloadSize & 0xff),
            extendedCode, version,
            dnssecOK ? 0x80 : 0, 0,
            UInt8(truncatingIfNeeded: options.count >> 8), UInt8(truncatingIfNeeded: options.count),
        ] + options
    }
}

/// Why a query failed, as an EDNS option (RFC 8914).
struct DNSExtendedError: Equatable, Sendable {
    /// An administrator's policy forbids the name, as the server's owner wants it.
    static let blocked: UInt16 = 15
    /// An administrator's policy forbids the answer, as the client's owner wants it.
    static let filtered: UInt16 = 17
    private static let option: UInt16 = 15
    /// Longer texts would make answers exceed what every path carries.
    private static let maximumText = 256

    /// From the registry of RFC 8914, 5.2.
    var code: UInt16
    /// For people.
    var text: String

    /// The option with its head (RFC 8914, 2).
    fileprivate var octets: [UInt8] {
        let text = Array(text.utf8.prefix(Self.maximumText))
        return [Self.option, UInt16(2 + text.count), code].flatMap {
            [UInt8($0 >> 8), UInt8($0 & 0xff)]
        } + text
    }
}
