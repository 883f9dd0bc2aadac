import Glibc
import Testing

@testable import RDNetKit

/// Two guests with kernels of their own on one host-switch.
@Suite(
    "guests on one switch",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct GuestIsolationTests {
    private static let hostAlias = "192.168.127.254"
    private static let gateway = "192.168.127.1"

    /// Pings an address; returns whether it was answered as expected.
    private func ping(
        _ address: String,
        from namespace: NetworkNamespace,
        isAnswered: Bool
    ) -> Bool {
        let patience = isAnswered ? "60" : "1"
        return isAnswered
            == succeeds {
                try namespace.run("ping", "-n", "-c", "1", "-W", patience, address)
            }
    }

    private func drops(_ world: HeaderlessGuests, _ reason: String) throws -> Int {
        let drops = try #require(try world.statistics()["Drops"] as? [String: Int])
        return try #require(drops[reason])
    }

    private func reachesHost(_ world: HeaderlessGuests, _ guest: NetworkNamespace) -> Bool {
        succeeds { try world.load("rr", Self.hostAlias, "7", "0.01", in: guest) }
    }

    // MARK: Claims

    @Test(
        "a guest with another's MAC address gets none of its frames while that one is connected",
        // The kernel reports the end of a stream, but not that of a datagram socket.
        arguments: [HeaderlessGuests.Attachment.qemu, .vfkit]
    )
    func takesMAC(of victim: HeaderlessGuests.Attachment) throws {
        let world = try HeaderlessGuests(victim, .bess)
        try world.serveEcho(7, in: world.host)
        let mac = try world.guest.run("cat", "/sys/class/net/eth0/address").trimmed
        try world.other.run("ip", "link", "set", "eth0", "address", mac)
        #expect(ping(Self.gateway, from: world.other, isAnswered: false))
        #expect(try drops(world, "taken_mac") > 0)
        #expect(reachesHost(world, world.guest))
        // A guest that ends gives its address up.
        world.servers[1].end(with: SIGKILL)
        let isTaken = comesTrue {
            succeeds { try world.other.run("ping", "-n", "-c", "1", "-W", "1", Self.gateway) }
        }
        #expect(isTaken)
    }

    @Test func `a guest with another's IP address neither reaches the gateway nor the others`()
        throws
    {
        let world = try HeaderlessGuests(.bess, .qemu)
        try world.serveEcho(7, in: world.host)
        try world.other.run("ip", "address", "flush", "dev", "eth0")
        for address in [world.addresses.guest, Self.hostAlias] {
            try world.other.run("ip", "address", "add", "\(address)/24", "dev", "eth0")
            // The kernel announces nothing by itself; ping sends ARP requests from the address.
            #expect(ping(Self.gateway, from: world.other, isAnswered: false))
            try world.other.run("ip", "address", "delete", "\(address)/24", "dev", "eth0")
        }
        #expect(try drops(world, "taken_address") > 0)
        #expect(try drops(world, "bad_source") > 0)
        #expect(reachesHost(world, world.guest))
        let neighbor = try world.guest.run("ip", "neighbor", "show", Self.hostAlias)
        #expect(neighbor.contains("\(MACAddress.standardGateway)"), "\(neighbor)")
    }

    // MARK: Isolation

    @Test("guests reach each other, except with --isolate", arguments: [false, true])
    func reachability(isIsolated: Bool) throws {
        let options = isIsolated ? ["--isolate"] : []
        let world = try HeaderlessGuests(.qemu, .extended, hostOptions: options)
        try world.serveEcho(7, in: world.host)
        #expect(ping(world.addresses.other, from: world.guest, isAnswered: !isIsolated))
        #expect(ping(world.addresses.guest, from: world.other, isAnswered: !isIsolated))
        #expect(ping("fdc0::12", from: world.guest, isAnswered: !isIsolated))
        // To a MAC address that is known.
        for (namespace, neighbor, other) in [
            (world.guest, world.addresses.other, world.other),
            (world.other, world.addresses.guest, world.guest),
        ] {
            let mac = try other.run("cat", "/sys/class/net/eth0/address").trimmed
            try namespace.run(
                "ip",
                "neighbor",
                "replace",
                neighbor,
                "lladdr",
                mac,
                "dev",
                "eth0",
                "nud",
                "permanent"
            )
        }
        #expect(ping(world.addresses.other, from: world.guest, isAnswered: !isIsolated))
        // Through the gateway.
        try world.guest.run("ip", "route", "add", world.addresses.other, "via", Self.gateway)
        #expect(!isIsolated || ping(world.addresses.other, from: world.guest, isAnswered: false))
        #expect(try (drops(world, "isolated") > 0) == isIsolated)
        for namespace in [world.guest, world.other] {
            #expect(ping(Self.gateway, from: namespace, isAnswered: true))
            #expect(reachesHost(world, namespace))
        }
    }

    @Test("isolated guests do not reach each other through the host", arguments: [false, true])
    func hairpins(isIsolated: Bool) throws {
        let options = isIsolated ? ["--isolate"] : []
        let world = try HeaderlessGuests(
            .qemu,
            .bess,
            hostOptions: options + [
                "--port-forward", "127.0.0.1:8080=192.168.127.12:80",
                "--port-forward", "0.0.0.0:8081=192.168.127.12:81/udp",
            ]
        )
        try world.serveEcho(80, in: world.other)
        try world.serve(BuiltProgram.load, "udp-server", "81", in: world.other)
        try world.waitForListener(81, in: world.other, kind: "-uln")
        let tcp = { (namespace: NetworkNamespace, address: String) in
            succeeds { try world.load("rr", address, "8080", "0.01", in: namespace) }
        }
        let udp = { (namespace: NetworkNamespace, address: String) in
            succeeds {
                let result = try world.load(
                    "udp-down",
                    address,
                    "8081",
                    "0.2",
                    "20",
                    in: namespace
                )
                try #require(result["received"] ?? 0 > 0)
            }
        }
        #expect(tcp(world.host, "127.0.0.1") && udp(world.host, "127.0.0.1"))
        #expect(tcp(world.other, Self.hostAlias), "a guest's own port")
        #expect(tcp(world.guest, Self.hostAlias) == !isIsolated)
        #expect(udp(world.guest, Self.hostAlias) == !isIsolated)

        // One guest's datagrams to the host socket of another guest's flow.
        let alias = try #require(IPAddress(Self.hostAlias))
        let host = try world.host.enter { try HostDatagrams() }
        let one = try world.guest.enter { try HostDatagrams(.anyIPv4) }
        let other = try world.other.enter { try HostDatagrams(.anyIPv4) }
        try other.send([1], to: Endpoint(address: alias, port: host.port))
        #expect(try comesTrue { try host.receive() })
        let external = try #require(host.received.first?.sender.port)
        try one.send([2], to: Endpoint(address: alias, port: external))
        try one.send([3], to: Endpoint(address: alias, port: host.port))
        #expect(
            try comesTrue {
                _ = try host.receive()
                return host.received.count == 2
            }
        )
        try host.send([4], to: host.received[0].sender)
        #expect(
            try comesTrue {
                _ = try other.receive()
                return other.received.last?.payload == [4]
            }
        )
        #expect(other.received.map(\.payload) == (isIsolated ? [[4]] : [[2], [4]]))
        #expect(try (drops(world, "isolated") >= 3) == isIsolated)
    }
}
