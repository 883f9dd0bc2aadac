extension DHCPServer {
    /// Counters of messages by outcome.
    struct Counters: MetricGroup, Equatable {
        var offers: UInt64 = 0
        var acknowledgments: UInt64 = 0
        var refusals: UInt64 = 0
        var releases: UInt64 = 0
        var declines: UInt64 = 0
        /// Clients that found no free address.
        var exhausted: UInt64 = 0
        /// Datagrams that are not DHCP messages, or lack a field that their type requires.
        var malformed: UInt64 = 0
        /// Messages for another server or for a client.
        var ignored: UInt64 = 0

        static var metrics: [Metric<Counters>] {
            let family = MetricFamily(
                "DHCP",
                metric: "dhcp_messages",
                label: "outcome",
                "DHCP messages from guests, by outcome."
            )
            return [
                .member(\.offers, "offer", of: family),
                .member(\.acknowledgments, "ack", of: family),
                .member(\.refusals, "nak", of: family),
                .member(\.releases, "release", of: family),
                .member(\.declines, "decline", of: family),
                .member(\.exhausted, "exhausted", of: family),
                .member(\.malformed, "malformed", of: family),
                .member(\.ignored, "ignored", of: family),
            ]
        }
    }
}
