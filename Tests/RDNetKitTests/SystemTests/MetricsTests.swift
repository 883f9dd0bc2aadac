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
        var stats: [[String]: UInt64]
        var metrics: [PrometheusText.Family]
        var table: String
    }

    private static let connections = ["Listeners", "Accepted"]

    /// Returns the declared numbers in `/stats`.
    private func readStats() throws -> [[String]: UInt64] {
        let document = try JSONParser.parse(Array(try world.askAPI("/stats").utf8))
        var numbers: [[String]: UInt64] = [:]
        for sample in NetworkStatistics().statistics.samples {
            let value = sample.path.reduce(Optional(document)) { $0?.member($1) }
            numbers[sample.path] = value.flatMap { UInt64($0.text) }
        }
        return numbers
    }

    /// Reads all three between two identical documents, so that they belong to one moment.
    private func readAll() throws -> Reading {
        var reading: Reading?
        let isQuiet = try comesTrue {
            let before = try readStats()
            let metrics = try PrometheusText.parse(try world.askAPI("/metrics"))
            let program = try CtlProgram(["stats"], api: api)
            #expect(try program.end() == 0)
            var after = try readStats()
            // Each of the three later requests is one more connection.
            after[Self.connections]? &-= 3
            guard before == after else { return false }
            reading = Reading(stats: before, metrics: metrics, table: program.text)
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
        let fixed = reading.metrics.filter { !$0.name.hasPrefix("process_") }
            .flatMap { $0.samples }.filter { $0.labels.first?.name != "server" }
        #expect(fixed.count == declared.count)
        let rows = reading.table.split(separator: "\n").map { $0.split(separator: " ") }
        for sample in declared {
            let path = sample.path.joined(separator: ".")
            let value = try #require(reading.stats[sample.path], "\(path)")
            let family = try #require(
                reading.metrics.first { $0.name == sample.family.name },
                "\(path)"
            )
            let isConnections = sample.path == Self.connections
            let metric = family.samples.first { $0.labels.first?.value == sample.member }
            #expect(metric?.value == value + (isConnections ? 1 : 0), "\(path)")
            #expect(family.help == sample.family.help)
            #expect(family.type == sample.family.kind.rawValue)
            let shown = value + (isConnections ? 2 : 0)
            let text = sample.family.unit == .bytes ? "\(OctetCount(shown))" : "\(shown)"
            let row = rows.first { $0.first.map { String($0) } == path }
            #expect(row?.dropFirst().joined(separator: " ") == (shown > 0 ? text : nil), "\(path)")
        }
        for path in [
            "BytesSent", "BytesReceived", "FramesSent", "FramesReceived", "DHCP.offer", "DHCP.ack",
            "DNS.Queries", "DNS.StreamQueries", "DNS.Local", "Forwards.Connections", "TCP.Refused",
            "TCP.Opened", "TCP.Established", "TCP.Closed", "TCP.BytesToHost", "TCP.BytesToGuest",
            "Listeners.Accepted", "Capture.LostFrames", "Links", "BuildInfo.0.1.0",
        ] {
            let number = reading.stats.first { $0.key.joined(separator: ".") == path }
            #expect(number?.value ?? 0 > 0, "\(path)")
        }
    }

    @Test func `a capture on a full disk is one warning, and its frames are counted`() throws {
        // More than the capture collects before it writes.
        try world.guest.run("ping", "-A", "-c", "60", "-s", "1400", SwitchedGuest.gateway)
        try world.askAPI("/capture/off", body: "{}")
        let log = world.logs
        #expect(log.components(separatedBy: "capture loses frames").count == 2)
        #expect(log.contains("cause=\"write /dev/full: No space left on device\""))
        #expect(try readStats()[["Capture", "LostFrames"]] ?? 0 >= 120)
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
