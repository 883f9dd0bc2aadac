/// The lexical level of the parser: characters, lines and quotes.
extension YAMLParser {
    /// The current byte; nil at the end.
    var current: UInt8? { at < octets.count ? octets[at] : nil }

    /// The column of the current byte.
    var column: Int { at - lineStart }

    /// Whether a position is white space, a line end or the end of the document.
    func isBlank(_ index: Int) -> Bool {
        guard index < octets.count else { return true }
        return [0x20, 0x09, 0x0a, 0x0d].contains(octets[index])
    }

    /// Whether the rest of the line is at most a comment.
    var isAtLineEnd: Bool {
        switch current {
        case nil, 0x0a, 0x0d: true
        case UInt8(ascii: "#"): at == 0 || isBlank(at - 1)
        default: false
        }
    }

    mutating func skipSpaces() {
        while current == 0x20 || current == 0x09 { at += 1 }
    }

    mutating func skipComment() {
        while at < octets.count, octets[at] != 0x0a { at += 1 }
    }

    /// Skips one byte of a line end.
    mutating func skipLineEnd() {
        let isNewLine = current == 0x0a
        at += 1
        guard isNewLine else { return }
        line += 1
        lineStart = at
    }

    /// Advances to the next line with content.
    mutating func skipBlankLines() throws(YAMLError) {
        while at < octets.count {
            let indent = at
            skipSpaces()
            if current == UInt8(ascii: "#") { skipComment() }
            guard current == 0x0a || current == 0x0d else {
                let isIndent = indent == lineStart
                if isIndent, octets[indent..<at].contains(0x09) {
                    throw fault("a tab cannot indent; expected spaces")
                }
                return
            }
            skipLineEnd()
        }
    }

    /// Requires that only a comment follows a value on its line.
    mutating func endLine() throws(YAMLError) {
        skipSpaces()
        guard isAtLineEnd else { throw fault("expected the end of the line after a value") }
        skipComment()
    }

    /// Advances past a marker to content on its line or a later one.
    mutating func skipToContent() throws(YAMLError) {
        skipSpaces()
        guard isAtLineEnd else { return }
        try skipBlankLines()
    }

    // MARK: Quotes

    /// A single-quoted text; a doubled quote denotes one.
    mutating func singleQuoted() throws(YAMLError) -> String {
        var text: [UInt8] = []
        at += 1
        while let octet = current, octet != 0x0a {
            at += 1
            guard octet == UInt8(ascii: "'") else {
                text.append(octet)
                continue
            }
            guard current == octet else { return String(decoding: text, as: UTF8.self) }
            text.append(octet)
            at += 1
        }
        throw fault("a quoted text does not end in its line")
    }

    /// A double-quoted text with backslash escapes (YAML 1.2.2, 5.7).
    mutating func doubleQuoted() throws(YAMLError) -> String {
        var text: [UInt8] = []
        at += 1
        while let octet = current, octet != 0x0a {
            at += 1
            switch octet {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): text += try escape()
            default: text.append(octet)
            }
        }
        throw fault("a quoted text does not end in its line")
    }

    private mutating func escape() throws(YAMLError) -> [UInt8] {
        guard let letter = current else { throw fault("a quoted text does not end in its line") }
        at += 1
        switch letter {
        case UInt8(ascii: "n"): return [0x0a]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "r"): return [0x0d]
        case UInt8(ascii: "0"): return [0x00]
        case UInt8(ascii: "e"): return [0x1b]
        case UInt8(ascii: "\\"), UInt8(ascii: "\""), UInt8(ascii: "/"), 0x20: return [letter]
        case UInt8(ascii: "x"): return try character(digits: 2)
        case UInt8(ascii: "u"): return try character(digits: 4)
        case UInt8(ascii: "U"): return try character(digits: 8)
        default: throw fault("\\\(Character(UnicodeScalar(letter))) is not an escape sequence")
        }
    }

    private mutating func character(digits: Int) throws(YAMLError) -> [UInt8] {
        let text = String(decoding: octets[at..<min(at + digits, octets.count)], as: UTF8.self)
        guard text.utf8.count == digits, text.first != "+", text.first != "-",
            let number = UInt32(text, radix: 16), let scalar = UnicodeScalar(number)
        else {
            throw fault("\"\(text)\" is not a character number of \(digits) hexadecimal digits")
        }
        at += digits
        return Array(String(Character(scalar)).utf8)
    }
}
