import Testing

@testable import RDNetKit

@Suite("JSON")
struct JSONTests {
    private static let record = JSONRecord(
        name: "ExposeRequest",
        fields: [("local", "string"), ("protocol", "types.TransportProtocol")]
    )

    @Test(
        "refuses what is no JSON with the sentences of Go's decoder",
        arguments: [
            ("", "EOF"),
            (" \r\n\t", "EOF"),
            ("garbage", "invalid character 'g' looking for beginning of value"),
            ("}", "invalid character '}' looking for beginning of value"),
            ("'a'", "invalid character '\\'' looking for beginning of value"),
            ("\u{1}", "invalid character '\\x01' looking for beginning of value"),
            ("é", "invalid character 'Ã' looking for beginning of value"),
            ("{", "unexpected EOF"),
            ("{\"a\":1", "unexpected EOF"),
            ("\"abc", "unexpected EOF"),
            ("-", "unexpected EOF"),
            ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("{\"a\":01}", "invalid character '1' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("trve", "invalid character 'v' in literal true (expecting 'u')"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1e+x", "invalid character 'x' in exponent of numeric literal"),
            ("\"\n\"", "invalid character '\\n' in string literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"),
            (String(repeating: "[", count: 65), "exceeded max depth"),
            ("[" + String(repeating: "0,", count: 20_000), "too many values"),
        ]
    )
    func refusal(text: String, sentence: String) {
        let error = #expect(throws: JSONError.self) { try JSONParser.parse(Array(text.utf8)) }
        #expect(error?.description == sentence)
    }

    @Test(
        "reads every kind of value and writes it as Go does",
        arguments: [
            ("null", "null"),
            (" true ", "true"),
            ("-0.5e+10", "-0.5e+10"),
            ("5garbage", "5"),
            ("[ ] x", "[]"),
            ("{ }", "{}"),
            ("[1, \"a\", {\"b\" : false}]", "[1,\"a\",{\"b\":false}]"),
            ("\"\\u0041\\n\\/\\b\"", "\"A\\n/\\u0008\""),
            ("\"\\ud83d\\ude00\"", "\"😀\""),
            ("\"\\ud83d\\u0041\"", "\"\u{fffd}A\""),
            ("\"\\udc00\"", "\"\u{fffd}\""),
            ("\"<&>\u{2028}\"", "\"\\u003c\\u0026\\u003e\\u2028\""),
        ]
    )
    func reading(text: String, written: String) throws {
        let value = try JSONParser.parse(Array(text.utf8))
        #expect(String(decoding: value.octets, as: UTF8.self) == written)
    }

    @Test(
        "fills a record in any case of letters, the last member of a name wins",
        arguments: [
            ("{\"local\":\":1\",\"x\":[]}", [("local", ":1")]),
            ("{\"LOCAL\":\":1\",\"Protocol\":\"udp\"}", [("local", ":1"), ("protocol", "udp")]),
            ("{\"local\":\":1\",\"Local\":\":2\"}", [("local", ":2")]),
            ("{\"local\":\":1\",\"local\":null}", [("local", ":1")]),
            ("null", []),
        ]
    )
    func record(text: String, fields: [(String, String)]) throws {
        let value = try JSONParser.parse(Array(text.utf8))
        #expect(try Self.record.read(value) == Dictionary(uniqueKeysWithValues: fields))
    }

    @Test(
        "names the kind and the field of a value that is no string",
        arguments: [
            ("[]", "array into Go value of type types.ExposeRequest"),
            ("5", "number into Go value of type types.ExposeRequest"),
            ("{\"Local\":5}", "number into Go struct field ExposeRequest.local of type string"),
            ("{\"local\":{}}", "object into Go struct field ExposeRequest.local of type string"),
            (
                "{\"protocol\":true}",
                "bool into Go struct field ExposeRequest.protocol of type types.TransportProtocol"
            ),
        ]
    )
    func wrongKind(text: String, rest: String) throws {
        let value = try JSONParser.parse(Array(text.utf8))
        let error = #expect(throws: JSONError.self) { try Self.record.read(value) }
        #expect(error?.description == "json: cannot unmarshal " + rest)
    }
}
