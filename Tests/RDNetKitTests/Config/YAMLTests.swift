import Testing

@testable import RDNetKit

/// The subset of YAML that gvproxy's configuration uses.
@Suite struct YAMLTests {
    /// Returns a document as one JSON-like line, without line numbers.
    private func shape(_ node: YAMLNode) -> String {
        switch node.value {
        case .scalar(let text, let isQuoted):
            return isQuoted ? "\"\(text)\"" : node.isNull ? "null" : text
        case .sequence(let members):
            return "[" + members.map { shape($0) }.joined(separator: ",") + "]"
        case .mapping(let entries):
            let parts = entries.map { "\($0.key):\(shape($0.value))" }
            return "{" + parts.joined(separator: ",") + "}"
        }
    }

    @Test(
        "documents mean what people expect",
        arguments: [
            ("", "null"),
            ("# only a comment\n\n", "null"),
            ("---\na: 1\n...\n", "{a:1}"),
            ("a: 1\nb: two words # said\n", "{a:1,b:two words}"),
            ("a:\n  b: 1\n  c:\n    d: 2\ne: 3", "{a:{b:1,c:{d:2}},e:3}"),
            ("a:\n- 1\n- 2\nb: 3", "{a:[1,2],b:3}"),
            ("a:\n  - 1\n  -   x: 1\n      y: 2\n  - - p\n    - q\n", "{a:[1,{x:1,y:2},[p,q]]}"),
            ("- \n- 1\n-\n  a: 1\n", "[null,1,{a:1}]"),
            ("a:\nb: ~\nc: ''\n", "{a:null,b:null,c:\"\"}"),
            (
                "a: {b: [1, 'x, y', {c: d}], e: unix:///tmp/x}",
                "{a:{b:[1,\"x, y\",{c:d}],e:unix:///tmp/x}}"
            ),
            ("a: [\n  1, # one\n  2,\n]\nb: 3\n", "{a:[1,2],b:3}"),
            ("a: {}\nb: []\n", "{a:{},b:[]}"),
            ("udp:127.0.0.1:53: 192.168.127.2:53\n", "{udp:127.0.0.1:53:192.168.127.2:53}"),
            ("\"a b\" : 1\n'it''s': \"x\\ty\\u00e9\\x41\"\n", "{a b:1,it's:\"x\ty\u{e9}A\"}"),
            ("a: http://x/#y z\n", "{a:http://x/#y z}"),
            ("a: b\r\nc:\r\n  - d\r\n", "{a:b,c:[d]}"),
            ("plain", "plain"),
            ("{a: 1, b}", "{a:1,b:null}"),
            ("a: -5\nb: - not a list\n", "{a:-5,b:- not a list}"),
        ]
    )
    func means(_ text: String, _ expected: String) throws {
        #expect(shape(try YAMLParser.parse(text)) == expected)
    }

    @Test(
        "what is beyond is an error with its line",
        arguments: [
            ("a: 1\n\tb: 2\n", 2, "a tab cannot indent"),
            ("a: &x 1\n", 1, "an anchor"),
            ("a: 1\nb: *x\n", 2, "an alias"),
            ("a: !!str 1\n", 1, "a tag"),
            ("a: |\n  text\n", 1, "a text over several lines"),
            ("? a\n: b\n", 1, "a key of several parts"),
            ("a: 1\n---\nb: 2\n", 2, "a second document"),
            ("%YAML 1.2\n---\n", 1, "a directive"),
            ("a: 1\n  b: 2\n", 2, "indented deeper"),
            ("a: 1\nb\n", 2, "expected a key"),
            ("a: b: c\n", 1, "a map cannot begin after a key"),
            ("a: [1, 2\nb: 3\n", 2, "expected , or ]"),
            ("a: [1, 2\n", 2, "not closed"),
            ("a: {b: 1\n", 2, "not closed"),
            ("a: \"x\n", 1, "does not end in its line"),
            ("a: 'x\n", 1, "does not end in its line"),
            ("a: \"\\q\"\n", 1, "is not an escape sequence"),
            ("a: \"\\ud800\"\n", 1, "is not a character number"),
            ("a: \"x\" y\n", 1, "expected the end of the line"),
            ("a: 1\n\na: 2\n", 3, "the key \"a\" is repeated"),
            ("{a: 1, a: 2}", 1, "the key \"a\" is repeated"),
            ("- 1\na: 2\n", 2, "expected a key"),
            ("a: `x`\n", 1, "a text that begins with @ or `"),
        ]
    )
    func refuses(_ text: String, line: Int, reason: String) {
        do throws(YAMLError) {
            let node = try YAMLParser.parse(text)
            Issue.record("understood as \(shape(node))")
        } catch {
            #expect(error.line == line)
            #expect(error.reason.contains(reason), "\(error)")
        }
    }

    @Test("depth is bounded in block and in flow style")
    func boundsDepth() {
        let flow = String(repeating: "[", count: 40)
        let block = String(repeating: "- ", count: 40) + "x"
        for text in [flow, block] {
            #expect(throws: YAMLError(line: 1, reason: "deeper than 32 levels")) {
                try YAMLParser.parse(text)
            }
        }
    }

    @Test("a file too long is refused before it is read")
    func boundsLength() {
        let text = String(repeating: " ", count: YAMLParser.maximumLength + 1)
        #expect(throws: YAMLError.self) { try YAMLParser.parse(text) }
    }

    @Test("made-up texts never crash and never hang", arguments: 0..<20 as Range<UInt64>)
    func survivesGarbage(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let alphabet = Array("ab:- \n\t#\"'[]{},&*!|>\\?%.0é~\r".utf8)
        for _ in 0..<2_000 {
            let count = Int.random(in: 0...60, using: &random)
            let octets = (0..<count).map { _ in
                alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
            }
            let text = String(decoding: octets, as: UTF8.self)
            do throws(YAMLError) {
                _ = try YAMLParser.parse(text)
            } catch {
                #expect(error.line >= 1)
            }
        }
    }

    @Test("values say what was expected of them, and where")
    func convertsValues() throws {
        let entries = try YAMLParser.parse("n: 0x10\nb: Yes\nt: abc\nl: [1]\nz:\n").map("document")
        let values = entries.map(\.value)
        #expect(try values[0].integer("n") == 16)
        #expect(try values[1].boolean("b"))
        #expect(try values[4].integer("z") == nil)
        #expect(try values[4].list("z").isEmpty)
        #expect(
            throws: YAMLError(line: 3, reason: "t: expected a whole number, found \"abc\"")
        ) { try values[2].integer("t") }
        #expect(throws: YAMLError(line: 4, reason: "l: expected a text, found a list")) {
            try values[3].text("l")
        }
        #expect(throws: YAMLError(line: 3, reason: "t: expected a map, found a value")) {
            try values[2].map("t")
        }
    }
}
