import Testing

@testable import RDNetKit

/// Two guests and a host, all of which ping an address beyond the gateway with one identifier.
@Suite(
    "a guest's ping",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct EchoIsolationTests {
    private static let target = "10.99.0.1"
    private static let identifier = "4242"
    private let world: HeaderlessGuests

    init() throws {
        world = try HeaderlessGuests(.qemu, .bess)
        try world.host.run("ip", "address", "add", "\(Self.target)/32", "dev", "lo")
        for guest in [world.guest, world.other] {
            try guest.run("ip", "route", "add", "default", "via", "192.168.127.1")
        }
    }

    private func ping(
        from namespace: NetworkNamespace,
        identifier: String = identifier,
        count: Int,
        _ pattern: String
    ) throws {
        let output = try namespace.run(
            "ping",
            "-n",
            "-e",
            identifier,
            "-c",
            String(count),
            "-i",
            "0.01",
            "-W",
            "60",
            "-p",
            pattern,
            Self.target
        )
        #expect(output.contains(" \(count) received,"), "\(output)")
        #expect(!output.contains("DUP") && !output.contains("wrong data"), "\(output)")
    }

    /// Returns the number of echo replies that a namespace's kernel has received.
    private func replies(to namespace: NetworkNamespace) throws -> Int {
        let lines = try namespace.run("cat", "/proc/net/snmp").split(separator: "\n")
            .filter { $0.hasPrefix("Icmp:") }.map { $0.split(separator: " ") }
        let column = try #require(lines.first?.firstIndex(of: "InEchoReps"))
        let values = try #require(lines.last)
        return try #require(Int(values[column]))
    }

    /// The identifiers of the host's ping sockets.
    private func pingSockets() throws -> [String] {
        try world.host.run("cat", "/proc/net/icmp").split(separator: "\n").dropFirst().compactMap {
            let local = $0.split(separator: " ").dropFirst().first
            return local.flatMap { Int($0.suffix(4), radix: 16) }.map { String($0) }
        }
    }

    @Test(
        "gets its own replies, never those of another guest or of the host",
        // Ping sockets are available to everyone, or to nobody: then the echo sockets are raw.
        arguments: ["0 2147483647", "1 0"]
    )
    func ownReplies(pingGroups: String) throws {
        try world.host.run("sysctl", "-qw", "net.ipv4.ping_group_range=\(pingGroups)")
        let before = (try replies(to: world.guest), try replies(to: world.other))
        try ping(from: world.guest, count: 3, "aa")
        let sockets = try pingSockets()
        #expect(sockets.isEmpty == (pingGroups == "1 0"))
        try ping(from: world.other, count: 4, "bb")
        // From now on, the host's own ping uses a raw socket, which may have any identifier.
        try world.host.run("sysctl", "-qw", "net.ipv4.ping_group_range=1 0")
        for identifier in [Self.identifier] + sockets {
            try ping(from: world.host, identifier: identifier, count: 5, "cc")
        }
        // The replies to these follow all others.
        try ping(from: world.guest, count: 1, "dd")
        try ping(from: world.other, count: 1, "ee")
        #expect(try replies(to: world.guest) == before.0 + 4)
        #expect(try replies(to: world.other) == before.1 + 5)
        let drops = try #require(try world.statistics()["Drops"] as? [String: Int])
        #expect(drops["unsolicited"] == (sockets.isEmpty ? 0 : 5), "\(drops)")
    }
}
