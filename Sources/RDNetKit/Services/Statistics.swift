/// All declared numbers, as JSON (`/stats`) and for Prometheus (`/metrics`).
struct Statistics {
    /// The numbers; those of one family in sequence.
    let samples: [MetricSample]
    /// Numbers that gvproxy has and that follow from others; in `/stats` only, because a sum of a
    /// metric is not a metric.
    let sums: [(name: String, value: UInt64)]

    init(_ samples: [MetricSample], sums: [(name: String, value: UInt64)] = []) {
        self.samples = samples
        self.sums = sums
    }

    // MARK: JSON

    /// Nested objects, with names in alphabetical order.
    var json: JSON {
        let numbers = samples.map { (path: $0.path[...], value: $0.value) }
        return Self.object(numbers + sums.map { (path: [$0.name], value: $0.value) })
    }

    private static func object(_ numbers: [(path: ArraySlice<String>, value: UInt64)]) -> JSON {
        let members = Dictionary(grouping: numbers) { $0.path.first ?? "" }
        return .object(
            members.sorted { $0.key < $1.key }.map { name, numbers in
                let inner = numbers.map { (path: $0.path.dropFirst(), value: $0.value) }
                if let only = inner.first, only.path.isEmpty {
                    return JSON.Member(name, .integer(only.value))
                }
                return JSON.Member(name, object(inner))
            }
        )
    }

    // MARK: Prometheus

    /// Prometheus' text format, version 0.0.4.
    var metrics: String {
        var output = ""
        var previous: MetricFamily?
        for sample in samples {
            let family = sample.family
            if family != previous {
                output += "# HELP \(family.name) \(Self.escaped(family.help, quote: false))\n"
                output += "# TYPE \(family.name) \(family.kind.rawValue)\n"
            }
            previous = family
            output += family.name
            if let label = family.label {
                output += "{\(label)=\"\(Self.escaped(sample.member ?? "", quote: true))\"}"
            }
            output += " \(sample.value)\n"
        }
        return output
    }

    private static func escaped(_ text: String, quote: Bool) -> String {
        text.map { character in
            switch character {
            case "\\": "\\\\"
            case "\n": "\\n"
            case "\"" where quote: "\\\""
            default: String(character)
            }
        }.joined()
    }
}
