import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "host-switch and vm-switch",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct SwitchedGuestTests {
    private typealias Guest = SwitchedGuest

    @Test func `the guest gets address, route and MTU, and its pings are answered`() throws {
        let world = try Guest(hostOptions: ["--mtu", "9000"])
        let link = try world.guest.run("ip", "link", "show", "eth0")
        #expect(link.contains("mtu 9000") && link.contains("5a:94:ef:e4:0c:ee"))
        let route = try world.guest.run("ip", "route", "show", "default")
        #expect(route.hasPrefix("default via \(Guest.gateway) dev eth0"))
        for address in [Guest.gateway, Guest.hostAlias] {
            try world.guest.run("ping", "-c", "1", "-W", "5", address)
        }
    }

    @Test(
        "dig gets the gateway's answers",
        arguments: [
            (["gateway.docker.internal"], ["NOERROR", "\t192.168.127.1\n"]),
            (["+tcp", "host.docker.internal"], ["NOERROR", "\t192.168.127.254\n"]),
            (["gateway.docker.internal", "AAAA"], ["NOERROR", "\tfdc0:a87f::1\n"]),
            (["host.docker.internal", "AAAA"], ["NOERROR", "\tfdc0:a87f::fe\n"]),
            (["nobody.docker.internal"], ["NXDOMAIN"]),
        ] as [([String], [String])]
    )
    func digGetsAnswers(question: [String], expected: [String]) throws {
        let world = try Guest()
        let output = try run(
            ["ip", "netns", "exec", world.guest.name, "dig", "@\(Guest.gateway)", "+tries=2"]
                + question
        )
        for text in expected { #expect(output.contains(text), "\(output)") }
    }

    @Test("64 MiB arrive octet for octet, both ways", arguments: ["1500", "65520"])
    func transfersAreExact(mtu: String) throws {
        let world = try Guest(hostOptions: ["--mtu", mtu])
        let (file, script) = ("file", "www/cgi-bin/sum")
        try run("mkdir", "-p", world.directory.file("www/cgi-bin"))
        try run("dd", "if=/dev/urandom", "of=\(world.directory.file(file))", "bs=1M", "count=64")
        try run("ln", world.directory.file(file), world.directory.file("www/file"))
        let answer = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nsha256sum\n"
        try Data(answer.utf8).write(to: URL(fileURLWithPath: world.directory.file(script)))
        try run("chmod", "+x", world.directory.file(script))
        try world.serve(
            "busybox",
            "httpd",
            "-f",
            "-p",
            "80",
            "-h",
            world.directory.file("www"),
            in: world.host
        )
        try world.waitForListener(80, in: world.host)
        let sum = try checksum(of: world.directory.file(file))

        let url = "http://\(Guest.hostAlias)"
        let copy = world.directory.file("copy")
        try world.guest.run("curl", "-sSf", "-m", "60", "-o", copy, "\(url)/file")
        #expect(try checksum(of: copy) == sum)
        let octets = "@" + world.directory.file(file)
        let seen = try world.guest.run(
            "curl",
            "-sSf",
            "-m",
            "60",
            "-H",
            "Expect:",
            "--data-binary",
            octets,
            "\(url)/cgi-bin/sum"
        )
        #expect(seen.hasPrefix(sum))
    }

    private func checksum(of path: String) throws -> String {
        String(try run("sha256sum", path).prefix(64))
    }

    @Test func `iperf3 runs in both directions, with one stream and with eight`() throws {
        let world = try Guest()
        try world.serve("iperf3", "-s", in: world.host)
        try world.waitForListener(5_201, in: world.host)
        for options in [["-P", "1"], ["-P", "8"], ["-P", "1", "-R"], ["-P", "8", "-R"]] {
            let output = try run(
                [
                    "timeout", "120", "ip", "netns", "exec", world.guest.name, "iperf3", "-J", "-t",
                    "1",
                ]
                    + ["-c", Guest.hostAlias] + options
            )
            let all = try #require(
                try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any]
            )
            let sums = try #require((all["end"] as? [String: Any])?["sum_received"])
            let octets = try #require((sums as? [String: Any])?["bytes"] as? Double)
            #expect(octets > 0, "\(options)")
        }
    }

    @Test func `a published TCP port and a published UDP port lead to the guest`() throws {
        let world = try Guest()
        try world.serveEcho(7, in: world.guest)
        try world.serve(BuiltProgram.load, "udp-server", "7", in: world.guest)
        try world.waitForListener(7, in: world.guest, kind: "-uln")
        for (transport, port) in [("tcp", 8_080), ("udp", 8_081)] {
            try world.askAPI(
                "/services/forwarder/expose",
                body:
                    #"{"local":"127.0.0.1:\#(port)","remote":"192.168.127.2:7","protocol":"\#(transport)"}"#
            )
        }
        let list = try world.askAPI("/services/forwarder/all")
        #expect(list.contains("127.0.0.1:8080") && list.contains("127.0.0.1:8081"))
        #expect(try world.load("rr", "127.0.0.1", "8080", "0.1", in: world.host)["count"] ?? 0 > 0)
        for direction in ["udp-up", "udp-down"] {
            let result = try world.load(direction, "127.0.0.1", "8081", "0.2", "20", in: world.host)
            #expect(result["received"] ?? 0 > 0, "\(direction): \(result)")
        }

        try world.askAPI("/services/forwarder/unexpose", body: #"{"local":"127.0.0.1:8080"}"#)
        #expect(throws: ProgramFailure.self) {
            try world.load("rr", "127.0.0.1", "8080", "0.1", in: world.host)
        }
    }

    @Test func `a refused port is refused, not lost`() throws {
        let world = try Guest()
        // The first connection would include the ARP exchange.
        try world.guest.run("ping", "-c", "1", "-W", "5", Guest.hostAlias)
        #expect(try world.guest.enter { try attempt(port: 9) } == ECONNREFUSED)
    }

    /// Connects to a port of the host; returns the errno, or 0.
    private func attempt(port: UInt16) throws -> Int32 {
        let descriptor = OwnedDescriptor(
            adopting: try systemCall("socket") { socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) }
        )
        let number = descriptor.number
        let endpoint = try #require(Endpoint("\(Guest.hostAlias):\(port)"))
        let result = SocketAddress(endpoint).withPointer { connect(number, $0, $1) }
        return result == 0 ? 0 : errno
    }

    @Test func `datagrams go both ways`() throws {
        let world = try Guest()
        try world.serve(BuiltProgram.load, "udp-server", "7", in: world.host)
        try world.waitForListener(7, in: world.host, kind: "-uln")
        for direction in ["udp-up", "udp-down"] {
            let result = try world.load(
                direction,
                Guest.hostAlias,
                "7",
                "0.5",
                "50",
                in: world.guest
            )
            #expect(result["received"] ?? 0 > 0, "\(direction): \(result)")
        }
    }
}
