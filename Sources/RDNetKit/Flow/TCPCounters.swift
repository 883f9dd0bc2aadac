/// What TCP flows have done.
struct TCPCounters: MetricGroup {
    var opened: UInt64 = 0
    var established: UInt64 = 0
    var closed: UInt64 = 0
    var refused: UInt64 = 0
    var resets: UInt64 = 0
    var retransmits: UInt64 = 0
    var timeouts: UInt64 = 0
    var challenges: UInt64 = 0
    /// Segments with an older timestamp than the guest's latest.
    var outdated: UInt64 = 0
    var strays: UInt64 = 0
    /// Connections that found no room in the table, or no free port.
    var full: UInt64 = 0
    var octetsToHost: UInt64 = 0
    var octetsToGuest: UInt64 = 0

    static var metrics: [Metric<TCPCounters>] {
        [
            .counter(\.opened, "TCP.Opened", "Connections begun."),
            .counter(\.established, "TCP.Established", "Connections established."),
            .counter(\.closed, "TCP.Closed", "Connections closed."),
            .counter(\.refused, "TCP.Refused", "Connections that the host refused."),
            .counter(\.resets, "TCP.Resets", "Connections cut off by either side."),
            .counter(
                \.full,
                "TCP.Full",
                "Connections refused because the flow table was full or no port was free."
            ),
            .counter(\.retransmits, "TCP.Retransmits", "Segments sent again."),
            .counter(\.timeouts, "TCP.Timeouts", "Retransmission timeouts."),
            .counter(\.challenges, "TCP.Challenges", "Challenge ACKs sent."),
            .counter(
                \.outdated,
                "TCP.Outdated",
                "Segments with an older timestamp than the guest's latest."
            ),
            .counter(\.strays, "TCP.Strays", "Segments without a connection."),
            .counter(
                \.octetsToHost,
                "TCP.BytesToHost",
                unit: .bytes,
                "Payload passed to host sockets."
            ),
            .counter(\.octetsToGuest, "TCP.BytesToGuest", unit: .bytes, "Payload sent to guests."),
        ]
    }
}
