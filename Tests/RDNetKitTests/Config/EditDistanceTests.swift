import Testing

@testable import RDNetKit

@Suite("edit distance")
struct EditDistanceTests {
    @Test(
        "counts insertions, deletions, replacements and swaps",
        arguments: [
            ("", "", 0), ("a", "", 1), ("", "abc", 3), ("up", "up", 0), ("pu", "up", 1),
            ("host-swtich", "host-switch", 1), ("vmswitch", "vm-switch", 1),
            ("kitten", "sitting", 3), ("ca", "abc", 3),
        ]
    )
    func counts(one: String, other: String, expected: Int) {
        #expect(EditDistance.between(one, other) == expected)
        #expect(EditDistance.between(other, one) == expected)
    }

    @Test(
        "finds the nearest, and says so only when it is likely",
        arguments: [
            ("hostswitch", "host-switch", "host-switch"),
            ("vm-swich", "vm-switch", "vm-switch"),
            ("upp", "up", "up"),
            ("zzz", "up", nil),
        ] as [(String, String, String?)]
    )
    func nearest(word: String, nearest: String, likely: String?) {
        let names = ["host-switch", "vm-switch", "up"]
        #expect(EditDistance.nearest(to: word, in: names) == nearest)
        #expect(EditDistance.likely(for: word, in: names) == likely)
    }

    @Test func `a word of a million octets costs no more than one of 64`() {
        let word = String(repeating: "x", count: 1_000_000)
        #expect(EditDistance.nearest(to: word, in: ["up", "host-switch"]) == "up")
    }
}
