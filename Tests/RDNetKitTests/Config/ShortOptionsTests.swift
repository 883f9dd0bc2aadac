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

    @Test(
        "another program's command line stays as it is",
        arguments: [
            ("-cm9000 ls -cm9000", "-c -m 9000 ls -cm9000"),
            ("-cm 9000 ls -ce3", "-c -m 9000 ls -ce3"),
            ("--mtu 9000 --name=x -ce3 ls -ce3", "--mtu 9000 --name=x -c -e 3 ls -ce3"),
            ("--mtu -ce3 -c ls -ce3", "--mtu -ce3 -c ls -ce3"),
            ("-c -- -ce3", "-c -- -ce3"),
            ("- -ce3", "- -ce3"),
            ("-cm", "-c -m"),
        ]
    )
    func beforeOperands(words: String, meaning: String) {
        let separated = ShortOptions.separatedBeforeOperands(
            words.split(separator: " ").map { String($0) },
            valued: "erm",
            plain: "c6",
            valuedNames: ["e", "r", "m", "mtu", "name"]
        )
        #expect(separated.joined(separator: " ") == meaning)
    }
}
