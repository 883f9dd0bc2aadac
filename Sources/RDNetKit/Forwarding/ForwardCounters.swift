/// Totals over all forwards.
final class ForwardCounters: MetricGroup {
    /// Accepted client connections.
    var connections: UInt64 = 0
    var datagramsToGuest: UInt64 = 0
    var datagramsToHost: UInt64 = 0
    /// Datagrams without a gateway port, and datagrams that the host's socket did not accept.
    var datagramsDropped: UInt64 = 0
    /// Counters of the forwards' listeners, and of whatever shares them.
    var listeners = ListenerCounters()

    static var metrics: [Metric<ForwardCounters>] {
        [
            .counter(\.connections, "Forwards.Connections", "Connections accepted by forwards."),
            .counter(
                \.datagramsToGuest,
                "Forwards.DatagramsToGuest",
                "Datagrams from forwards' clients to guests."
            ),
            .counter(
                \.datagramsToHost,
                "Forwards.DatagramsToHost",
                "Datagrams from guests to forwards' clients."
            ),
            .counter(
                \.datagramsDropped,
                "Forwards.DatagramsDropped",
                "Datagrams of forwards that were lost: no port or descriptor, or a full socket."
            ),
        ]
    }
}
