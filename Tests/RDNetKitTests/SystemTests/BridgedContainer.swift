import Testing

/// A namespace behind a Linux bridge in a guest, as container engines create them.
final class BridgedContainer {
    /// The way in which the guest forwards the container's traffic.
    enum Way: CaseIterable {
        /// A subnet of the bridge, masqueraded; port 8080 of the guest leads to port 80.
        case masquerade
        /// The guest's interface is a bridge port, so the container joins the virtual Ethernet.
        case bridge
    }

    let namespace: NetworkNamespace
    private let guest: NetworkNamespace

    /// Creates a container; its MTU is 1500 whatever the guest's is.
    init(in guest: NetworkNamespace, _ way: Way) throws {
        self.guest = guest
        namespace = try NetworkNamespace()
        try namespace.run("ip", "link", "set", "lo", "up")
        try guest.run("ip", "link", "add", "br0", "type", "bridge")
        try guest.run(
            "ip",
            "link",
            "add",
            "port0",
            "mtu",
            "1500",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "mtu",
            "1500",
            "netns",
            namespace.name
        )
        try guest.run("ip", "link", "set", "port0", "master", "br0", "up")
        try guest.run("ip", "link", "set", "br0", "up")
        try namespace.run("ip", "link", "set", "eth0", "up")
        switch way {
        case .masquerade: try masquerade()
        case .bridge: try bridge()
        }
    }

    private func masquerade() throws {
        try guest.run("ip", "address", "add", "172.17.0.1/16", "dev", "br0")
        try namespace.run("ip", "address", "add", "172.17.0.2/16", "dev", "eth0")
        try namespace.run("ip", "route", "add", "default", "via", "172.17.0.1")
        try guest.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        try guest.run(
            "nft",
            """
            table ip container {
                chain out {
                    type nat hook postrouting priority 100
                    ip saddr 172.17.0.0/16 oifname "eth0" masquerade
                }
                chain in { type nat hook prerouting priority -100; tcp dport 8080 dnat to 172.17.0.2:80; }
            }
            """
        )
    }

    private func bridge() throws {
        try guest.run("ip", "link", "set", "eth0", "master", "br0")
        try namespace.run("ip", "address", "add", "192.168.127.3/24", "dev", "eth0")
        try namespace.run("ip", "route", "add", "default", "via", "192.168.127.1")
    }

    /// Disables every offload of the container's link.
    ///
    /// Afterwards only finished packets pass, and the receiver verifies their checksums.
    func dropOffloads() throws {
        let off = ["tso", "gso", "gro", "tx", "rx", "sg"].flatMap { [$0, "off"] }
        for (namespace, name) in [(guest, "port0"), (namespace, "eth0")] {
            try run(["ip", "netns", "exec", namespace.name, "ethtool", "-K", name] + off)
        }
    }
}
