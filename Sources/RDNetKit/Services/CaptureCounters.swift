/// Totals over all captures of a network.
final class CaptureCounters: MetricGroup {
    var lostFrames: UInt64 = 0

    static var metrics: [Metric<CaptureCounters>] {
        [
            .counter(
                \.lostFrames,
                "Capture.LostFrames",
                "Frames missing from the capture because the disk was full or the reader too slow."
            )
        ]
    }
}
