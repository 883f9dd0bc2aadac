/// A counter or gauge, or several that differ only in one label: what Prometheus calls a metric.
///
/// How it works: a type with counters conforms to `MetricGroup` and declares each of its fields
/// once: the field's key path, a name and a sentence. `Statistics` shows whatever is declared in
/// `/stats` and `/metrics`, and `ctl stats` shows the document of `/stats`. The name in `/metrics`
/// follows from the name in `/stats`. A test fails for a field that is not declared, and for a type
/// with counters that is not shown.
struct MetricFamily: Equatable, Sendable {
    /// Whether the value can decrease.
    enum Kind: String, Sendable {
        /// Only increases while the program runs.
        case counter
        case gauge
    }

    /// What is counted, if the metric's name must say so.
    enum Unit: String, Sendable {
        case bytes
    }

    /// The name in `/stats`, with dots between an object and its members: `TCP.BytesToHost`.
    ///
    /// With a label it is the name of an object with a member for each value of the label.
    let path: String
    /// The name in `/metrics`: `rdnet_tcp_to_host_bytes_total`.
    let name: String
    let kind: Kind
    let unit: Unit?
    /// One sentence.
    let help: String
    /// The label whose values tell the numbers apart; nil for a single number.
    let label: String?

    /// Describes a family.
    ///
    /// - Parameters:
    ///   - path: The name in `/stats`.
    ///   - metric: The name in `/metrics` without prefix, unit and suffix; nil to derive it from
    ///     `path`.
    ///   - kind: Whether the value can decrease.
    ///   - unit: The unit; `path` then ends with a word such as `BytesSent`.
    ///   - label: The label that tells the numbers of the family apart.
    ///   - help: One sentence.
    init(
        _ path: String,
        metric: String? = nil,
        kind: Kind = .counter,
        unit: Unit? = nil,
        label: String? = nil,
        _ help: String
    ) {
        self.path = path
        self.kind = kind
        self.unit = unit
        self.label = label
        self.help = help
        var words = metric.map { [$0] } ?? Self.words(of: path).filter { $0 != unit?.rawValue }
        if let unit { words.append(unit.rawValue) }
        if kind == .counter { words.append("total") }
        name = (["rdnet"] + words).joined(separator: "_")
    }

    /// Returns the words of `TCP.BytesToHost` in lower case: tcp, bytes, to, host.
    private static func words(of path: String) -> [String] {
        path.split(separator: ".").flatMap { part in
            let letters = Array(part)
            var words = [""]
            for (index, letter) in letters.enumerated() {
                let next = index + 1 < letters.count ? letters[index + 1] : " "
                let isStart =
                    letter.isUppercase && index > 0
                    && (!letters[index - 1].isUppercase || next.isLowercase)
                if isStart { words.append("") }
                words[words.count - 1] += letter.lowercased()
            }
            return words
        }
    }
}

/// The declaration of one field of a group.
struct Metric<Group> {
    let family: MetricFamily
    /// The value of the family's label; nil for a family without one.
    let member: String?
    let value: WritableKeyPath<Group, UInt64>

    /// Declares a number that only increases.
    static func counter(
        _ value: WritableKeyPath<Group, UInt64>,
        _ path: String,
        unit: MetricFamily.Unit? = nil,
        _ help: String
    ) -> Metric {
        Metric(family: MetricFamily(path, unit: unit, help), member: nil, value: value)
    }

    /// Declares a number that can increase and decrease.
    static func gauge(
        _ value: WritableKeyPath<Group, UInt64>,
        _ path: String,
        _ help: String
    ) -> Metric {
        Metric(family: MetricFamily(path, kind: .gauge, help), member: nil, value: value)
    }

    /// Declares the number of a family that has a value of the family's label.
    static func member(
        _ value: WritableKeyPath<Group, UInt64>,
        _ member: String,
        of family: MetricFamily
    ) -> Metric {
        Metric(family: family, member: member, value: value)
    }
}

/// A type whose fields are counters or gauges.
protocol MetricGroup {
    /// Creates the group with every number at zero.
    init()

    /// The declarations of all fields, in the order of `/metrics`.
    static var metrics: [Metric<Self>] { get }
}

extension MetricGroup {
    /// The current values.
    var samples: [MetricSample] {
        Self.metrics.map { metric in
            MetricSample(
                family: metric.family,
                member: metric.member,
                value: self[keyPath: metric.value]
            )
        }
    }
}

/// A declared number with its value.
struct MetricSample: Equatable {
    let family: MetricFamily
    /// The value of the family's label; nil for a family without one.
    let member: String?
    let value: UInt64

    /// The names of the objects around the number in `/stats`, and its own.
    var path: [String] {
        family.path.split(separator: ".").map { String($0) } + (member.map { [$0] } ?? [])
    }
    /// The last word of the path, as a field of a log line: `framesSent`.
    var fieldName: String {
        let name = path.last ?? ""
        return name.prefix(1).lowercased() + name.dropFirst()
    }
}
