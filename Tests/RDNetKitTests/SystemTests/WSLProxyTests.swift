import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "wsl-proxy",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct WSLProxyTests {
    private static let patience = hangGuard

    @Test(
        "curl reaches a published port wherever it is published",
        arguments: [
            ("0.0.0.0", ["127.0.0.1", "[::1]", "192.168.143.2"], ["*"]),
            ("", ["127.0.0.1", "[::1]"], ["*"]), ("::", ["127.0.0.1", "[::1]"], ["*"]),
            ("127.0.0.1", ["127.0.0.1"], ["127.0.0.1"]), ("::1", ["[::1]"], ["[::1]"]),
            ("192.168.143.2", ["192.168.143.2"], ["192.168.143.2"]),
        ]
    )
    func addresses(address: String, hosts: [String], listeners: [String]) throws {
        let world = try ProxiedNamespaces()
        let page = String(repeating: "published\n", count: 100_000)
        try page.write(toFile: world.directory.file("page"), atomically: true, encoding: .utf8)
        try world.serve(
            "busybox",
            "httpd",
            "-f",
            "-p",
            "8080",
            "-h",
            world.directory.path,
            in: world.guest
        )
        try world.waitForListener(8080, in: world.guest)
        try world.publish(8080, address)
        #expect(try world.listeners(8080) == listeners)
        for host in hosts {
            let got = try world.host.run("curl", "-sS", "-m", "20", "http://\(host):8080/page")
            #expect(got == page)
        }
        try world.say("remove", 8080, address)
        #expect(try comesTrue { try world.listeners(8080).isEmpty })
    }

    @Test func `without IPv6 all addresses are those of IPv4`() throws {
        let world = try ProxiedNamespaces(hasIPv6: false)
        try world.serveEcho(7, in: world.guest)
        try world.publish(7)
        #expect(try world.load("rr", "127.0.0.1", "7", "0.1", in: world.host)["count"] ?? 0 > 0)
    }

    @Test func `nc, which ends its direction first, gets the answer`() throws {
        let world = try ProxiedNamespaces()
        let server = try world.listen(7777)
        try world.publish(7777)
        let output = URL(fileURLWithPath: world.directory.file("answer"))
        let client = try RunningProgram(
            ["sh", "-c", "printf question | nc -N 127.0.0.1 7777"],
            in: world.host,
            output: output
        )
        let connection = try server.accept(within: Self.patience)
        var question: [UInt8] = []
        while true {
            let more = try connection.receive(upTo: 100, within: Self.patience)
            if more.isEmpty { break }
            question += more
        }
        #expect(String(decoding: question, as: UTF8.self) == "question")
        try connection.send(Array("answer".utf8), within: Self.patience)
        Socket.shutDownSending(connection.descriptor)
        #expect(comesTrue { !client.isRunning })
        #expect(try String(contentsOf: output, encoding: .utf8) == "answer")
    }

    @Test func `a port behind which nobody listens resets its clients`() throws {
        let world = try ProxiedNamespaces()
        try world.publish(7777)
        let endpoint = try #require(Endpoint("127.0.0.1:7777"))
        let error = #expect(throws: SystemError.self) {
            let client = try world.host.enter {
                try WaitingSocket.connected(to: endpoint, .stream, within: Self.patience)
            }
            _ = try client.receive(upTo: 1, within: Self.patience)
        }
        #expect(error?.errno == ECONNRESET)
    }

    @Test func `established connections outlive their port`() throws {
        let world = try ProxiedNamespaces()
        let server = try world.listen(7777)
        try world.publish(7777, "127.0.0.1")
        let endpoint = try #require(Endpoint("127.0.0.1:7777"))
        let client = try world.host.enter {
            try WaitingSocket.connected(to: endpoint, .stream, within: Self.patience)
        }
        let connection = try server.accept(within: Self.patience)
        try world.say("remove", 7777, "127.0.0.1")
        #expect(try comesTrue { try world.listeners(7777).isEmpty })
        try connection.send([1, 2, 3], within: Self.patience)
        #expect(try client.receive(upTo: 10, within: Self.patience) == [1, 2, 3])
    }

    @Test func `1,000 UDP clients get their answers, and dig gets one`() throws {
        let world = try ProxiedNamespaces()
        try world.serve(BuiltProgram.load, "udp-echo", "5353", in: world.guest)
        try world.waitForListener(5353, in: world.guest, kind: "-uln")
        try world.publish(5353, "0.0.0.0", "udp")
        let result = try world.load("udp-clients", "127.0.0.1", "5353", "1000", in: world.host)
        #expect(result["answered"] == 1_000)
        // An echo is not a valid response, but dig still notices it.
        let output = try world.host.run(
            "sh",
            "-c",
            "dig +tries=1 +time=5 -p 5353 @::1 example.org || true"
        )
        #expect(!output.contains("timed out") && output.contains("query"), "\(output)")
        #expect(try world.listeners(5353).isEmpty)
    }

    @Test func `a port's buffer is as large as -udpBuffer says`() throws {
        let world = try ProxiedNamespaces(options: ["-udpBuffer", "300000"])
        try world.publish(5353, "127.0.0.1", "udp")
        // The kernel doubles the requested size.
        #expect(try world.host.run("ss", "-Hulnm", "sport", "=", ":5353").contains("rb600000"))
    }

    @Test func `many sources, back to back: what is wanted at the end is there`() throws {
        let world = try ProxiedNamespaces()
        // The agent publishes the Kubernetes API twice: at its start, and from its scan of
        // /proc/net.
        try world.say("add", 6443, "127.0.0.1")
        try world.say("add", 6443, "0.0.0.0")
        for _ in 0..<200 {
            try world.say("add", 8080)
            try world.say("remove", 8080)
        }
        try world.say("add", 8080)
        try world.say("remove", 6443, "0.0.0.0")
        try world.say("add", 9999, "127.0.0.1")
        try world.waitForListener(9999, in: world.host)
        #expect(try world.listeners(8080) == ["*"])
        #expect(try world.listeners(6443) == ["127.0.0.1"])
    }
}
