import Testing

@testable import RDNetKit

@Suite("short options in one word")
struct ShortOptionsTests {
    private func separated(_ words: String) -> String {
        ShortOptions.separated(
            words.split(separator: " ").map { String($0) },
            valued: "erm",
            plain: "c6"
        ).joined(separator: " ")
    }

    @Test(
        "as getopt_long(3) reads them",
        arguments: [
            ("-c -e 3 -r 4", "-c -e 3 -r 4"),
            ("-ce3", "-c -e 3"),
            ("-c6m1500 7 tap0", "-c -6 -m 1500 7 tap0"),
            ("-cr 4", "-c -r 4"),
            ("--mtu=1500 -m9000", "--mtu=1500 -m 9000"),
            ("-cx", "-cx"),
            ("-sandbox off", "-sandbox off"),
            ("-- -ce3", "-- -ce3"),
            ("- -c", "- -c"),
        ]
    )
    func words(words: String, meaning: String) {
        #expect(separated(words) == meaning)
    }
}
