import Testing

@testable import RDNetKit

@Suite("log line")
struct LogLineTests {
    private static let time = WallTime(seconds: 1_700_000_000, utcOffset: 3600)

    private func line(
        _ message: String,
        _ fields: KeyValuePairs<String, String> = [:],
        level: LogLevel = .info
    ) -> LogLine {
        LogLine(time: Self.time, level: level, message: message, fields: Array(fields))
    }

    @Test(
        "a value is quoted when it holds more than letters, digits and -._/@^+",
        arguments: [
            ("", ""),
            ("eth0", "eth0"),
            ("a-b.c_d/e@f^g+h", "a-b.c_d/e@f^g+h"),
            ("two words", "\"two words\""),
            ("192.168.127.2:80", "\"192.168.127.2:80\""),
            ("a=b", "\"a=b\""),
            ("say \"hi\"", "\"say \\\"hi\\\"\""),
            ("back\\slash", "\"back\\\\slash\""),
            ("a\nb\tc\rd", "\"a\\nb\\tc\\rd\""),
            ("\u{1b}[31m", "\"\\x1b[31m\""),
            ("\u{7f}", "\"\\x7f\""),
            ("é", "\"é\""),
            ("\u{85}", "\"\\u0085\""),
            ("\u{202e}", "\"\\u202e\""),
            ("\u{e0001}", "\"\\U000e0001\""),
        ]
    )
    func valueIsQuoted(value: String, expected: String) {
        #expect(LogLine.quoted(value) == expected)
    }

    @Test func `text is logrus' time, level, msg and fields`() {
        let text = line("lease given", ["mac": "5a:94:ef:e4:0c:ee", "link": "tap0"]).text
        let expected =
            #"time="2023-11-14T23:13:20+01:00" level=info msg="lease given" "#
            + #"mac="5a:94:ef:e4:0c:ee" link=tap0"# + "\n"
        #expect(text == expected)
    }

    @Test func `a message of one word is bare in text`() {
        let text = line("ready", level: .debug).text
        #expect(text == "time=\"2023-11-14T23:13:20+01:00\" level=debug msg=ready\n")
    }

    @Test func `a field that takes one of the line's own keys is renamed`() {
        #expect(line("x", ["level": "3"]).text.hasSuffix(" msg=x fields.level=3\n"))
        #expect(line("x", ["msg": "y"]).json.contains("\"fields.msg\":\"y\""))
    }

    @Test(
        "a colored line begins with the level's color and four letters",
        arguments: [
            (LogLevel.debug, "\u{1b}[37mDEBU\u{1b}[0m[0007] hi\n"),
            (.info, "\u{1b}[36mINFO\u{1b}[0m[0007] hi\n"),
            (.warning, "\u{1b}[33mWARN\u{1b}[0m[0007] hi\n"),
            (.error, "\u{1b}[31mERRO\u{1b}[0m[0007] hi\n"),
            (.fatal, "\u{1b}[31mFATA\u{1b}[0m[0007] hi\n"),
        ]
    )
    func coloredLine(level: LogLevel, expected: String) {
        let start = WallTime(seconds: Self.time.seconds - 7, utcOffset: 3600)
        #expect(line("hi", level: level).coloredText(since: start) == expected)
    }

    @Test func `a colored line's fields begin in one column`() {
        let text = line("hi", ["a": "b c"]).coloredText(since: Self.time)
        let padding = String(repeating: " ", count: 42)
        let expected =
            "\u{1b}[36mINFO\u{1b}[0m[0000] hi\(padding) \u{1b}[36ma\u{1b}[0m=\"b c\"\n"
        #expect(text == expected)
    }

    @Test func `a message cannot send codes to the terminal`() {
        let text = line("\u{1b}]0;title\u{7}").coloredText(since: Self.time)
        #expect(text.contains("\\x1b]0;title\\x07"))
    }

    @Test func `JSON is one object a line, escaped as RFC 8259 section 7 says`() {
        let json = line("a \"b\"\\\n\u{1}é", ["k": "v"], level: .error).json
        let expected =
            #"{"time":"2023-11-14T23:13:20+01:00","level":"error","#
            + #""msg":"a \"b\"\\\n\u0001é","k":"v"}"# + "\n"
        #expect(json == expected)
    }

    @Test(
        "a moment is written as RFC 3339 says",
        arguments: [
            (Int64(0), Int64(0), "1970-01-01T00:00:00Z"),
            (-1, 0, "1969-12-31T23:59:59Z"),
            (951_827_696, 0, "2000-02-29T12:34:56Z"),
            (951_868_800, 0, "2000-03-01T00:00:00Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00Z"),
            (1_700_000_000, -12_600, "2023-11-14T18:43:20-03:30"),
            (1_703_980_800, 45_900, "2023-12-31T12:45:00+12:45"),
            (1_703_980_800, -86_399, "2023-12-30T00:00:01-23:59"),
        ]
    )
    func moment(seconds: Int64, utcOffset: Int64, expected: String) {
        #expect(WallTime(seconds: seconds, utcOffset: utcOffset).rfc3339 == expected)
    }
}
