/// A domain name (RFC 1035, 3.1): labels of 1 to 63 bytes, at most 255 with lengths and root.
///
/// Case is preserved and ignored in comparisons (RFC 4343).
struct DNSName: Sendable {
    static let maximumLength = 255
    static let root = DNSName(uncompressed: [0])

    /// The uncompressed wire format, ending with the root's zero byte.
    let octets: [UInt8]

    private init(uncompressed octets: [UInt8]) {
        self.octets = octets
    }

    /// Creates a name from text with or without the final dot; nil for empty or overlong labels.
    ///
    /// Escapes (RFC 1035, 5.1) are not supported: these names come from people and from /etc/hosts.
    init?(_ text: some StringProtocol) {
        var octets: [UInt8] = []
        let body = text.hasSuffix(".") ? text.dropLast() : text[...]
        if !body.isEmpty {
            for label in body.utf8.split(separator: 0x2e, omittingEmptySubsequences: false) {
                guard (1...63).contains(label.count) else { return nil }
                octets.append(UInt8(label.count))
                octets.append(contentsOf: label)
            }
        }
        octets.append(0)
        guard octets.count <= Self.maximumLength else { return nil }
        self.octets = octets
    }

    /// Reads a name, following compression pointers (RFC 1035, 4.1.4).
    ///
    /// A pointer must point before the labels that it follows, which prevents loops, and not
    /// into the header, which contains no names.
    ///
    /// - Parameters:
    ///   - message: The whole message: pointers count from its start.
    ///   - offset: The start of the name; on return, the byte after it.
    /// - Throws: `PacketError` for a name that exceeds the message, is too long or points forward.
    init(reading message: RawSpan, at offset: inout Int) throws(PacketError) {
        var octets: [UInt8] = []
        var position = offset
        var fragment = offset
        var end: Int?
        while true {
            let length = Int(try Self.octet(of: message, at: position))
            if length >= 0xc0 {
                let low = Int(try Self.octet(of: message, at: position + 1))
                let target = (length & 0x3f) << 8 | low
                guard target >= DNSHeader.length, target < fragment else { throw .notThisFormat }
                end = end ?? position + 2
                (position, fragment) = (target, target)
                continue
            }
            guard length < 0x40 else { throw .notThisFormat }
            let next = position + 1 + length
            guard next <= message.byteCount else {
                throw .truncated(needed: next, available: message.byteCount)
            }
            guard octets.count + 1 + length <= Self.maximumLength else {
                throw .badLength(field: length, available: Self.maximumLength - octets.count)
            }
            for index in position..<next { octets.append(message.octet(at: index)) }
            position = next
            if length == 0 { break }
        }
        offset = end ?? position
        self.octets = octets
    }

    /// Advances an offset past a name without following its pointer.
    static func skip(in message: RawSpan, at offset: inout Int) throws(PacketError) {
        while true {
            let length = Int(try octet(of: message, at: offset))
            if length >= 0xc0 {
                offset += 2
                return
            }
            guard length < 0x40 else { throw .notThisFormat }
            offset += 1 + length
            if length == 0 { return }
        }
    }

    private static func octet(of message: RawSpan, at offset: Int) throws(PacketError) -> UInt8 {
        guard offset >= 0, offset < message.byteCount else {
            throw .truncated(needed: offset + 1, available: message.byteCount)
        }
        return message.octet(at: offset)
    }

    /// The wire format in lower case; length bytes are below `A` and stay unchanged.
    var folded: [UInt8] { octets.map(\.foldedASCII) }

    /// The labels, first to last, without the root.
    var labels: [ArraySlice<UInt8>] {
        var labels: [ArraySlice<UInt8>] = []
        var position = 0
        while octets[position] != 0 {
            let next = position + 1 + Int(octets[position])
            labels.append(octets[(position + 1)..<next])
            position = next
        }
        return labels
    }

    /// The label of a name that has just one, in lower case.
    var onlyLabel: String? {
        let labels = labels
        guard labels.count == 1 else { return nil }
        return String(decoding: labels[0].map(\.foldedASCII), as: UTF8.self)
    }

    /// Offset of an ancestor's labels in this name's wire format; nil if it is not an ancestor.
    ///
    /// A name is its own ancestor at 0; the root is everyone's.
    func offset(of ancestor: DNSName) -> Int? {
        let start = octets.count - ancestor.octets.count
        var position = 0
        while position < start { position += 1 + Int(octets[position]) }
        guard position == start else { return nil }
        let matches = zip(octets[start...], ancestor.octets).allSatisfy {
            $0.foldedASCII == $1.foldedASCII
        }
        return matches ? start : nil
    }

    /// The labels from an offset at which one starts, as a name of their own.
    func suffix(from offset: Int) -> DNSName {
        DNSName(uncompressed: Array(octets[offset...]))
    }

    /// This name below another one; nil when that would be too long.
    func below(_ parent: DNSName) -> DNSName? {
        let joined = octets.dropLast() + parent.octets
        return joined.count <= Self.maximumLength ? DNSName(uncompressed: Array(joined)) : nil
    }

    /// The labels before an offset from `offset(of:)`, as a separate name.
    func prefix(before offset: Int) -> DNSName {
        DNSName(uncompressed: octets[..<offset] + [0])
    }
}

extension DNSName: Hashable {
    static func == (left: DNSName, right: DNSName) -> Bool {
        left.octets.count == right.octets.count && left.offset(of: right) == 0
    }

    func hash(into hasher: inout Hasher) {
        for octet in octets { hasher.combine(octet.foldedASCII) }
    }
}

extension DNSName: CustomStringConvertible {
    /// Text with a final dot; bytes other than printable ASCII as `\DDD` (RFC 1035, 5.1).
    var description: String {
        if octets == [0] { return "." }
        var text = ""
        for label in labels {
            for octet in label {
                switch octet {
                case 0x2e, 0x5c: text += "\\" + String(UnicodeScalar(octet))
                case 0x21...0x7e: text.unicodeScalars.append(UnicodeScalar(octet))
                default: text += "\\" + String(1000 + Int(octet)).dropFirst()
                }
            }
            text += "."
        }
        return text
    }
}

extension UInt8 {
    /// The byte with `A` to `Z` in lower case (RFC 4343, 3).
    var foldedASCII: UInt8 { (0x41...0x5a).contains(self) ? self | 0x20 : self }
}
