/// The one way in which text from guests, servers and files reaches a terminal or a log.
///
/// Escaped are: control characters (also U+0080 to U+009F), characters without a shape of their own
/// (zero-width, bidirectional overrides, byte order mark, soft hyphen), line and paragraph
/// separators, spaces other than U+0020, private and unassigned code points. Bytes that are not
/// UTF-8 are U+FFFD since they were decoded.
extension Unicode.Scalar {
    /// Whether a terminal shows the character instead of acting on it, hiding it or reordering
    /// others.
    var isPrintable: Bool {
        if value < 0x7f { return value >= 0x20 }
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .spaceSeparator,
            .lineSeparator, .paragraphSeparator:
            return false
        default:
            return true
        }
    }

    /// The character as Go's `%q` escapes it: `\n`, `\x1b`, `\u202e`.
    fileprivate var escape: String {
        switch self {
        case "\n": "\\n"
        case "\r": "\\r"
        case "\t": "\\t"
        default:
            value < 0x80
                ? "\\x" + hexadecimal(2) : value < 0x1_0000 ? unicodeEscape : "\\U" + hexadecimal(8)
        }
    }

    /// `\u202e`, for a character of at most 16 bits.
    private var unicodeEscape: String { "\\u" + hexadecimal(4) }

    /// The character as an escape in a JSON string (RFC 8259, section 7).
    var escapeInJSON: String {
        String(self).utf16.map { unit in
            let digits = String(unit, radix: 16)
            return "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
        }.joined()
    }

    private func hexadecimal(_ width: Int) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
}

extension String {
    /// The text on one line, without characters that a terminal or a line reader would act on.
    var printable: String { escaped { $0.isPrintable } }

    /// Lines of text, each of them printable.
    var printableLines: String { escaped { $0.isPrintable || $0 == "\n" } }

    /// The text for the inside of a pair of double quotes.
    var printableInQuotes: String {
        var result = ""
        for scalar in unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\" + String(scalar)
            case _ where scalar.isPrintable: result.unicodeScalars.append(scalar)
            default: result += scalar.escape
            }
        }
        return result
    }

    /// A JSON document whose strings are printable; its value is the same.
    ///
    /// Valid JSON has such characters only inside strings, except for white space.
    var printableJSON: String {
        var result = ""
        for scalar in unicodeScalars {
            switch scalar {
            case "\r": continue
            case "\n", "\t": result.unicodeScalars.append(scalar)
            case _ where scalar.isPrintable: result.unicodeScalars.append(scalar)
            default: result += scalar.escapeInJSON
            }
        }
        return result
    }

    private func escaped(except isPlain: (Unicode.Scalar) -> Bool) -> String {
        if unicodeScalars.allSatisfy(isPlain) { return self }
        var result = ""
        for scalar in unicodeScalars {
            if isPlain(scalar) {
                result.unicodeScalars.append(scalar)
            } else {
                result += scalar.escape
            }
        }
        return result
    }
}
