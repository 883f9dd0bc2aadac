import Testing

@testable import RDNetKit

@Suite("--limit-rate")
struct GuestLimitOptionTests {
    private let syntax = ValueSyntax<LinkRate>.linkRate

    @Test(
        "rates and their text",
        arguments: [
            ("50mbit", 50_000_000, 50_000_000, "50mbit"),
            ("10mbit/50MBIT", 10_000_000, 50_000_000, "10mbit/50mbit"),
            ("1500kbit", 1_500_000, 1_500_000, "1500kbit"),
            ("1000kbit/10gbit", 1_000_000, 10_000_000_000, "1mbit/10gbit"),
            ("1000001bit", 1_000_001, 1_000_001, "1000001bit"),
        ]
    )
    func reads(text: String, up: Int, down: Int, same: String) {
        let rate = syntax.parse(text)
        #expect(rate == LinkRate(fromGuest: up, toGuest: down))
        #expect(rate.map(syntax.text) == same)
    }

    @Test(
        "what is no rate",
        arguments: [
            "50", "mbit", "50 mbit", "-1mbit", "999kbit", "11gbit", "50mbit/", "/50mbit",
            "1mbit/2mbit/3mbit", "50mbps", "٥mbit", "9999999999999999999gbit",
            "9223372036854775807gbit",
        ]
    )
    func refuses(text: String) {
        #expect(syntax.parse(text) == nil)
    }
}
