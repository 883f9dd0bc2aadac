/// Counters of the DNS service.
struct DNSCounters: MetricGroup, Equatable {
    /// Accepted queries, over UDP and streams.
    var queries: UInt64 = 0
    /// Accepted queries over streams.
    var streamQueries: UInt64 = 0
    /// Queries answered from localhost, the zones, the hosts file and the reverse zones.
    var local: UInt64 = 0
    /// Messages answered with an error code because of their own content.
    var refused: UInt64 = 0
    /// Queries that the egress policy keeps from leaving.
    var denied: UInt64 = 0
    /// Messages without an answer: shorter than a header, or answers themselves.
    var dropped: UInt64 = 0
    /// Answers truncated to the client's UDP limit.
    var truncated: UInt64 = 0
    /// Streams that were closed at once or early because of the connection limit.
    var refusedConnections: UInt64 = 0
    /// Queries that wait for a resolver at this moment.
    var inFlight: UInt64 = 0
    /// Sockets open at this moment to resolvers and on the host's links.
    var upstreamSockets: UInt64 = 0
    /// Client streams open at this moment.
    var connections: UInt64 = 0
    /// Counters of queries to the host's resolvers.
    var forwarder = DNSForwarder.Counters()
    /// Counters of queries on the host's links.
    var multicast = MulticastResolver.Counters()

    static var metrics: [Metric<DNSCounters>] {
        [
            .counter(\.queries, "DNS.Queries", "Queries from guests."),
            .counter(\.streamQueries, "DNS.StreamQueries", "Queries from guests over TCP."),
            .counter(\.local, "DNS.Local", "Queries answered locally."),
            .counter(\.refused, "DNS.Refused", "Messages answered with an error."),
            .counter(\.denied, "DNS.Denied", "Queries that the egress policy denies."),
            .counter(\.dropped, "DNS.Dropped", "Messages that are no queries; not answered."),
            .counter(\.truncated, "DNS.Truncated", "Answers cut to what fits a guest's datagram."),
            .counter(
                \.refusedConnections,
                "DNS.RefusedConnections",
                "TCP connections closed because too many were open."
            ),
            .gauge(\.inFlight, "DNS.InFlight", "Queries that wait for a resolver."),
            .gauge(
                \.upstreamSockets,
                "DNS.UpstreamSockets",
                "Sockets to resolvers and on the host's links."
            ),
            .gauge(\.connections, "DNS.Connections", "Guests' TCP connections for DNS."),
        ]
    }
}

extension DNSForwarder {
    /// Counters of queries and answers.
    struct Counters: MetricGroup, Equatable {
        /// Accepted queries, without retransmissions.
        var queries: UInt64 = 0
        /// Queries sent to a server, including repetitions.
        var tries: UInt64 = 0
        /// Answers returned, without failures.
        var answered: UInt64 = 0
        /// Queries that failed, including evictions.
        var failed: UInt64 = 0
        /// Queries that failed to make room for others.
        var evicted: UInt64 = 0
        /// Retransmissions of queries in flight.
        var retransmissions: UInt64 = 0
        /// Messages from servers that answer no query.
        var dropped: UInt64 = 0

        static var metrics: [Metric<Counters>] {
            [
                .counter(\.queries, "DNS.Forwarded", "Queries passed on to resolvers."),
                .counter(\.tries, "DNS.Tries", "Queries sent to a resolver, with repetitions."),
                .counter(\.answered, "DNS.Answered", "Queries that a resolver answered."),
                .counter(\.failed, "DNS.Failed", "Queries that no resolver answered."),
                .counter(
                    \.evicted,
                    "DNS.Evicted",
                    "Queries that failed because too many were waiting."
                ),
                .counter(
                    \.retransmissions,
                    "DNS.Retransmissions",
                    "Queries that a guest sent again while they were waiting."
                ),
                .counter(
                    \.dropped,
                    "DNS.UnexpectedAnswers",
                    "Messages from resolvers that answer no waiting query."
                ),
            ]
        }
    }
}

extension MulticastResolver {
    /// Counters of lookups.
    struct Counters: MetricGroup, Equatable {
        /// Names that were queried on the links.
        var lookups: UInt64 = 0
        /// Questions answered with records.
        var answered: UInt64 = 0

        static var metrics: [Metric<Counters>] {
            [
                .counter(
                    \.lookups,
                    "DNS.MulticastLookups",
                    "Names queried on the host's links."
                ),
                .counter(
                    \.answered,
                    "DNS.MulticastAnswers",
                    "Queries answered from the host's links."
                ),
            ]
        }
    }
}
