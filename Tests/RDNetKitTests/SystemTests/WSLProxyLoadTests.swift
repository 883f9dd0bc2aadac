import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "wsl-proxy under load",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct WSLProxyLoadTests {
    /// 10,000, or half of the descriptors where the limit cannot be raised.
    private var maximumConnections: Int {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return min(10_000, (Int(clamping: limit.rlim_max) - 64) / 2)
    }

    @Test func `10,000 connections through one port are held and alive`() throws {
        let world = try ProxiedNamespaces()
        try world.serveEcho(7, in: world.guest)
        try world.publish(7, "127.0.0.1")
        let before = try #require(world.proxy).residentSize()
        let count = maximumConnections
        let output = URL(fileURLWithPath: world.directory.file("held"))
        let held = try RunningProgram(
            [BuiltProgram.load, "hold", "127.0.0.1", "7", "\(count)"],
            in: world.host,
            output: output
        )
        let text = { try String(contentsOf: output, encoding: .utf8) }
        let areHeld = try comesTrue {
            try text().contains(#"{"held": \#(count)}"#) || !held.isRunning
        }
        let reached = try text()
        try #require(areHeld && held.isRunning, "\(reached)")
        try held.write(line: "go on")
        #expect(
            try comesTrue { try text().contains(#"{"alive": \#(count)}"#) }
        )
        let cost = try #require(world.proxy).residentSize() - before
        #expect(cost < count * 2_048, "\(cost) octets for \(count) connections")
    }

    @Test func `memory is the same after 100,000 connections`() throws {
        let world = try ProxiedNamespaces()
        // The kernel must forget old connections soon, or the ports would run out.
        for namespace in [world.host, world.guest] {
            try namespace.run("sysctl", "-qw", "net.ipv4.tcp_max_tw_buckets=500")
        }
        try world.serveEcho(7, in: world.guest)
        try world.publish(7, "127.0.0.1")
        var sizes: [Int] = []
        for _ in 0..<10 {
            let result = try world.load(
                "crr",
                "127.0.0.1",
                "7",
                "100",
                "32",
                "10000",
                in: world.host
            )
            #expect(result["count"] ?? 0 >= 10_000)
            sizes.append(try #require(world.proxy).residentSize())
        }
        #expect(sizes[9] - sizes[0] < 1 << 20, "\(sizes)")
        let open = try FileManager.default.contentsOfDirectory(
            atPath: "/proc/\(try #require(world.proxy).number)/fd"
        )
        #expect(open.count < 64)
    }

    @Test("bulk is carried whole, by many at once", arguments: ["bulk-up", "bulk-down"])
    func bulk(direction: String) throws {
        let world = try ProxiedNamespaces()
        try world.serve(BuiltProgram.load, "bulk-server", "9", in: world.guest)
        try world.waitForListener(9, in: world.guest)
        try world.publish(9, "127.0.0.1")
        _ = try world.load(direction, "127.0.0.1", "9", "100", "3000000", in: world.host)
    }
}
