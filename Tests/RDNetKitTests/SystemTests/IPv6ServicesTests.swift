import Foundation
import Testing

@testable import RDNetKit

/// Names and published ports of a network with IPv6, with real clients and servers.
@Suite(
    "services in IPv6",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct IPv6ServicesTests {
    private static let guest = "fdc0:a87f::2"
    private static let gateway = "fdc0:a87f::1"

    /// Asks the gateway from inside the guest.
    private func dig(_ words: String..., in world: SwitchedGuest) throws -> String {
        try run(
            ["ip", "netns", "exec", world.guest.name, "dig", "+time=10", "+tries=1"] + words
        )
    }

    /// Serves a file on a TCP port of the guest, for one family only.
    private func serve(_ text: String, at address: String, in world: SwitchedGuest) throws {
        let folder = world.directory.file(text)
        try FileManager.default.createDirectory(
            atPath: folder,
            withIntermediateDirectories: false
        )
        try text.write(toFile: "\(folder)/index.html", atomically: true, encoding: .utf8)
        try world.serve("busybox", "httpd", "-f", "-p", address, "-h", folder, in: world.guest)
        let port = try #require(address.split(separator: ":").last.flatMap { Int($0) })
        try world.waitForListener(port, in: world.guest)
    }

    private func fetch(_ family: String, _ address: String, in world: SwitchedGuest) throws
        -> String
    {
        try world.host.run("curl", family, "-sS", "-m", "60", "http://\(address)/")
    }

    @Test func `names have addresses of both families, and addresses have names`() throws {
        let world = try SwitchedGuest()
        for (name, address) in [("host", "fdc0:a87f::fe"), ("gateway", Self.gateway)] {
            for server in ["192.168.127.1", Self.gateway] {
                #expect(
                    try dig("@\(server)", "\(name).docker.internal", "AAAA", "+short", in: world)
                        == "\(address)\n"
                )
            }
        }
        let name = "gateway.rancher-desktop.internal.\n"
        #expect(try dig("@\(Self.gateway)", "-x", Self.gateway, "+short", in: world) == name)
        let unknown = try dig("@\(Self.gateway)", "-x", "fdc0:a87f::99", in: world)
        #expect(unknown.contains("status: NXDOMAIN"))
        // The alias leads to the host's loopback in either family.
        try world.serveEcho(7, in: world.host)
        let text = try world.guest.run(
            "bash",
            "-c",
            "printf hello | timeout 60 nc -6 -N fdc0:a87f::fe 7"
        )
        #expect(text == "hello")
    }

    @Test func `without IPv6 names have none, and the answer comes at once`() throws {
        let world = try SwitchedGuest(hostOptions: ["--ipv6", "off"])
        let answer = try dig("@192.168.127.1", "host.docker.internal", "AAAA", in: world)
        #expect(answer.contains("status: NOERROR"))
        #expect(answer.contains("ANSWER: 0"))
    }

    @Test func `a published port reaches the family in which the guest listens`() throws {
        let world = try SwitchedGuest(hostOptions: [
            "--port-forward", "[::1]:8080=[\(Self.guest)]:80",
            "--port-forward", "127.0.0.1:8081=192.168.127.2:80",
            "--port-forward", "[::1]:8082=[\(Self.guest)]:81",
            "--port-forward", "127.0.0.1:8083=192.168.127.2:81",
            "--port-forward", "[::]:8084=[\(Self.guest)]:80",
        ])
        try world.guest.run("sysctl", "-qw", "net.ipv6.bindv6only=1")
        try serve("six", at: "[::]:80", in: world)
        try serve("four", at: "0.0.0.0:81", in: world)
        for (family, address, text) in [
            ("-6", "[::1]:8080", "six"), ("-4", "127.0.0.1:8081", "six"),
            ("-6", "[::1]:8082", "four"), ("-4", "127.0.0.1:8083", "four"),
            ("-6", "[::1]:8084", "six"), ("-4", "127.0.0.1:8084", "six"),
        ] {
            #expect(try fetch(family, address, in: world) == text, "\(address)")
        }
        // Nobody listens there in either family.
        try world.askAPI(
            "/services/forwarder/expose",
            body: #"{"local":"127.0.0.1:8085","remote":"[\#(Self.guest)]:82"}"#
        )
        #expect(throws: (any Error).self) { try fetch("-4", "127.0.0.1:8085", in: world) }
        #expect(throws: (any Error).self) {
            try world.askAPI(
                "/services/forwarder/expose",
                body: #"{"local":"127.0.0.1:8086","remote":"[2001:db8::1]:80"}"#
            )
        }
    }

    @Test func `a guest publishes its own port over IPv6`() throws {
        let world = try SwitchedGuest()
        try serve("own", at: "[::]:80", in: world)
        try world.guest.run(
            "curl",
            "-sSf",
            "-d",
            #"{"local":"127.0.0.1:8080","remote":":80"}"#,
            "http://[\(Self.gateway)]/services/forwarder/expose"
        )
        #expect(
            try world.askAPI("/services/forwarder/all")
                == #"[{"local":"127.0.0.1:8080","remote":"[\#(Self.guest)]:80","protocol":"tcp"}]"#
                + "\n"
        )
        #expect(try fetch("-4", "127.0.0.1:8080", in: world) == "own")
    }

    @Test func `a datagram of a published port comes from the gateway in the guest's family`()
        throws
    {
        let world = try SwitchedGuest(hostOptions: [
            "--port-forward", "127.0.0.1:8080=[\(Self.guest)]:7/udp",
        ])
        try world.serve(
            "socat",
            "UDP6-RECVFROM:7,fork",
            "SYSTEM:echo $SOCAT_PEERADDR",
            in: world.guest
        )
        try world.waitForListener(7, in: world.guest, kind: "-uln")
        // A datagram to an address that the guest does not have yet is lost.
        try world.guest.run("ping", "-6", "-c", "1", "-W", "60", "fdc0:a87f::1")
        let peer = try world.host.run(
            "bash",
            "-c",
            "echo x | timeout 60 socat -t 30 - UDP:127.0.0.1:8080,shut-none | head -1"
        )
        #expect(peer == "[fdc0:a87f:0000:0000:0000:0000:0000:0001]\n")
    }
}
