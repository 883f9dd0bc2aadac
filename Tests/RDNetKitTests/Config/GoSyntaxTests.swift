import Testing

@testable import RDNetKit

@Suite("Go's values")
struct GoSyntaxTests {
    @Test(
        "an integer is read as strconv.ParseInt with base 0 reads it",
        arguments: [
            ("0", 0), ("7", 7), ("+7", 7), ("-7", -7), ("-0", 0),
            ("0x1f", 31), ("0X1F", 31), ("0o17", 15), ("0O17", 15), ("017", 15), ("00", 0),
            ("0b101", 5), ("0B101", 5), ("-0x10", -16), ("1_000", 1000),
            ("0x_1f", 31), ("0b1_0", 2), ("0_17", 15), ("0o_1_7", 15),
            ("9223372036854775807", Int.max), ("-9223372036854775808", Int.min),
        ]
    )
    func integer(text: String, expected: Int) {
        #expect(GoSyntax.integer(text) == expected)
    }

    @Test(
        "what strconv.ParseInt refuses is no integer",
        arguments: [
            "", "+", "-", "--1", "+-1", "x", "1x", " 1", "1 ", "1.0", "1e3", "08", "0o8", "0b2",
            "0xg",
            "0x", "0b", "0o", "_1", "0x1_", "0x__1", "0_", "1__0", "0x-1", "0x+1", "0+1",
            "9223372036854775808", "-9223372036854775809", "99999999999999999999", "١",
        ]
    )
    func noInteger(text: String) {
        #expect(GoSyntax.integer(text) == nil)
    }

    @Test(
        "a truth value is one of Go's twelve words",
        arguments: [
            ("1", true), ("t", true), ("T", true), ("true", true), ("TRUE", true), ("True", true),
            ("0", false), ("f", false), ("F", false), ("false", false), ("FALSE", false),
            ("False", false), ("", nil), ("yes", nil), ("no", nil), ("on", nil), ("tRUE", nil),
            ("2", nil), (" true", nil),
        ] as [(String, Bool?)]
    )
    func boolean(text: String, expected: Bool?) {
        #expect(GoSyntax.boolean(text) == expected)
    }
}
