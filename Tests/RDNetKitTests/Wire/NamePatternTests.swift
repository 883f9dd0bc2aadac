import Testing

@testable import RDNetKit

@Suite("name pattern")
struct NamePatternTests {
    @Test(
        "matches what RE2 would, anywhere in the name, in any case",
        arguments: [
            ("", ["", "x"], []),
            ("api", ["api", "API", "my-api-2"], ["ap", ""]),
            ("^api$", ["api", "Api"], ["apix", "xapi"]),
            (#"crc-(.*?)-master-0"#, ["crc-4x9b-master-0", "crc--master-0"], ["crc-master-0"]),
            (#"^(.*)\.apps$"#, ["a.apps", ".apps", "a.b.apps"], ["aapps", "apps"]),
            ("^(a|b|)c$", ["ac", "bc", "c"], ["abc", "dc"]),
            ("^[a-c0-2_-]+$", ["a-1_C"], ["d", "3", ""]),
            ("^[^a-c]+$", ["xyz"], ["xaz", "A"]),
            ("^[]a]$", ["]", "a"], ["b"]),
            ("^[a-]$", ["-", "a"], ["b"]),
            (#"^[\w.]+$"#, ["a_1.B"], ["a-b"]),
            (#"^[[:alpha:][:digit:]]+$"#, ["a1Z"], ["a-1"]),
            ("^[[:^alpha:]]+$", ["1-2"], ["a"]),
            (#"^\d{2,3}$"#, ["12", "123"], ["1", "1234", "ab"]),
            ("^a{2}$", ["aa"], ["a", "aaa"]),
            ("^a{2,}$", ["aa", "aaaaa"], ["a"]),
            ("^a{0}b$", ["b"], ["ab"]),
            ("^a{,2}$", ["a{,2}"], ["aa"]),
            ("^(ab)+?c??$", ["ab", "ababc"], ["aab", "abcc"]),
            ("^(?:x|yz)*$", ["", "xyzx"], ["y"]),
            ("^(?P<name>a)(?<other>b)$", ["ab"], ["a"]),
            ("(?i)^HOST(?-i:x)$", ["hostX"], ["host"]),
            (#"\bapi\b"#, ["x.api.y", "api"], ["apis", "xapi"]),
            (#"a\Bb"#, ["ab"], ["a.b"]),
            (#"\Aa\.b\z"#, ["a.b"], ["axb"]),
            (#"^\Qa.b*\E$"#, ["a.b*"], ["axb*"]),
            (#"^\x41\x{42}\103$"#, ["abc"], ["abd"]),
            (#"^\S+\D$"#, ["1a"], ["a1"]),
            ("(a*)*$", ["", "b"], []),
            ("(|a)+b", ["b", "aab"], ["a"]),
            ("é", [], ["e"]),
        ] as [(String, [String], [String])]
    )
    func matches(text: String, good: [String], bad: [String]) throws {
        let pattern = try NamePattern(text)
        for name in good { #expect(pattern.matches(name.utf8), "\(name)") }
        for name in bad { #expect(!pattern.matches(name.utf8), "\(name)") }
    }

    @Test(
        "what is no expression is told in Go's words",
        arguments: [
            ("(", "missing closing ): `(`"), ("a(b|c", "missing closing ): `a(b|c`"),
            ("(?i", "missing closing ): `(?i`"), ("a)", "unexpected ): `a)`"),
            ("[a-z", "missing closing ]: `[a-z`"), ("a[", "missing closing ]: `[`"),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("a|+", "missing argument to repetition operator: `+`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a*?+", "invalid nested repetition operator: `*?+`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{3,2}", "invalid repeat count: `{3,2}`"),
            (#"a\"#, "trailing backslash at end of expression: ``"),
            (#"\q"#, #"invalid escape sequence: `\q`"#),
            (#"\1"#, #"invalid escape sequence: `\1`"#),
            (#"\x4"#, #"invalid escape sequence: `\x4`"#),
            (#"\x{110000}"#, #"invalid escape sequence: `\x{110000}`"#),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?P<a", "invalid named capture: `(?P<a`"),
            ("(?P<x y>a)", "invalid named capture: `(?P<x y>`"),
            ("(?P<>a)", "invalid named capture: `(?P<>`"),
            (#"a\pL"#, #"unsupported Unicode class: `\pL`"#),
            (#"[\p{Greek}]"#, #"unsupported Unicode class: `\p{Greek}`"#),
        ]
    )
    func errors(text: String, sentence: String) {
        let error = #expect(throws: NamePatternError.self) { try NamePattern(text) }
        #expect(error?.description == "error parsing regexp: " + sentence)
    }

    @Test(
        "what would grow without bound is too large",
        arguments: [
            String(repeating: "a", count: 1_025), "(a{1000}){1000}", "((((){1000}){1000}){1000})",
            "(a?){1000}(b?){1000}",
        ]
    )
    func tooLarge(text: String) {
        let error = #expect(throws: NamePatternError.self) { try NamePattern(text) }
        #expect(error?.reason == .tooLarge)
    }

    @Test func `groups nest to a limit`() throws {
        let text = { String(repeating: "(", count: $0) + "a" + String(repeating: ")", count: $0) }
        #expect(try NamePattern(text(NamePatternParser.maximumDepth)).matches("A".utf8))
        let error = #expect(throws: NamePatternError.self) {
            try NamePattern(text(NamePatternParser.maximumDepth + 1))
        }
        #expect(error?.reason == .tooDeep)
    }

    @Test("the worst expression is as quick as its size says", arguments: ["(a+)+$", "(a|aa)+$"])
    func linearTime(text: String) throws {
        let pattern = try NamePattern("^" + text)
        let name = String(repeating: "a", count: 252) + "b"
        let elapsed = ContinuousClock().measure { #expect(!pattern.matches(name.utf8)) }
        // This takes tens of microseconds; a backtracking matcher would practically never return.
        #expect(elapsed < hangGuard)
    }

    @Test("agrees with the standard library about expressions of chance", arguments: 0..<20)
    func agreement(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<50 {
            let text = Self.expression(depth: 2, &random)
            let pattern = try NamePattern(text)
            let other = try Regex(text).ignoresCase()
            for _ in 0..<10 {
                let length = Int.random(in: 0...8, using: &random)
                let letters = (0..<length).map { _ in "abAB.-".randomElement(using: &random) }
                let name = String(letters.compactMap { $0 })
                let expected = try other.firstMatch(in: name) != nil
                #expect(pattern.matches(name.utf8) == expected, "\(text) and \(name), seed \(seed)")
            }
        }
    }

    /// Returns an expression that is small enough for a backtracking matcher.
    private static func expression(depth: Int, _ random: inout SeededRandom) -> String {
        let atoms = ["a", "B", "[ab]", "[^a]", ".", #"\."#, "-", #"\w"#, "b$", "^a"]
        guard depth > 0 else { return atoms.randomElement(using: &random) ?? "a" }
        let parts = (0..<Int.random(in: 1...3, using: &random)).map { _ in
            let inner = expression(depth: depth - 1, &random)
            let suffix = ["", "", "*", "+", "?", "{1,2}", "*?"].randomElement(using: &random) ?? ""
            return suffix.isEmpty ? inner : "(?:\(inner))\(suffix)"
        }
        let joined = parts.joined()
        return Bool.random(using: &random) ? joined : "(\(joined)|ab)"
    }
}
