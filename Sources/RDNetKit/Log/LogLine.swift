/// The format of a line.
enum LogFormat: String, Sendable {
    /// logrus's `key=value` text, in color on a terminal.
    case text
    /// One JSON object per line (RFC 8259).
    case json
}

/// One log event before formatting.
struct LogLine {
    var time: WallTime
    var level: LogLevel
    var message: String
    /// In reading order.
    var fields: [(key: String, value: String)]

    /// `time="…" level=info msg="…" key=value`: what logrus writes into a file.
    var text: String {
        var line = "time=\"\(time.rfc3339)\" level=\(level.name) msg=\(Self.quoted(message))"
        for (key, value) in fields { line += " \(Self.fieldKey(key))=\(Self.quoted(value))" }
        return line + "\n"
    }

    /// `INFO[0042] message   key=value`: what logrus writes on a terminal.
    ///
    /// - Parameter start: When the program started; the brackets hold the seconds since then.
    /// - Returns: The line with terminal color codes, ending with a newline.
    func coloredText(since start: WallTime) -> String {
        let color = "\u{1b}[\(level.color)m"
        let plain = "\u{1b}[0m"
        let seconds = String(max(0, time.seconds &- start.seconds))
        let padding = String(repeating: "0", count: max(0, 4 - seconds.utf8.count))
        var line = "\(color)\(level.abbreviation)\(plain)[\(padding)\(seconds)] "
        line += message.printable
        if fields.isEmpty { return line + "\n" }
        line += String(repeating: " ", count: max(0, 44 - message.count))
        for (key, value) in fields {
            line += " \(color)\(Self.fieldKey(key))\(plain)=\(Self.quoted(value))"
        }
        return line + "\n"
    }

    /// One JSON object; every value is a string, like logrus's text fields.
    var json: String {
        var pairs = [("time", time.rfc3339), ("level", level.name), ("msg", message)]
        for (key, value) in fields { pairs.append((Self.fieldKey(key), value)) }
        let members = pairs.map { "\(Self.jsonString($0)):\(Self.jsonString($1))" }
        return "{" + members.joined(separator: ",") + "}\n"
    }

    /// A field whose key clashes with one of the line's own is renamed, as in logrus.
    private static func fieldKey(_ key: String) -> String {
        ["time", "level", "msg"].contains(key) ? "fields.\(key)" : key
    }

    /// Bare if it consists of letters, digits and `-._/@^+`; otherwise quoted like Go's `%q`.
    static func quoted(_ value: String) -> String {
        let isBare = value.utf8.allSatisfy { octet in
            switch UInt8(octet) {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default:
                "-._/@^+".utf8.contains(octet)
            }
        }
        return isBare ? value : "\"\(value.printableInQuotes)\""
    }

    /// A JSON string (RFC 8259, section 7).
    private static func jsonString(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if scalar.isPrintable {
                    result.unicodeScalars.append(scalar)
                } else {
                    result += scalar.escapeInJSON
                }
            }
        }
        return result + "\""
    }
}
