import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// Programs on a kernel that was booted with ipv6.disable=1, where IPv6 sockets do not exist.
@Suite(
    "a kernel without IPv6",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct WithoutIPv6Tests {
    private let directory = TemporaryDirectory()
    private static let rdnet = BuiltProgram.withoutIPv6 + [BuiltProgram.rdnet]

    /// The lines of a log that a person should not see because of missing IPv6.
    private func complaints(_ log: String) -> [Substring] {
        log.split(separator: "\n").filter { line in
            // EAFNOSUPPORT: "Address family not supported by protocol".
            ["level=error", "IPv6", "family"].contains { line.contains($0) }
        }
    }

    @Test func `up reports that all is well`() throws {
        let host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        let program = try RunningProgram(
            Self.rdnet + ["up", "--logfile", directory.file("log")],
            in: host,
            output: URL(fileURLWithPath: directory.file("output"))
        )
        try #require(comesTrue { !program.isRunning })
        let output = directory.text(of: "output")
        #expect(program.status == 0 && output.contains("all is well"), "\(output)")
        #expect(!output.contains("IPv6"), "\(output)")
        let log = directory.text(of: "log")
        #expect(complaints(log).isEmpty, "\(log)")
    }

    @Test func `a guest of up has no IPv6 resolver, and names lead to IPv4 addresses`() throws {
        let host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        let script =
            "cat /etc/resolv.conf; dig +short host.docker.internal AAAA; "
            + "dig +short host.docker.internal"
        let program = try RunningProgram(
            Self.rdnet + ["up", "--logfile", "", "--", "sh", "-c", script],
            in: host,
            output: URL(fileURLWithPath: directory.file("output"))
        )
        try #require(comesTrue { !program.isRunning })
        let lines = directory.text(of: "output").split(separator: "\n")
        #expect(lines.contains("nameserver 192.168.127.1"), "\(lines)")
        #expect(lines.last == "192.168.127.254", "\(lines)")
        #expect(!lines.contains { $0.contains("fdc0:") }, "\(lines)")
    }

    @Test(
        "host-switch and vm-switch connect a guest, whichever of their kernels has no IPv6",
        arguments: [(true, true), (true, false), (false, true)]
    )
    func switches(isOnHost: Bool, isOnGuest: Bool) throws {
        let plain = [BuiltProgram.rdnet]
        let world = try SwitchedGuest(
            programs: (isOnHost ? Self.rdnet : plain, isOnGuest ? Self.rdnet : plain),
            hostOptions: ["--port-forward", "0.0.0.0:8080=192.168.127.2:9"]
        )
        try world.serveEcho(7, in: world.host)
        #expect(world.reachesHost(), "\(world.logs)")
        try world.serveEcho(9, in: world.guest)
        let published = try world.load("rr", "127.0.0.1", "8080", "0.01", in: world.host)
        #expect(published["count"] ?? 0 > 0, "\(world.logs)")
        #expect(try !world.guest.run("ip", "-6", "address").contains("fdc0"))
        let lines = complaints(world.logs)
        #expect(lines.count == (isOnHost ? 1 : 0), "\(lines)")
        let api = "unix://" + world.directory.file("api")
        let leases = try run(
            BuiltProgram.withoutIPv6 + [BuiltProgram.rdnet, "ctl", "--api", api, "leases"]
        )
        #expect(leases.contains("192.168.127.2") && !leases.contains("fdc0"), "\(leases)")
    }

    @Test func `gvforwarder connects a guest of gvproxy`() throws {
        let scene = try GVProxyScene()
        try scene.start("-listen", "unix://@/network.sock", "-ssh-port", "-1")
        let guest = try NetworkNamespace()
        try guest.run("ip", "link", "set", "lo", "up")
        let forwarder = try RunningProgram(
            Self.rdnet + [
                "gvforwarder", "-url", "unix://" + scene.directory.file("network.sock"),
                "-iface", "tap0",
            ],
            in: guest,
            output: URL(fileURLWithPath: directory.file("output"))
        )
        let hasCome = try comesTrue {
            try guest.run("ip", "-4", "address").contains("inet 192.168.127.")
        }
        let log = directory.text(of: "output")
        #expect(hasCome && complaints(log).isEmpty, "\(log)")
        try guest.run("ping", "-n", "-c", "1", "-W", "10", "192.168.127.1")
        forwarder.end(with: SIGKILL)
    }

    @Test func `wsl-proxy publishes on all IPv4 addresses`() throws {
        let world = try ProxiedNamespaces(program: Self.rdnet)
        try world.serveEcho(7, in: world.guest)
        try world.publish(7)
        #expect(try world.load("rr", "127.0.0.1", "7", "0.1", in: world.host)["count"] ?? 0 > 0)
        #expect(complaints(world.log).isEmpty, "\(world.log)")
    }

    @Test func `port-proxy publishes on all IPv4 addresses`() throws {
        let host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        let server = try RunningProgram([BuiltProgram.load, "echo", "7"], in: host)
        try #require(try comesTrue { try host.run("ss", "-Hltn").contains(":7 ") })
        let port = try PublishedPort(
            [
                "-proto", "tcp", "-host-ip", "0.0.0.0", "-host-port", "8080", "-container-ip",
                "127.0.0.9", "-container-port", "7",
            ],
            after: BuiltProgram.withoutIPv6,
            in: host
        )
        try port.expectOpen()
        let answer = try host.run("bash", "-c", "printf hi | timeout 60 nc -N 127.0.0.1 8080")
        #expect(answer == "hi" && port.output.isEmpty, "\(port.output)")
        server.end(with: SIGKILL)
    }
}
