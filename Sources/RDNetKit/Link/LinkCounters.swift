/// Counters of frames received, sent and dropped on a link.
struct LinkCounters: MetricGroup, Equatable {
    var framesReceived: UInt64 = 0
    var octetsReceived: UInt64 = 0
    var framesSent: UInt64 = 0
    var octetsSent: UInt64 = 0
    /// Received frames shorter than an Ethernet header, or longer than
    /// `Frame.maximumReceivedLength`.
    var malformed: UInt64 = 0
    /// Frames that were refused by a full queue or by the kernel.
    var dropped: UInt64 = 0

    static var metrics: [Metric<LinkCounters>] {
        [
            .counter(
                \.octetsSent,
                "BytesSent",
                unit: .bytes,
                "Bytes of frames sent to guests."
            ),
            .counter(
                \.octetsReceived,
                "BytesReceived",
                unit: .bytes,
                "Bytes of frames received from guests."
            ),
            .counter(\.framesSent, "FramesSent", "Frames sent to guests."),
            .counter(\.framesReceived, "FramesReceived", "Frames received from guests."),
            .counter(\.malformed, "MalformedFrames", "Frames of an impossible length."),
            .counter(
                \.dropped,
                "DroppedFrames",
                "Frames that a full link or the kernel did not take."
            ),
        ]
    }

    /// Adds another link's counters.
    static func += (sum: inout LinkCounters, other: LinkCounters) {
        for metric in metrics { sum[keyPath: metric.value] &+= other[keyPath: metric.value] }
    }
}
