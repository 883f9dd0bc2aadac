import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "counters beside a running host-switch",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct MetricsTests {
    private let world: SwitchedGuest
    private var api: String { "unix://" + world.directory.file("api") }

    init() throws {
        world = try SwitchedGuest(hostOptions: ["--capture", "/dev/full"])
    }

    private struct Reading {
        var stats: JSON
        var metrics: [PrometheusText.Family]
        var table: String
    }

    /// Reads all three between two identical documents, so that they belong to one moment.
    private func readAll() throws -> Reading {
        var reading: Reading?
        let isQuiet = try comesTrue {
            let before = try world.askAPI("/stats")
            let metrics = try PrometheusText.parse(try world.askAPI("/metrics"))
            let program = try CtlProgram(["stats"], api: api)
            #expect(try program.end() == 0)
            guard try world.askAPI("/stats") == before else { return false }
            let stats = try JSONParser.parse(Array(before.utf8))
            reading = Reading(stats: stats, metrics: metrics, table: program.text)
            return true
        }
        try #require(isQuiet, "the counters never rest")
        return try #require(reading)
    }

    /// Makes traffic of every kind, and some that is dropped.
    private func makeTraffic() throws {
        try world.serveEcho(7, in: world.host)
        #expect(world.reachesHost())
        try world.guest.run("ping", "-c", "1", "-W", "9", SwitchedGuest.hostAlias)
        for option in ["+notcp", "+tcp"] {
            let server = "@\(SwitchedGuest.gateway)"
            let answer = try world.guest.run(
                "dig",
                "+short",
                option,
                server,
                "host.docker.internal"
            )
            #expect(answer == SwitchedGuest.hostAlias + "\n")
        }
        try world.serveEcho(8, in: world.guest)
        let forward = #"{"local":"127.0.0.1:8080","remote":"192.168.127.2:8"}"#
        try world.askAPI("/services/forwarder/expose", body: forward)
        let load = try world.load("rr", "127.0.0.1", "8080", "0.01", in: world.host)
        #expect(load["count", default: 0] > 0)
        // Nobody listens there, and the destination is refused.
        for address in ["\(SwitchedGuest.hostAlias):9", "169.254.169.254"] {
            try world.guest.run("sh", "-c", "curl -s -m 9 http://\(address)/; true")
        }
        // The file takes no frames.
        try world.askAPI("/capture/off", body: "{}")
    }

    @Test func `every declared number is in /stats, /metrics and ctl stats with one value`() throws
    {
        try makeTraffic()
        let reading = try readAll()
        let declared = NetworkStatistics().statistics.samples
        #expect(reading.metrics.flatMap { $0.samples }.count == declared.count)
        let rows = reading.table.split(separator: "\n").map { $0.split(separator: " ") }
        for sample in declared {
            let path = sample.path.joined(separator: ".")
            let value = try #require(number(at: sample.path, in: reading.stats), "\(path)")
            let family = try #require(
                reading.metrics.first { $0.name == sample.family.name },
                "\(path)"
            )
            let metric = family.samples.first { $0.labels.first?.value == sample.member }
            #expect(metric?.value == value, "\(path)")
            #expect(family.help == sample.family.help)
            #expect(family.type == sample.family.kind.rawValue)
            let row = rows.first { $0.first.map { String($0) } == path }
            if value == 0 {
                #expect(row == nil, "\(path)")
            } else if sample.family.unit == .bytes {
                #expect(row?.count == 3, "\(path)")
            } else {
                #expect(row?.last == Substring("\(value)"), "\(path)")
            }
        }
        #expect(CtlReport.statistics(reading.stats) == reading.table)
        for path in [
            "BytesSent", "BytesReceived", "FramesSent", "FramesReceived", "DHCP.offer", "DHCP.ack",
            "DNS.Queries", "DNS.StreamQueries", "DNS.Local", "Forwards.Connections", "TCP.Refused",
            "TCP.Opened", "TCP.Established", "TCP.Closed", "TCP.BytesToHost", "TCP.BytesToGuest",
            "Capture.LostFrames", "Links", "BuildInfo.0.1.0",
        ] {
            let parts =
                path.hasPrefix("BuildInfo.")
                ? ["BuildInfo", "0.1.0"] : path.split(separator: ".").map { String($0) }
            #expect(number(at: parts, in: reading.stats) ?? 0 > 0, "\(path)")
        }
    }

    private func number(at path: [String], in document: JSON) -> UInt64? {
        let value = path.reduce(Optional(document)) { $0?.member($1) }
        return value.flatMap { UInt64($0.text) }
    }

    @Test func `a capture on a full disk is one warning, and its frames are counted`() throws {
        // More than the capture collects before it writes.
        try world.guest.run("ping", "-A", "-c", "60", "-s", "1400", SwitchedGuest.gateway)
        try world.askAPI("/capture/off", body: "{}")
        let log = world.logs
        #expect(log.components(separatedBy: "capture loses frames").count == 2)
        #expect(log.contains("cause=\"write: No space left on device\""))
        let stats = try JSONParser.parse(Array(try world.askAPI("/stats").utf8))
        #expect(number(at: ["Capture", "LostFrames"], in: stats) ?? 0 >= 120)
    }
    // MARK: Roles without an API

    /// Returns the fields of each line about counters.
    private func reports(in log: String) -> [[String: String]] {
        log.split(separator: "\n").filter { $0.contains(" msg=traffic ") }.map { line in
            let fields = line.split(separator: " ").map { $0.split(separator: "=", maxSplits: 1) }
            return Dictionary(fields.map { (String($0[0]), String($0[1])) }) { $1 }
        }
    }

    @Test func `vm-switch logs its counters on SIGUSR1 and at its end`() throws {
        try world.guest.run("ping", "-c", "1", "-W", "9", SwitchedGuest.gateway)
        let program = try #require(world.vmSwitch)
        kill(program.number, SIGUSR1)
        #expect(comesTrue { reports(in: world.logs).count == 2 })
        #expect(program.end())
        let lines = reports(in: world.logs)
        #expect(lines.map { $0["link"] ?? "" }.filter { $0 == "eth0" }.count == 2)
        try #require(lines.count == 4)
        for line in lines {
            let names = Set(line.keys).subtracting(["time", "level", "msg", "link"])
            #expect(names == Set(LinkCounters().samples.map { $0.fieldName }))
            for name in ["framesReceived", "framesSent", "bytesReceived", "bytesSent"] {
                #expect(Int(line[name] ?? "") ?? 0 > 0, "\(name)")
            }
        }
        // Each frame from the host goes to the interface.
        let numbers = lines.map { $0.compactMapValues { Int($0) } }
        let written = (numbers[2]["framesSent"] ?? 0) + (numbers[2]["droppedFrames"] ?? 0)
        #expect(written == numbers[3]["framesReceived"])
    }

    @Test func `wsl-proxy logs its counters on SIGUSR1 and at its end`() throws {
        let world = try ProxiedNamespaces()
        try world.serveEcho(7, in: world.guest)
        try world.publish(7)
        let load = try world.load("rr", "127.0.0.1", "7", "0.01", in: world.host)
        #expect(load["count", default: 0] > 0)
        let program = try #require(world.proxy)
        kill(program.number, SIGUSR1)
        #expect(comesTrue { reports(in: world.log).count == 1 })
        #expect(program.end())
        #expect(program.status == 0)
        let lines = reports(in: world.log)
        #expect(lines.count == 2)
        for line in lines {
            let names = Set(line.keys).subtracting(["time", "level", "msg"])
            #expect(names == Set(ForwardCounters().samples.map { $0.fieldName }))
            #expect(line["connections"] == "1")
        }
    }
}
