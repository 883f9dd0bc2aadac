/// Reasons or limits that are counted one by one.
protocol CountedReason: CaseIterable, Hashable, RawRepresentable<String> {
    /// The metric of the counters; its label has the raw values.
    static var family: MetricFamily { get }
}

/// A counter for each case of an enumeration; a new case needs no other declaration.
struct ReasonCounters<Reason: CountedReason>: MetricGroup {
    private let reasons = Array(Reason.allCases)
    private var counts = [UInt64](repeating: 0, count: Reason.allCases.count)

    static var metrics: [Metric<ReasonCounters>] {
        Reason.allCases.map { .member(\.[$0], $0.rawValue, of: Reason.family) }
    }

    subscript(reason: Reason) -> UInt64 {
        get { reasons.firstIndex(of: reason).map { counts[$0] } ?? 0 }
        set {
            guard let index = reasons.firstIndex(of: reason) else { return }
            counts[index] = newValue
        }
    }

    /// Counts one occurrence.
    mutating func count(_ reason: Reason) {
        self[reason] &+= 1
    }

    /// The count of one reason.
    func count(of reason: Reason) -> UInt64 { self[reason] }

    /// Every reason with its count.
    var all: [(reason: Reason, count: UInt64)] {
        zip(reasons, counts).map { (reason: $0, count: $1) }
    }

    /// The total.
    var total: UInt64 { counts.reduce(0, &+) }
}
