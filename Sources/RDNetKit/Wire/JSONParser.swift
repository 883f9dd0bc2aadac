/// Parses the first JSON value in a buffer (RFC 8259), with the error texts of Go's decoder.
///
/// Trailing bytes are ignored. Depth and number of values are bounded here, the length by the
/// caller.
struct JSONParser {
    /// Limit on the nesting of arrays and objects.
    static let maximumDepth = 64
    /// Limit on a document's values unless the caller sets another.
    static let maximumValues = 16_384

    private let octets: [UInt8]
    private let maximumValues: Int
    private var position = 0
    private var values = 0

    private init(_ octets: [UInt8], _ maximumValues: Int) {
        self.octets = octets
        self.maximumValues = maximumValues
    }

    /// Reads the first value.
    static func parse(
        _ octets: [UInt8],
        maximumValues: Int = Self.maximumValues
    ) throws(JSONError) -> JSON {
        var parser = JSONParser(octets, maximumValues)
        parser.position = ByteOrderMark.skipped(in: octets).startIndex
        parser.skipSpace()
        guard parser.peek != nil else { throw .empty }
        return try parser.value(depth: 0)
    }

    private var peek: UInt8? {
        position < octets.count ? octets[position] : nil
    }

    private mutating func take() throws(JSONError) -> UInt8 {
        guard let octet = peek else { throw .unexpectedEnd }
        position += 1
        return octet
    }

    private mutating func skipSpace() {
        while let octet = peek, [0x20, 0x09, 0x0a, 0x0d].contains(octet) { position += 1 }
    }

    private mutating func takeAfterSpace() throws(JSONError) -> UInt8 {
        skipSpace()
        return try take()
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSON {
        values += 1
        guard values <= maximumValues else { throw .tooManyValues }
        guard depth < Self.maximumDepth else { throw .tooDeep }
        let first = try takeAfterSpace()
        switch first {
        case UInt8(ascii: "{"): return .object(try members(depth: depth))
        case UInt8(ascii: "["): return .array(try elements(depth: depth))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            return .number(try number(startingWith: first))
        default:
            throw .invalidCharacter(first, context: "looking for beginning of value")
        }
    }

    private mutating func members(depth: Int) throws(JSONError) -> [JSON.Member] {
        var members: [JSON.Member] = []
        var octet = try takeAfterSpace()
        if octet == UInt8(ascii: "}") { return members }
        while true {
            guard octet == UInt8(ascii: "\"") else {
                throw .invalidCharacter(
                    octet,
                    context: "looking for beginning of object key string"
                )
            }
            let name = try string()
            octet = try takeAfterSpace()
            guard octet == UInt8(ascii: ":") else {
                throw .invalidCharacter(octet, context: "after object key")
            }
            members.append(JSON.Member(name, try value(depth: depth + 1)))
            octet = try takeAfterSpace()
            if octet == UInt8(ascii: "}") { return members }
            guard octet == UInt8(ascii: ",") else {
                throw .invalidCharacter(octet, context: "after object key:value pair")
            }
            octet = try takeAfterSpace()
        }
    }

    private mutating func elements(depth: Int) throws(JSONError) -> [JSON] {
        var elements: [JSON] = []
        skipSpace()
        if peek == UInt8(ascii: "]") {
            position += 1
            return elements
        }
        while true {
            elements.append(try value(depth: depth + 1))
            let octet = try takeAfterSpace()
            if octet == UInt8(ascii: "]") { return elements }
            guard octet == UInt8(ascii: ",") else {
                throw .invalidCharacter(octet, context: "after array element")
            }
        }
    }

    private mutating func literal(_ word: String, _ value: JSON) throws(JSONError) -> JSON {
        for expected in word.utf8.dropFirst() {
            let octet = try take()
            guard octet == expected else {
                let letter = Unicode.Scalar(expected)
                throw .invalidCharacter(
                    octet,
                    context: "in literal \(word) (expecting '\(letter)')"
                )
            }
        }
        return value
    }

    // MARK: Numbers

    private mutating func number(startingWith first: UInt8) throws(JSONError) -> String {
        let start = position - 1
        var leading = first
        if leading == UInt8(ascii: "-") { leading = try digit(context: "in numeric literal") }
        if leading != UInt8(ascii: "0") { skipDigits() }
        if peek == UInt8(ascii: ".") {
            position += 1
            _ = try digit(context: "after decimal point in numeric literal")
            skipDigits()
        }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            position += 1
            if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { position += 1 }
            _ = try digit(context: "in exponent of numeric literal")
            skipDigits()
        }
        return String(decoding: octets[start..<position], as: UTF8.self)
    }

    private mutating func digit(context: String) throws(JSONError) -> UInt8 {
        let octet = try take()
        guard Self.digits.contains(octet) else { throw .invalidCharacter(octet, context: context) }
        return octet
    }

    private mutating func skipDigits() {
        while let octet = peek, Self.digits.contains(octet) { position += 1 }
    }

    private static let digits = UInt8(ascii: "0")...UInt8(ascii: "9")

    // MARK: Strings

    private mutating func string() throws(JSONError) -> String {
        var text: [UInt8] = []
        while true {
            let octet = try take()
            switch octet {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): try escape(into: &text)
            case 0..<0x20: throw .invalidCharacter(octet, context: "in string literal")
            default: text.append(octet)
            }
        }
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONError) {
        let octet = try take()
        switch octet {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(octet)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text += Array(String(try unicodeEscape()).utf8)
        default: throw .invalidCharacter(octet, context: "in string escape code")
        }
    }

    /// The character of one `\uXXXX`, or of two that are a surrogate pair.
    private mutating func unicodeEscape() throws(JSONError) -> Unicode.Scalar {
        let first = try hexadecimalUnit()
        if let scalar = Unicode.Scalar(first) { return scalar }
        let before = position
        if first < 0xdc00, peek == UInt8(ascii: "\\") {
            position += 1
            if peek == UInt8(ascii: "u") {
                position += 1
                let second = try hexadecimalUnit()
                if (0xdc00...0xdfff).contains(second) {
                    let value = 0x10000 + (first - 0xd800) << 10 + (second - 0xdc00)
                    return Unicode.Scalar(value) ?? "\u{fffd}"
                }
            }
        }
        // An unpaired surrogate; the next escape is read separately.
        position = before
        return "\u{fffd}"
    }

    private mutating func hexadecimalUnit() throws(JSONError) -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            let octet = try take()
            guard let digit = Character(Unicode.Scalar(octet)).hexDigitValue else {
                throw .invalidCharacter(octet, context: "in \\u hexadecimal character escape")
            }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }
}
