import Testing

@testable import RDNetKit

/// Two routers and a server beyond a host's namespace; the routers' link has a small MTU.
///
///     host 10.71.1.2 ── 10.71.1.1 near 10.71.2.1 ── 10.71.2.2 far 10.71.3.1 ── 10.71.3.2 server
final class RoutedHost {
    static let near = "10.71.1.1"
    static let far = "10.71.2.2"
    static let server = "10.71.3.2"
    /// The host's address on this network.
    static let host = "10.71.1.2"
    /// The path's MTU, which only the first router knows.
    static let pathMTU = 1400

    let near: NetworkNamespace
    let far: NetworkNamespace
    let server: NetworkNamespace

    /// Connects a host's namespace to the routers.
    init(_ host: NetworkNamespace) throws {
        near = try NetworkNamespace()
        far = try NetworkNamespace()
        server = try NetworkNamespace()
        for namespace in [near, far, server] {
            try namespace.run("ip", "link", "set", "lo", "up")
        }
        try Self.connect(host, "\(Self.host)/24", near, "\(Self.near)/24", mtu: 1500)
        try Self.connect(near, "10.71.2.1/24", far, "\(Self.far)/24", mtu: Self.pathMTU)
        try Self.connect(far, "10.71.3.1/24", server, "\(Self.server)/24", mtu: 1500)
        try host.run("ip", "route", "add", "default", "via", Self.near)
        try near.run("ip", "route", "add", "10.71.3.0/24", "via", Self.far)
        try far.run("ip", "route", "add", "10.71.1.0/24", "via", "10.71.2.1")
        try server.run("ip", "route", "add", "default", "via", "10.71.3.1")
        for namespace in [host, near, far, server] {
            try namespace.run(
                "sysctl",
                "-qw",
                "net.ipv4.ip_forward=1",
                "net.ipv4.icmp_ratelimit=0"
            )
        }
    }

    private static func connect(
        _ one: NetworkNamespace,
        _ address: String,
        _ other: NetworkNamespace,
        _ peer: String,
        mtu: Int
    ) throws {
        let (left, right) = ("to\(other.name.suffix(8))", "to\(one.name.suffix(8))")
        try RDNetKitTests.run(
            "ip",
            "link",
            "add",
            left,
            "mtu",
            "\(mtu)",
            "netns",
            one.name,
            "type",
            "veth",
            "peer",
            "name",
            right,
            "mtu",
            "\(mtu)",
            "netns",
            other.name
        )
        for (namespace, interface, address) in [(one, left, address), (other, right, peer)] {
            try namespace.run("ip", "address", "add", address, "dev", interface)
            try namespace.run("ip", "link", "set", interface, "up")
        }
    }
}
