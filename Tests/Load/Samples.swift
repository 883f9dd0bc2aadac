/// Measured durations, reported as one line of JSON.
struct Samples {
    private var nanoseconds: [UInt32] = []
    var count: Int { nanoseconds.count }

    mutating func add(_ duration: UInt64) {
        nanoseconds.append(UInt32(clamping: duration))
    }

    /// Prints rate and percentiles.
    mutating func report(over elapsed: UInt64) {
        nanoseconds.sort()
        let rate = Int(Double(count) * 1e9 / Double(max(elapsed, 1)))
        report(
            [("count", count), ("rate", rate)]
        )
    }

    private func report(_ fields: [(String, Int)]) {
        let whole = fields.map { "\"\($0.0)\": \($0.1)" }
        let parts = [("p50_us", 0.5), ("p99_us", 0.99)].map { name, share in
            "\"\(name)\": \(microseconds(at: share))"
        }
        say("{\((whole + parts).joined(separator: ", "))}\n")
    }

    private func microseconds(at share: Double) -> Double {
        guard !nanoseconds.isEmpty else { return 0 }
        let index = min(count - 1, Int(Double(count) * share))
        return (Double(nanoseconds[index]) / 100).rounded() / 10
    }
}

/// Prints whole numbers as one line of JSON.
func report(_ fields: KeyValuePairs<String, Int>) {
    say("{\(fields.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", "))}\n")
}
