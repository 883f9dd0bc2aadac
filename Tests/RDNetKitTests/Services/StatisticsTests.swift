import Testing

@testable import RDNetKit

@Suite("statistics")
struct StatisticsTests {
    private let statistics = Statistics([
        .counter("TCPSegmentsSent", "Line\nand \\.", 1),
        .group(
            "ICMP",
            [.gauge("OpenV4Flows", "Now.", 2), .counter("Echo-Requests", "All.", .max)]
        ),
        .counter("BytesSent", "Octets.", 3),
    ])

    @Test func `JSON is sorted and nested`() {
        #expect(
            String(decoding: statistics.json.octets, as: UTF8.self)
                == #"{"BytesSent":3,"ICMP":{"Echo-Requests":18446744073709551615,"OpenV4Flows":2},"#
                + #""TCPSegmentsSent":1}"#
        )
    }

    @Test func `Prometheus' names, types and helps are those of its text format`() {
        #expect(
            statistics.metrics == """
                # HELP rdnet_tcp_segments_sent_total Line\\nand \\\\.
                # TYPE rdnet_tcp_segments_sent_total counter
                rdnet_tcp_segments_sent_total 1
                # HELP rdnet_icmp_open_v4_flows Now.
                # TYPE rdnet_icmp_open_v4_flows gauge
                rdnet_icmp_open_v4_flows 2
                # HELP rdnet_icmp_echo__requests_total All.
                # TYPE rdnet_icmp_echo__requests_total counter
                rdnet_icmp_echo__requests_total 18446744073709551615
                # HELP rdnet_bytes_sent_total Octets.
                # TYPE rdnet_bytes_sent_total counter
                rdnet_bytes_sent_total 3

                """
        )
    }
}
