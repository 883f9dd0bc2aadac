import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "limits of a guest",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct GuestLimitTests {
    /// Checks that a guest's transfers take at least as long as its rate allows.
    ///
    /// All octets arrive, and are compared; how much longer than that it takes is the machine's
    /// business.
    private func expectRate(_ scene: some GuestScene) throws {
        try scene.serve(BuiltProgram.load, "bulk-server", "7", in: scene.host)
        try scene.waitForListener(7, in: scene.host)
        // 1.5 s each at 40 and 80 Mbit/s.
        for (direction, octets) in [("bulk-up", 7_500_000), ("bulk-down", 15_000_000)] {
            for connections in ["1", "8"] {
                let result = try scene.load(
                    direction,
                    SwitchedGuest.hostAlias,
                    "7",
                    connections,
                    String(octets),
                    in: scene.guest
                )
                let milliseconds = try #require(result["ms"])
                // Less 10 ms of credit, and the longest frame.
                #expect(milliseconds > 1_450, "\(direction) over \(connections)")
            }
        }
    }

    @Test func `up keeps its guest to the rate of each direction`() throws {
        try expectRate(try UpGuest(options: ["--limit-rate", "40mbit/80mbit"]))
    }

    @Test func `host-switch keeps a guest on a stream to the rate of each direction`() throws {
        try expectRate(try SwitchedGuest(hostOptions: ["--limit-rate", "40mbit/80mbit"]))
    }

    @Test func `a limited guest that loads its link still gets names and pings`() throws {
        let up = try UpGuest(options: ["--limit-rate", "10mbit"])
        try up.serve(BuiltProgram.load, "bulk-server", "7", in: up.host)
        try up.waitForListener(7, in: up.host)
        let load = try RunningProgram(
            [BuiltProgram.load, "bulk-up", SwitchedGuest.hostAlias, "7", "4", "1000000000"],
            in: up.guest
        )
        defer { load.end(with: SIGKILL) }
        let isLoaded = try comesTrue { try sent(by: up.guest) > 2_000_000 }
        try #require(isLoaded && load.isRunning)
        try up.guest.run("ping", "-c", "3", "-W", "10", SwitchedGuest.hostAlias)
        let name = "gateway.containers.internal"
        let answer = try up.guest.run("dig", "+short", "+time=10", "@192.168.127.1", name)
        #expect(answer == "192.168.127.1\n")
        #expect(load.isRunning)
    }

    /// The bytes that a guest's interface has sent.
    private func sent(by guest: NetworkNamespace) throws -> Int {
        let lines = try guest.run("cat", "/proc/net/dev").split(separator: "\n")
        let line = try #require(lines.first { $0.contains("eth0:") })
        // After the name, eight columns of what was received.
        return try #require(Int(line.split(separator: " ")[9]))
    }

    @Test func `one connection more than allowed is refused, and published ports go on`() throws {
        let forward = "127.0.0.1:8080=192.168.127.2:80"
        let up = try UpGuest(options: ["--limit-flows", "5", "--port-forward", forward])
        try up.serveEcho(7, in: up.host)
        try up.serveEcho(80, in: up.guest)
        let held = try RunningProgram(
            [BuiltProgram.load, "hold", SwitchedGuest.hostAlias, "7", "5"],
            in: up.guest
        )
        defer { held.end(with: SIGKILL) }
        let isFull = try comesTrue {
            let all = try up.guest.run("ss", "-Htn", "state", "established", "dport", "=", ":7")
            return all.split(separator: "\n").count == 5
        }
        try #require(isFull)
        #expect(throws: (any Error).self) {
            try up.guest.run("nc", "-zw", "10", SwitchedGuest.hostAlias, "7")
        }
        _ = try up.load("rr", "127.0.0.1", "8080", "0.01", in: up.host)
        held.end(with: SIGKILL)
        let isFree = comesTrue {
            succeeds { try up.guest.run("nc", "-zw", "10", SwitchedGuest.hostAlias, "7") }
        }
        #expect(isFree)
        let log = try up.log
        #expect(log.contains("limit=guest_flows"), "\(log)")
    }
}
