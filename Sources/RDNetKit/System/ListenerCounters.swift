/// Totals over all listeners of a program.
final class ListenerCounters: MetricGroup {
    /// Accepted connections.
    var accepted: UInt64 = 0
    /// Failed attempts to accept a connection.
    var failures: UInt64 = 0
    /// Datagrams from senders without a link: the sender cannot be answered, or the link was
    /// refused.
    var ignoredDatagrams: UInt64 = 0

    static var metrics: [Metric<ListenerCounters>] {
        [
            .counter(
                \.accepted,
                "Listeners.Accepted",
                "Connections accepted by the API, by links and by TCP and unix forwards."
            ),
            .counter(
                \.failures,
                "Listeners.Failures",
                "Connections that could not be accepted."
            ),
            .counter(
                \.ignoredDatagrams,
                "Listeners.IgnoredDatagrams",
                "Frames from senders without a link: without an address, or refused."
            ),
        ]
    }
}
