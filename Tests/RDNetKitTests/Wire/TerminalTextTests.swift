import Testing

@testable import RDNetKit

/// Rows of rdnet-security(7): what guests and servers can do with a terminal.
@Suite("text for a terminal")
struct TerminalTextTests {
    /// Characters that act on a terminal, are invisible or reorder others; and their escapes.
    static let hostile: [(String, escape: String, inJSON: String)] = [
        ("\u{0}", "\\x00", "\\u0000"), ("\u{7}", "\\x07", "\\u0007"),
        ("\u{1b}", "\\x1b", "\\u001b"), ("\u{7f}", "\\x7f", "\\u007f"),
        ("\u{80}", "\\u0080", "\\u0080"), ("\u{9b}", "\\u009b", "\\u009b"),
        ("\u{9f}", "\\u009f", "\\u009f"), ("\u{ad}", "\\u00ad", "\\u00ad"),
        ("\u{61c}", "\\u061c", "\\u061c"), ("\u{200b}", "\\u200b", "\\u200b"),
        ("\u{200c}", "\\u200c", "\\u200c"), ("\u{200d}", "\\u200d", "\\u200d"),
        ("\u{200e}", "\\u200e", "\\u200e"), ("\u{200f}", "\\u200f", "\\u200f"),
        ("\u{2028}", "\\u2028", "\\u2028"), ("\u{2029}", "\\u2029", "\\u2029"),
        ("\u{202a}", "\\u202a", "\\u202a"), ("\u{202e}", "\\u202e", "\\u202e"),
        ("\u{2060}", "\\u2060", "\\u2060"), ("\u{2066}", "\\u2066", "\\u2066"),
        ("\u{2069}", "\\u2069", "\\u2069"), ("\u{feff}", "\\ufeff", "\\ufeff"),
        ("\u{e0001}", "\\U000e0001", "\\udb40\\udc01"),
    ]

    private static func log(_ text: String) -> LogLine {
        LogLine(
            time: WallTime(seconds: 0, utcOffset: 0),
            level: .info,
            message: text,
            fields: [("name", text)]
        )
    }

    @Test("a hostile character is escaped everywhere", arguments: hostile)
    func isEscaped(character: String, escape: String, inJSON: String) {
        let text = "a" + character + "b"
        #expect(text.printable == "a\(escape)b")
        #expect(text.printableLines == "a\(escape)b")
        #expect(Self.log(text).text.hasSuffix(#" msg="a\#(escape)b" name="a\#(escape)b""# + "\n"))
        let colored = Self.log(text).coloredText(since: WallTime(seconds: 0, utcOffset: 0))
        #expect(colored.contains("] a\(escape)b") && colored.hasSuffix("\"a\(escape)b\"\n"))
        #expect(
            Self.log(text).json.hasSuffix(#""msg":"a\#(inJSON)b","name":"a\#(inJSON)b"}"# + "\n")
        )
        let table = TextTable(columns: [.words("NAME")], rows: [[text]]).text
        #expect(table == "NAME\na\(escape)b\n")
        let document = String(decoding: JSON.string(text).octets, as: UTF8.self)
        #expect(document == "\"a\(inJSON)b\"")
    }

    @Test("a document of another program is escaped and has the same value", arguments: hostile)
    func document(character: String, escape: String, inJSON: String) throws {
        guard character.unicodeScalars.allSatisfy({ $0.value >= 0x20 }) else { return }
        let raw = "{\"a\":\r\n\t\"x\(character)\"}\n"
        #expect(raw.printableJSON == "{\"a\":\n\t\"x\(inJSON)\"}\n")
        let values = try [raw, raw.printableJSON].map { try JSONParser.parse(Array($0.utf8)) }
        #expect(values[0] == values[1])
    }

    @Test func `a line end begins no line of its own`() {
        let text = "a\nlevel=fatal\rb\tc"
        #expect(text.printable == "a\\nlevel=fatal\\rb\\tc")
        #expect(text.printableLines == "a\nlevel=fatal\\rb\\tc")
    }

    @Test func `bytes that are not UTF-8 are one visible character each`() {
        let text = String(decoding: [0x61, 0xff, 0x9b, 0x62], as: UTF8.self)
        #expect(text.printable == "a\u{fffd}\u{fffd}b")
    }

    @Test("other text stays as it is", arguments: ["", "a b", "é", "日本", "e\u{301}", "\\x1b", "😀"])
    func plain(text: String) {
        #expect(text.printable == text && text.printableJSON == text)
    }

    @Test func `a table for a terminal cuts long values, one for a file does not`() {
        var table = TextTable(columns: [.words("A"), .words("B")], rows: [["0123456789", "x"]])
        #expect(table.text == "A           B\n0123456789  x\n")
        table.cellWidth = 10
        #expect(table.text == "A           B\n0123456789  x\n")
        table.cellWidth = 9
        #expect(table.text == "A          B\n01234567…  x\n")
    }
}
