import Testing

@testable import RDNetKit

@Suite("statistics")
struct StatisticsTests {
    private let statistics: Statistics = {
        let icmp = MetricFamily("ICMP", metric: "icmp_messages", label: "type", "By \"type\".")
        return Statistics(
            [
                MetricSample(
                    family: MetricFamily("TCPSegmentsSent", "Line\nand \\."),
                    member: nil,
                    value: 1
                ),
                MetricSample(family: icmp, member: "echo \"a\\\n", value: .max),
                MetricSample(family: icmp, member: "other", value: 0),
                MetricSample(
                    family: MetricFamily("ICMP.OpenV4Flows", kind: .gauge, "Now."),
                    member: nil,
                    value: 2
                ),
                MetricSample(
                    family: MetricFamily("TCP.BytesToHost", unit: .bytes, "Bytes."),
                    member: nil,
                    value: 3
                ),
            ],
            sums: [("DroppedPackets", 4)]
        )
    }()

    @Test func `JSON is sorted and nested`() {
        #expect(
            String(decoding: statistics.json.octets, as: UTF8.self)
                == #"{"DroppedPackets":4,"ICMP":{"OpenV4Flows":2,"echo \"a\\\n":"#
                + #"18446744073709551615,"other":0},"TCP":{"BytesToHost":3},"TCPSegmentsSent":1}"#
        )
    }

    @Test func `Prometheus' names, types and helps are those of its text format`() throws {
        let text = """
            # HELP rdnet_tcp_segments_sent_total Line\\nand \\\\.
            # TYPE rdnet_tcp_segments_sent_total counter
            rdnet_tcp_segments_sent_total 1
            # HELP rdnet_icmp_messages_total By "type".
            # TYPE rdnet_icmp_messages_total counter
            rdnet_icmp_messages_total{type="echo \\"a\\\\\\n"} 18446744073709551615
            rdnet_icmp_messages_total{type="other"} 0
            # HELP rdnet_icmp_open_v4_flows Now.
            # TYPE rdnet_icmp_open_v4_flows gauge
            rdnet_icmp_open_v4_flows 2
            # HELP rdnet_tcp_to_host_bytes_total Bytes.
            # TYPE rdnet_tcp_to_host_bytes_total counter
            rdnet_tcp_to_host_bytes_total 3

            """
        #expect(statistics.metrics == text)
        let families = try PrometheusText.parse(statistics.metrics)
        #expect(families[1].help == "By \"type\".")
        #expect(families[1].samples[0].labels.map { $0.value } == ["echo \"a\\\n"])
    }

    @Test(
        "the parser of the text format accepts nothing else",
        arguments: [
            "# HELP a_total A.\n# TYPE a_total counter\na_total 1",
            "# TYPE a_total counter\na_total 1\n",
            "# HELP a_total A.\na_total 1\n",
            "# HELP a_total A.\n# TYPE a_total counter\n# TYPE a_total counter\na_total 1\n",
            "# HELP a_total A.\n# TYPE a_total counter\n",
            "# HELP a_total A.\n# TYPE a_total sum\na_total 1\n",
            "# HELP a A.\n# TYPE a counter\na 1\n",
            "# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n",
            "# HELP a A\\t.\n# TYPE a gauge\na 1\n",
            "# HELP 1a A.\n# TYPE 1a gauge\n1a 1\n",
            "# HELP a-b A.\n# TYPE a-b gauge\na-b 1\n",
            "# HELP a A.\n# TYPE a gauge\nb 1\n",
            "# HELP a A.\n# TYPE a gauge\na one\n",
            "# HELP a A.\n# TYPE a gauge\na 1\na 2\n",
            "# HELP a A.\n# TYPE a gauge\na{b=\"1\"} 1\na{b=\"1\"} 2\n",
            "# HELP a A.\n# TYPE a gauge\na{b=\"1} 1\n",
            "# HELP a A.\n# TYPE a gauge\na{b=\"\"\"} 1\n",
            "# HELP a A.\n# TYPE a gauge\na{b=\"\\x\"} 1\n",
            "# HELP a A.\n# TYPE a gauge\na{b=1} 1\n",
            "# HELP a A.\n# TYPE a gauge\na{__b=\"1\"} 1\n",
            "# HELP a A.\n# TYPE a gauge\na{b=\"1\",b=\"2\"} 1\n",
            "# HELP a A.\n# TYPE a gauge\na 1\n# HELP b B.\n# TYPE b gauge\nb 1\n"
                + "# HELP a A.\n# TYPE a gauge\na 1\n",
        ]
    )
    func wrongText(text: String) {
        #expect(throws: PrometheusText.Fault.self) { try PrometheusText.parse(text) }
    }
}
