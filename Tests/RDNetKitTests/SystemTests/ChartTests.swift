import Foundation
import Testing

@Suite("the chart of the benchmark")
struct ChartTests {
    private let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Bench/chart.sh").path

    @Test func `has two bars per stack at MTU 1500, the largest at full width`() throws {
        let directory = TemporaryDirectory()
        let rows = """
            {"rows":[{"stack":"up","mtu":1500,"up_1":10,"down_1":20.04},
            {"stack":"up","mtu":65520,"up_1":40,"down_1":40},
            {"stack":"pasta","mtu":1500,"up_1":1,"down_1":2},
            {"stack":"qemu","mtu":1500,"missing":"failed"}]}
            """
        try Data(rows.utf8).write(to: URL(fileURLWithPath: directory.file("rows")))
        let chart = try run(script, directory.file("rows"))
        let widths = chart.components(separatedBy: "<rect x=\"190\"").dropFirst()
            .compactMap { $0.components(separatedBy: "width=\"").dropFirst().first }
            .compactMap { Double($0.prefix { $0 != "\"" }) }
        #expect(widths == [214.6, 430, 21.5, 42.9])
        #expect(chart.hasPrefix("<svg ") && chart.hasSuffix("</svg>\n"))
        #expect(chart.contains(">20 down<") && chart.contains(">rdnet up<"))
    }
}
