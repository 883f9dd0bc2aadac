/// A tree of named numbers, exported as JSON (`/stats`) and for Prometheus (`/metrics`).
struct Statistics {
    /// One number, or a group of numbers.
    enum Value {
        /// A number that only increases while the program runs.
        case counter(UInt64)
        /// A number that can increase and decrease.
        case gauge(UInt64)
        case group([Entry])
    }

    /// A name, capitalized as in gvproxy's `/stats`, and its value.
    struct Entry {
        let name: String
        /// One human-readable sentence; empty for a group, whose members have their own.
        let help: String
        let value: Value

        /// Creates a number that only increases.
        static func counter(_ name: String, _ help: String, _ value: UInt64) -> Entry {
            Entry(name: name, help: help, value: .counter(value))
        }

        /// Creates a number that can increase and decrease.
        static func gauge(_ name: String, _ help: String, _ value: UInt64) -> Entry {
            Entry(name: name, help: help, value: .gauge(value))
        }

        /// Creates a group of related numbers.
        static func group(_ name: String, _ entries: [Entry]) -> Entry {
            Entry(name: name, help: "", value: .group(entries))
        }
    }

    var entries: [Entry]

    init(_ entries: [Entry]) {
        self.entries = entries
    }

    // MARK: JSON

    /// The tree as nested objects, with names in alphabetical order.
    var json: JSON { Self.json(entries) }

    private static func json(_ entries: [Entry]) -> JSON {
        .object(
            entries.sorted { $0.name < $1.name }.map { entry in
                switch entry.value {
                case .counter(let number), .gauge(let number):
                    JSON.Member(entry.name, .integer(number))
                case .group(let inner): JSON.Member(entry.name, json(inner))
                }
            }
        )
    }

    // MARK: Prometheus

    /// The tree in Prometheus' text format, version 0.0.4.
    ///
    /// `TCP` › `SegmentsSent` becomes `rdnet_tcp_segments_sent_total`.
    var metrics: String {
        var output = ""
        Self.write(entries, prefix: "rdnet", to: &output)
        return output
    }

    private static func write(_ entries: [Entry], prefix: String, to output: inout String) {
        for entry in entries {
            let name = prefix + "_" + snakeCase(entry.name)
            switch entry.value {
            case .counter(let number):
                write(name + "_total", "counter", entry.help, number, to: &output)
            case .gauge(let number): write(name, "gauge", entry.help, number, to: &output)
            case .group(let inner): write(inner, prefix: name, to: &output)
            }
        }
    }

    private static func write(
        _ name: String,
        _ type: String,
        _ help: String,
        _ number: UInt64,
        to output: inout String
    ) {
        let escaped = help.map { character in
            switch character {
            case "\\": "\\\\"
            case "\n": "\\n"
            default: String(character)
            }
        }.joined()
        output += "# HELP \(name) \(escaped)\n# TYPE \(name) \(type)\n\(name) \(number)\n"
    }

    /// Converts `TCPSegmentsSent` to `tcp_segments_sent`; characters that a metric's name may not
    /// contain become `_`.
    private static func snakeCase(_ name: String) -> String {
        let letters = Array(name)
        var output = ""
        for (index, letter) in letters.enumerated() {
            let next = index + 1 < letters.count ? letters[index + 1] : " "
            if letter.isUppercase, index > 0,
                !letters[index - 1].isUppercase || next.isLowercase
            {
                output += "_"
            }
            output +=
                letter.isASCII && (letter.isLetter || letter.isNumber) ? letter.lowercased() : "_"
        }
        return output
    }
}
