import Testing

@testable import RDNetKit

@Suite("configuration file")
struct ConfigurationFileTests {
    private func parse(_ text: String) throws(ConfigurationError) -> ConfigurationFile {
        try ConfigurationFile(path: "f", text: text)
    }

    private func entry(_ section: String, _ key: String, _ value: String, _ line: Int)
        -> ConfigurationFile.Entry
    {
        .init(section: section, key: key, value: value, line: line)
    }

    @Test func `keys belong to the section above them, and lines are counted from 1`() throws {
        let file = try parse("# head\n\n[network]\nmtu = 9000\n[up]\napi=unix:///a\n")
        #expect(file.sections == [.init(name: "network", line: 3), .init(name: "up", line: 5)])
        #expect(
            file.entries == [
                entry("network", "mtu", "9000", 4), entry("up", "api", "unix:///a", 6),
            ]
        )
    }

    @Test(
        "a line's white space and comment do not count",
        arguments: [
            ("k=v", "v"), ("  k\t=  v  ", "v"), ("k = v\r", "v"), ("k = v # why", "v"),
            ("k = v#1", "v#1"), ("k = a=b", "a=b"), ("k =", ""), ("k = # nothing", ""),
            ("k = two words", "two words"), ("k = é", "é"),
        ]
    )
    func value(line: String, expected: String) throws {
        #expect(try parse("[s]\n" + line).entries == [entry("s", "k", expected, 2)])
    }

    @Test(
        "a line that is nothing is refused with its number",
        arguments: [
            (
                "[s]\nnonsense",
                ConfigurationError.malformedLine("nonsense", source: .file(path: "f", line: 2))
            ),
            ("\n[s", .malformedLine("[s", source: .file(path: "f", line: 2))),
            ("[]", .malformedLine("[]", source: .file(path: "f", line: 1))),
            ("[", .malformedLine("[", source: .file(path: "f", line: 1))),
            ("[s]\n= v", .malformedLine("= v", source: .file(path: "f", line: 2))),
            ("#\nk = v", .keyOutsideSection("k", source: .file(path: "f", line: 2))),
        ]
    )
    func refused(text: String, expected: ConfigurationError) {
        #expect(throws: expected) { try parse(text) }
    }

    @Test func `random octets are taken apart or refused, never more`() {
        for seed in 0..<2000 {
            var generator = SplitMix64(state: UInt64(seed))
            let alphabet = Array("[]=# \t\r\nab\u{0}é".utf8)
            let octets = (0..<Int.random(in: 0..<60, using: &generator)).map { _ in
                alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]
            }
            let text = String(decoding: octets, as: UTF8.self)
            let lines = text.utf8.count { $0 == UInt8(ascii: "\n") } + 1
            do throws(ConfigurationError) {
                let file = try parse(text)
                #expect(
                    file.entries.allSatisfy { !$0.key.isEmpty && $0.line <= lines },
                    "seed \(seed)"
                )
            } catch {
                #expect(error.description.hasPrefix("f:"), "seed \(seed)")
            }
        }
    }
}

/// A small seeded generator (Steele, Lea, Flood 2014), which makes failures reproducible.
private struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
