extension Option {
    /// The virtual network's addresses, for every role that has to know them.
    static func subnet(_ path: any WritableKeyPath<Settings, Subnet> & Sendable) -> Option {
        Option(
            "subnet",
            path,
            .subnet,
            reach: .network(key: "subnet"),
            help: "the virtual network",
            reason: """
                The first usable address is the gateway's, the second the usual guest's, the last the \
                host's own 127.0.0.1. Both ends must be told the same.
                """
        )
    }

    /// The Ethernet address of the guest's interface, for the roles that make it or have it made.
    static func tapMACAddress(
        _ path: any WritableKeyPath<Settings, MACAddress?> & Sendable
    ) -> Option {
        Option(
            "tap-mac-address",
            path,
            .optionalMAC,
            reach: .network(key: "guest-mac"),
            unset: "the kernel's choice",
            help: "the interface's Ethernet address; empty for the kernel's choice",
            reason: "The host leases its second usable address to the default one, always."
        )
    }
}

extension Option {
    /// The options of a role that makes a virtual network.
    static func network(
        within path: any WritableKeyPath<Settings, NetworkSettings> & Sendable
    ) -> [Option] {
        Option<NetworkSettings>.network.map { $0.within(path) }
    }
}

extension Option<NetworkSettings> {
    fileprivate static let network = addressing + waysIn + addressService + nameService + limits

    private static let addressing = [
        Option.subnet(\.chosenSubnet),
        Option(
            "mtu",
            \.mtu,
            .integer(576...65_520, "OCTETS"),
            reach: .network(key: "mtu"),
            help: "the largest IP packet of the virtual network",
            reason: """
                Guests are told by DHCP. The default is what every guest expects; a larger one saves \
                work where both ends can use it.
                """
        ),
        Option(
            "gateway-mac",
            \.gatewayMAC,
            .mac,
            reach: .network(key: "gateway-mac"),
            help: "the gateway's Ethernet address",
            reason: "The default is the one that gvproxy and Rancher Desktop use."
        ),
        Option(
            "guest-mac",
            \.guestMAC,
            .mac,
            reach: .network(key: "guest-mac"),
            help: "the Ethernet address whose owner always gets the second usable address",
            reason: "Forwards made before the guest has come count on that address."
        ),
    ]

    private static let waysIn = [
        Option(
            "port-forward",
            repeating: \.portForwards,
            .portForward,
            unset: "none",
            help: "ports of the host that lead to a guest's; TCP, or UDP with /udp at the end",
            reason: """
                A range, such as 10000-10100, publishes as many ports. Without HOST the host listens on \
                127.0.0.1; without =GUEST:PORTS the ports lead to the same ports of the usual guest. \
                Of two for the same host address and ports the later one counts. \
                A host port that is taken ends the program with status 1.
                """
        ),
        Option(
            "api",
            repeating: \.apiAddresses,
            .stream,
            unset: "none",
            help: "where the host offers the HTTP API",
            reason: """
                Guests have the part about forwards on port 80 of the gateway, always. Whoever can \
                connect can publish ports, reach guests and become one: use a path that only its \
                owner can reach, or a loopback address.
                """
        ),
    ]

    private static let addressService = [
        Option(
            "static-lease",
            repeating: \.staticLeases,
            .staticLease,
            unset: "none besides the usual guest's",
            help: "an address that is only ever leased to one guest",
            reason: "It must lie in the subnet and may not be the gateway's or the host's."
        ),
        Option(
            "lease-time",
            \.leaseTime,
            .integer(60...4_294_967_294, "SECONDS"),
            help: "how long an address is leased",
            reason: "Guests renew after half of it; the default is gvproxy's."
        ),
    ]

    private static let nameService = [
        Option(
            "dns-search",
            repeating: \.dnsSearch,
            .domain,
            unset: "the host's",
            help: "a domain that guests complete short names with",
            reason: "Given by DHCP (option 119). Without any, the host's own search list is given."
        ),
        Option(
            "dns-server",
            repeating: \.dnsServers,
            .nameServer,
            unset: "those of --resolv-conf",
            help: "a server that names are asked of, instead of the host's own",
            reason:
                "Tried in this order. Without any, the host's are used and changes are followed."
        ),
        Option(
            "resolv-conf",
            \.resolvConf,
            .path,
            help: "the file that names the host's servers and search list",
            reason: "It is read again when it changes, so that a VPN that comes or goes is noticed."
        ),
        Option(
            "hosts",
            \.hosts,
            .path,
            help: "the file of names that are answered without asking a server",
            reason: "It is read again when it changes."
        ),
    ]

    private static let limits = [
        Option(
            "allow-link-local",
            \.allowsLinkLocal,
            .boolean,
            help: "let guests reach 169.254.0.0/16",
            reason: "Off by default: a cloud machine's credentials are served there."
        ),
        Option(
            "no-host-loopback",
            \.blocksHostLoopback,
            .boolean,
            help: "keep guests from the host's 127.0.0.1",
            reason: """
                The host alias refuses connections then. The gateway's own services stay, and so do \
                services on the host's other addresses.
                """
        ),
        Option(
            "capture",
            \.captureFile,
            .optionalPath,
            unset: "none",
            help: "a file to write all frames to, for Wireshark",
            reason: "SIGUSR1 switches the capture off and on again."
        ),
    ]
}
