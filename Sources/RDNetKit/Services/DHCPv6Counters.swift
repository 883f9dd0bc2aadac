extension DHCPv6Server {
    /// Counters of messages by outcome.
    struct Counters: MetricGroup, Equatable {
        var advertisements: UInt64 = 0
        var replies: UInt64 = 0
        /// Addresses of other links or machines, and messages by unicast.
        var refusals: UInt64 = 0
        var releases: UInt64 = 0
        var declines: UInt64 = 0
        /// Clients that found no free address.
        var exhausted: UInt64 = 0
        /// Datagrams that are not DHCPv6 messages.
        var malformed: UInt64 = 0
        /// Messages that a server must discard, and those of relay agents.
        var ignored: UInt64 = 0

        static var metrics: [Metric<Counters>] {
            let family = MetricFamily(
                "DHCPv6",
                metric: "dhcpv6_messages",
                label: "outcome",
                "DHCPv6 messages from guests, by outcome."
            )
            return [
                .member(\.advertisements, "advertise", of: family),
                .member(\.replies, "reply", of: family),
                .member(\.refusals, "refuse", of: family),
                .member(\.releases, "release", of: family),
                .member(\.declines, "decline", of: family),
                .member(\.exhausted, "exhausted", of: family),
                .member(\.malformed, "malformed", of: family),
                .member(\.ignored, "ignored", of: family),
            ]
        }
    }
}
