import Foundation
import Testing

@testable import RDNetKit

/// A guest of `up` whose host reaches a server through routers.
private final class RoutedGuest {
    let up: UpGuest
    let path: RoutedHost
    var guest: NetworkNamespace { up.guest }

    init(pingGroups: String = "0 2147483647") throws {
        up = try UpGuest(options: ["--mtu", "1500"])
        path = try RoutedHost(up.host)
        try up.host.run("sysctl", "-qw", "net.ipv4.ping_group_range=\(pingGroups)")
    }

    /// Runs a program in the guest, which may fail; returns its output.
    func output(_ command: String) throws -> String {
        try guest.run("sh", "-c", "timeout 60 \(command) 2>&1 || true")
    }

    /// A UDP socket in the guest.
    func datagrams() throws -> HostDatagrams {
        try guest.enter { try HostDatagrams(IPAddress(ipv4: 0xc0a8_7f02)) }
    }

    /// A UDP socket on the server.
    func serverDatagrams() throws -> (socket: HostDatagrams, endpoint: Endpoint) {
        let address = try #require(IPAddress(RoutedHost.server))
        let socket = try path.server.enter { try HostDatagrams(address) }
        return (socket, Endpoint(address: address, port: socket.port))
    }
}

@Suite(
    "the path beyond the host",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct PathErrorTests {
    @Test(
        "traceroute shows the gateway, the routers and the target (RFC 5508, REQ-10)",
        arguments: ["", "-T -p 81", "-I"],
        // Ping sockets are available to everyone, or to nobody: then the echo sockets are raw.
        ["0 2147483647", "1 0"]
    )
    func traceroute(method: String, pingGroups: String) throws {
        let world = try RoutedGuest(pingGroups: pingGroups)
        let output = try world.output("traceroute -n -q 1 -w 5 \(method) \(RoutedHost.server)")
        let hops = output.split(separator: "\n").dropFirst().map { line in
            line.split(separator: " ").dropFirst().first.map(String.init)
        }
        let expected = ["192.168.127.1", RoutedHost.near, RoutedHost.far, RoutedHost.server]
        #expect(hops == expected, "\(output)")
    }

    @Test func `tracepath measures the path's MTU with UDP that must not be fragmented`() throws {
        let world = try RoutedGuest()
        let output = try world.output("tracepath -n \(RoutedHost.server)")
        #expect(output.contains("\(RoutedHost.near) "), "\(output)")
        #expect(output.contains("pmtu \(RoutedHost.pathMTU)"), "\(output)")
        #expect(output.contains("Resume: pmtu 1400 hops 4 back 4"), "\(output)")
    }

    @Test func `an echo request with DF is answered with the MTU, one without is fragmented`()
        throws
    {
        let world = try RoutedGuest()
        // ping(8) does not always show the first error; later, its own kernel knows the MTU.
        let refused = try world.output("ping -n -c 3 -i 0.2 -s 1450 -M do \(RoutedHost.server)")
        #expect(refused.contains("mtu = 1400") || refused.contains("mtu=1400"), "\(refused)")
        let whole = try world.output("ping -n -c 1 -W 5 -s 1450 -M dont \(RoutedHost.server)")
        // Two routers and the gateway have forwarded the answer.
        #expect(whole.contains("icmp_seq=1 ttl=61"), "\(whole)")
    }

    @Test func `every error has its type, its code and its router's address`() throws {
        let world = try RoutedGuest()
        let routes = [
            "unreachable": (80, "Destination Host Unreachable"),
            "prohibit": (81, "Packet filtered"),
        ]
        for (kind, (last, text)) in routes {
            let target = "10.71.3.\(last)"
            try world.path.near.run("ip", "route", "add", kind, "\(target)/32")
            // The router's kernel reports a source's packets to such routes once per second after
            // the first five (net.ipv4.route.error_cost), whatever icmp_ratelimit says.
            let ping = try world.output("ping -n -c 5 -i 1 \(target)")
            #expect(ping.contains("From \(RoutedHost.near) icmp_seq="), "\(ping)")
            #expect(ping.contains(text), "\(ping)")
            let mark = kind == "prohibit" ? "!X" : "!H"
            for method in ["", "-T"] {
                let trace = try world.output("traceroute -n -q 1 -w 5 \(method) \(target)")
                let last = try #require(trace.split(separator: "\n").last)
                #expect(last.contains(RoutedHost.near), "\(kind) \(method): \(trace)")
                #expect(last.hasSuffix(mark), "\(kind) \(method): \(trace)")
            }
        }
    }

    @Test
    func `sockets of guests reach each other by their external addresses (RFC 4787, REQ-9)`()
        throws
    {
        let world = try RoutedGuest()
        let (one, other) = (try world.datagrams(), try world.datagrams())
        let server = try world.serverDatagrams()
        for socket in [one, other] { try socket.send([1], to: server.endpoint) }
        #expect(
            try comesTrue {
                _ = try server.socket.receive()
                return server.socket.received.count == 2
            }
        )
        let external = server.socket.received.map { $0.sender }
        let host = try #require(IPAddress(RoutedHost.host))
        #expect(external.allSatisfy { $0.address == host })
        // The first socket has not sent to the host itself, so only this rule admits the datagram.
        try other.send([2], to: external[0])
        #expect(try comesTrue { try one.receive() })
        #expect(one.received.map { $0.sender } == [external[1]])
        try one.answer([3])
        #expect(try comesTrue { try other.receive() })
        #expect(other.received.map { $0.sender } == [external[0]])
    }

    @Test func `a peer learns that the guest has closed its UDP port`() throws {
        let world = try RoutedGuest()
        let server = try world.serverDatagrams()
        do {
            let socket = try world.datagrams()
            try socket.send([1], to: server.endpoint)
            #expect(try comesTrue { try server.socket.receive() })
        }
        // The guest refuses the next datagram, and then the host does: only a connected socket is
        // notified.
        try server.socket.connectToLatest()
        let isRefused = comesTrue {
            do {
                try server.socket.answer([2])
                return false
            } catch {
                return true
            }
        }
        #expect(isRefused)
    }
}
