/// How much of the host's network the guests of one link may use; nil for no limit.
struct GuestLimits: Equatable, Sendable {
    var rate: LinkRate?
    /// TCP connections that guests have opened, and as many UDP and echo flows each.
    var flows: Int?

    /// More would be no limit: fewer than the connections that all guests together may have.
    static let maximumFlows = 100_000
}

/// How fast frames of a guest may travel in each direction, in bits per second.
struct LinkRate: Equatable, Sendable {
    /// A slower link would need longer than half a second for the longest frame.
    static let allowed = 1_000_000...10_000_000_000

    var fromGuest: Int
    var toGuest: Int
}

extension Option<GuestLimits> {
    /// The limits of a guest, for every role that provides a network.
    static let limits = [
        Option(
            "limit-rate",
            \.rate,
            .optional(.linkRate),
            unset: "none",
            help: "how fast a guest may send and receive, such as 50mbit or 10mbit/50mbit",
            reason: """
                Each guest's link has the rate, in each direction; of two rates, the first is the \
                guest's upload. Units are bit, kbit, mbit and gbit as in tc(8). Traffic to the \
                guest is delayed without loss; traffic from it loses an occasional packet. All \
                frames count, also those between guests.
                """
        ),
        Option(
            "limit-flows",
            \.flows,
            .optional(.integer(1...GuestLimits.maximumFlows, "COUNT")),
            unset: "none",
            help: "how many connections a guest may have open",
            reason: """
                Each guest's link may have as many TCP connections of its own, as many UDP ports, \
                and as many pings. A further TCP connection is refused; for a further UDP port or \
                ping, the one that was idle longest gives way. Published ports do not count.
                """
        ),
    ]
}

extension ValueSyntax where Value == LinkRate {
    /// One rate for both directions, or the guest's upload and download.
    static let linkRate = ValueSyntax(
        placeholder: "RATE[/RATE]",
        expected: "a rate from 1mbit to 10gbit such as 50mbit, or two such as 10mbit/50mbit",
        parse: { text in
            let rates = text.split(separator: "/", omittingEmptySubsequences: false)
            guard rates.count <= 2, let up = bits(rates[0]), let down = bits(rates[rates.count - 1])
            else { return nil }
            return LinkRate(fromGuest: up, toGuest: down)
        },
        text: { rate in
            let (up, down) = (units(rate.fromGuest), units(rate.toGuest))
            return up == down ? up : "\(up)/\(down)"
        }
    )

    /// The units in ascending order, with their bits per second.
    private static var scale: [(name: String, bits: Int)] {
        [("bit", 1), ("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000)]
    }

    /// The bits per second that a text names; nil if the unit is missing, or a guest may not have
    /// the rate.
    private static func bits(_ text: Substring) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count).lowercased()
        guard let number = Int(digits), let factor = scale.first(where: { $0.name == unit })
        else { return nil }
        let (product, overflows) = number.multipliedReportingOverflow(by: factor.bits)
        return !overflows && LinkRate.allowed.contains(product) ? product : nil
    }

    private static func units(_ bits: Int) -> String {
        let unit = scale.last { bits % $0.bits == 0 } ?? scale[0]
        return "\(bits / unit.bits)\(unit.name)"
    }
}
