/// A JSON value (RFC 8259); an object keeps its members' order and duplicates.
enum JSON: Equatable, Sendable {
    case null
    case bool(Bool)
    /// The digits as written.
    case number(String)
    case string(String)
    case array([JSON])
    case object([Member])

    /// One member of an object.
    struct Member: Equatable, Sendable {
        var name: String
        var value: JSON

        init(_ name: String, _ value: JSON) {
            self.name = name
            self.value = value
        }
    }

    /// The value of an object's member, matched case-insensitively; the last of several wins.
    func member(_ name: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        let folded = name.lowercased()
        return members.last { $0.name.lowercased() == folded }?.value
    }

    /// An integer's digits.
    static func integer(_ value: UInt64) -> JSON { .number(String(value)) }

    /// Go's word for the kind of value, for errors.
    var kind: String {
        switch self {
        case .null: "null"
        case .bool: "bool"
        case .number: "number"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        }
    }

    /// The value as Go's encoder writes it, without white space.
    var octets: [UInt8] {
        var output: [UInt8] = []
        write(to: &output)
        return output
    }

    private func write(to output: inout [UInt8]) {
        switch self {
        case .null: output += Array("null".utf8)
        case .bool(let value): output += Array((value ? "true" : "false").utf8)
        case .number(let digits): output += Array(digits.utf8)
        case .string(let text): Self.write(text, to: &output)
        case .array(let elements):
            Self.write(elements, between: ("[", "]"), to: &output) { $0.write(to: &$1) }
        case .object(let members):
            Self.write(members, between: ("{", "}"), to: &output) { member, output in
                Self.write(member.name, to: &output)
                output.append(UInt8(ascii: ":"))
                member.value.write(to: &output)
            }
        }
    }

    private static func write<Element>(
        _ elements: [Element],
        between brackets: (Unicode.Scalar, Unicode.Scalar),
        to output: inout [UInt8],
        _ writeElement: (Element, inout [UInt8]) -> Void
    ) {
        output.append(UInt8(ascii: brackets.0))
        for (index, element) in elements.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            writeElement(element, &output)
        }
        output.append(UInt8(ascii: brackets.1))
    }

    private static func write(_ text: String, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": output += [UInt8(ascii: "\\"), UInt8(ascii: scalar)]
            case "\n": output += Array("\\n".utf8)
            case "\r": output += Array("\\r".utf8)
            case "\t": output += Array("\\t".utf8)
            // Go escapes these as well, so that the text is safe inside HTML and JavaScript.
            case "<", ">", "&": output += Array(scalar.escapeInJSON.utf8)
            // Go leaves most of these above U+007E as they are; the value is the same.
            case _ where !scalar.isPrintable: output += Array(scalar.escapeInJSON.utf8)
            default: output += Array(UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
            }
        }
        output.append(UInt8(ascii: "\""))
    }
}

/// Why input is not the expected JSON; the texts are those of Go's decoder, which clients search
/// for.
enum JSONError: Error, Equatable, CustomStringConvertible {
    /// Only white space.
    case empty
    /// The input ends inside a value.
    case unexpectedEnd
    case invalidCharacter(UInt8, context: String)
    /// Arrays and objects nested deeper than `JSONParser.maximumDepth`.
    case tooDeep
    /// More values than the limit.
    case tooManyValues
    /// The top-level value is not an object.
    case wrongValue(kind: String, record: String)
    /// A member's value is not a string.
    case wrongField(kind: String, field: String, type: String)

    /// Whether more input could complete the value.
    var isIncomplete: Bool { self == .empty || self == .unexpectedEnd }

    var description: String {
        switch self {
        case .empty: "EOF"
        case .unexpectedEnd: "unexpected EOF"
        case .invalidCharacter(let octet, let context):
            "invalid character '\(Self.quoted(octet))' \(context)"
        case .tooDeep: "exceeded max depth"
        case .tooManyValues: "too many values"
        case .wrongValue(let kind, let record):
            "json: cannot unmarshal \(kind) into Go value of type types.\(record)"
        case .wrongField(let kind, let field, let type):
            "json: cannot unmarshal \(kind) into Go struct field \(field) of type \(type)"
        }
    }

    private static func quoted(_ octet: UInt8) -> String {
        switch octet {
        case UInt8(ascii: "'"): return "\\'"
        case UInt8(ascii: "\\"): return "\\\\"
        case 0x07: return "\\a"
        case 0x08: return "\\b"
        case 0x09: return "\\t"
        case 0x0a: return "\\n"
        case 0x0b: return "\\v"
        case 0x0c: return "\\f"
        case 0x0d: return "\\r"
        case 0x00...0x1f, 0x7f: return "\\x" + hexadecimal(octet)
        // Go prints a byte as the character with that code point (Latin-1).
        case 0x80...0xa0, 0xad: return "\\u00" + hexadecimal(octet)
        default: return String(Unicode.Scalar(octet))
        }
    }

    private static func hexadecimal(_ octet: UInt8) -> String {
        (octet < 16 ? "0" : "") + String(octet, radix: 16)
    }
}

/// An object whose known members are all strings, such as the body of an API request.
struct JSONRecord {
    /// Go's name for the type, for errors.
    let name: String
    /// The field of the enclosing record that holds these records.
    var path = ""
    /// Each member's name and Go's name for its type.
    let fields: [(name: String, type: String)]

    /// Picks the known members out of an object.
    ///
    /// Names match case-insensitively, a later member replaces an earlier one, null leaves a
    /// member unchanged, and unknown members are ignored.
    ///
    /// - Parameter value: An object, or null, which has no members.
    /// - Returns: The members that are present, keyed by the names in `fields`.
    /// - Throws: `JSONError` for the first value of the wrong kind.
    func read(_ value: JSON) throws(JSONError) -> [String: String] {
        if value == .null { return [:] }
        guard case .object(let members) = value else {
            throw .wrongValue(kind: value.kind, record: name)
        }
        var texts: [String: String] = [:]
        for member in members {
            let folded = member.name.lowercased()
            guard let field = fields.first(where: { $0.name.lowercased() == folded }) else {
                continue
            }
            switch member.value {
            case .string(let text): texts[field.name] = text
            case .null: continue
            case .bool, .number, .array, .object:
                let place = path.isEmpty ? field.name : "\(path).\(field.name)"
                throw .wrongField(
                    kind: member.value.kind,
                    field: "\(name).\(place)",
                    type: field.type
                )
            }
        }
        return texts
    }
}
