import Foundation
import Testing

@testable import RDNetKit

@Suite("declared counters")
struct NetworkStatisticsTests {
    private let statistics = NetworkStatistics().statistics

    // MARK: Completeness

    /// The names of all types with counters in the sources.
    private func typesInSources() throws -> [String] {
        let expression = try NSRegularExpression(
            pattern: #"\b(?:struct|class|enum) (\w+)(?:<.*>)?([^{]*)\{"#
        )
        return try SourceTree.files(in: "Sources").flatMap { path in
            try SourceTree.lines(of: path).compactMap { line -> String? in
                let text = String(line)
                let range = NSRange(text.startIndex..., in: text)
                guard let match = expression.firstMatch(in: text, range: range),
                    let name = Range(match.range(at: 1), in: text),
                    let conformances = Range(match.range(at: 2), in: text)
                else { return nil }
                if text[conformances].contains("CountedReason") {
                    return "ReasonCounters<\(text[name])>"
                }
                // Its uses are counted.
                if text[name] == "ReasonCounters" { return nil }
                let isGroup =
                    text[name].hasSuffix("Counters") || text[conformances].contains("MetricGroup")
                return isGroup ? String(text[name]) : nil
            }
        }
    }

    @Test func `every type with counters is shown`() throws {
        let shown = NetworkStatistics().groups.map { "\(type(of: $0))" }
        #expect(shown.sorted() == (try typesInSources()).sorted())
    }

    @Test func `every field of a type with counters is declared once`() {
        for group in NetworkStatistics().groups { check(group) }
    }

    private func check<Group: MetricGroup>(_: Group) {
        var group = Group()
        for (index, metric) in Group.metrics.enumerated() {
            group[keyPath: metric.value] = UInt64(index + 1)
        }
        let values = group.samples.map { $0.value }
        #expect(values == (0..<values.count).map { UInt64($0 + 1) }, "\(Group.self): twice")
        let missing = undeclared(Mirror(reflecting: group))
        #expect(missing.isEmpty, "\(Group.self) does not declare \(missing)")
    }

    /// Returns the names of the numbers that are still zero.
    private func undeclared(_ mirror: Mirror) -> [String] {
        mirror.children.flatMap { child -> [String] in
            if child.value is any MetricGroup { return [] }
            if let number = child.value as? any BinaryInteger {
                return "\(number)" == "0" ? [child.label ?? "an element"] : []
            }
            return undeclared(Mirror(reflecting: child.value)).map { "\(child.label ?? "").\($0)" }
        }
    }

    // MARK: Names

    @Test func `the text format and its naming rules are kept`() throws {
        let families = try PrometheusText.parse(statistics.metrics)
        for family in families {
            #expect(family.name.hasPrefix("rdnet_"))
            #expect(family.help.hasSuffix(".") && family.help.count > 4, "\(family.name)")
        }
        let build = try #require(families.first { $0.name == "rdnet_build_info" })
        #expect(build.type == "gauge")
        #expect(build.samples.map { $0.value } == [1])
        #expect(build.samples[0].labels.map { "\($0)" } == [#"(name: "version", value: "0.1.0")"#])
        let drops = try #require(families.first { $0.name == "rdnet_dropped_packets_total" })
        let reasons = drops.samples.flatMap { $0.labels.map { $0.value } }
        #expect(reasons == DropReason.allCases.map { $0.rawValue })
    }

    @Test func `a number of bytes is named so in both documents`() {
        for sample in statistics.samples {
            // `ctl stats` shows such a number with a unit.
            let isNamed = sample.path.last?.hasPrefix("Bytes") == true
            #expect(isNamed == (sample.family.unit == .bytes), "\(sample.path)")
            let words = sample.family.name.split(separator: "_")
            #expect(isNamed == words.contains("bytes"), "\(sample.family.name)")
        }
    }

    @Test func `two numbers never have the same name`() {
        let samples = statistics.samples
        #expect(Set(samples.map { $0.path }).count == samples.count)
        let names = Dictionary(grouping: samples.map { $0.family }) { $0.name }
        for (name, families) in names {
            #expect(families.allSatisfy { $0 == families[0] }, "\(name)")
        }
    }

    @Test(
        "the names in /stats stay: gvproxy's, and ours that scripts may read",
        arguments: [
            "BytesSent", "BytesReceived", "DroppedPackets", "UnknownProtocolRcvdPackets",
            "MalformedRcvdPackets", "FramesSent", "FramesReceived", "MalformedFrames",
            "DroppedFrames", "Drops.bad_source", "Drops.no_neighbour", "Limits.udp_flows",
            "Ignored.ipv4_group", "TCP.Flows", "TCP.Opened", "TCP.Established", "TCP.Closed",
            "TCP.Refused", "TCP.Resets", "TCP.Retransmits", "TCP.Timeouts", "TCP.Challenges",
            "TCP.Outdated", "TCP.Strays", "TCP.BytesToHost", "TCP.BytesToGuest", "DNS.Queries",
            "DNS.Local", "DNS.Refused", "DNS.MulticastLookups", "DNS.MulticastAnswers",
            "DNS.InFlight", "UDPFlows", "EchoFlows", "Links",
        ]
    )
    func stays(name: String) {
        let value = name.split(separator: ".").reduce(statistics.json) { json, part in
            json.member(String(part)) ?? .null
        }
        #expect(value.text == "0", "\(name)")
    }
}
