extension Option {
    /// The virtual network's addresses, for every role that needs them.
    static func subnet(_ path: any WritableKeyPath<Settings, Subnet> & Sendable) -> Option {
        Option(
            "subnet",
            path,
            .subnet,
            reach: .network(key: "subnet"),
            help: "the virtual network's subnet",
            reason: """
                The first usable address is the gateway's, the second the default guest's, the \
                last leads to the host's 127.0.0.1. Set it when the default collides with a \
                network that the guest must reach, and set it on both ends.
                """
        )
    }

    /// The MAC address of the guest's interface, for the roles that create it.
    static func tapMACAddress(
        _ path: any WritableKeyPath<Settings, MACAddress?> & Sendable
    ) -> Option {
        Option(
            "tap-mac-address",
            path,
            .optionalMAC,
            reach: .network(key: "guest-mac"),
            unset: "chosen by the kernel",
            help: "the interface's MAC address; empty lets the kernel choose",
            reason: "The host always leases its second usable address to the default MAC address."
        )
    }
}

extension Option {
    /// The options of a role that provides a virtual network.
    static func network(
        within path: any WritableKeyPath<Settings, NetworkSettings> & Sendable
    ) -> [Option] {
        Option<NetworkSettings>.network.map { $0.within(path) }
    }
}

extension Option {
    /// Whether names below `local` are found by mDNS, for every role that makes a network.
    static func multicastDNS(_ path: any WritableKeyPath<Settings, Bool> & Sendable) -> Option {
        Option(
            "mdns",
            path,
            .onOff,
            help: "look up .local names by multicast DNS on the host's links",
            reason: """
                Only for addresses and pointers that the host's DNS servers do not know; it takes at \
                most a second. With off, only the servers are asked.
                """
        )
    }
}

extension Option {
    /// Whether guests reach the addresses at which clouds serve credentials, for every role that
    /// makes a network.
    static func cloudMetadata(
        _ name: String,
        _ path: any WritableKeyPath<Settings, Bool> & Sendable
    ) -> Option {
        Option(
            name,
            path,
            .boolean,
            help: "let guests connect to 169.254.0.0/16, fd00:ec2::/32 and fd20:ce::/32",
            reason: "Off by default, because cloud machines serve their credentials there."
        )
    }
}

extension Option {
    /// Whether guests are kept from each other, for every role that can serve several guests.
    static func isolate(_ path: any WritableKeyPath<Settings, Bool> & Sendable) -> Option {
        Option(
            "isolate",
            path,
            .boolean,
            help: "keep guests from each other",
            reason: """
                Guests then reach only the gateway, the host and what the host reaches: no frame of \
                one guest goes to another, and no guest reaches a port of the host that leads to \
                another. Without it, guests share one Ethernet, but none can use another's addresses.
                """
        )
    }
}

extension Option {
    /// The directory that keeps leases and forwards, for every role that serves guests for long.
    static func state(_ path: any WritableKeyPath<Settings, String> & Sendable) -> Option {
        Option(
            "state",
            path,
            .optionalDirectory,
            unset: "none",
            help: "a directory where leases and forwards survive a restart",
            reason: """
                It is created with mode 0700 if it does not exist, and serves one process. It keeps \
                the guests' leases and the forwards that the API opened, also those of guests, but \
                none of the command line. Without it, a restart forgets them.
                """
        )
    }
}

extension Option {
    /// Where a control file system is served.
    static func portFiles(
        _ path: any WritableKeyPath<Settings, [ListenAddress]> & Sendable,
        named name: String,
        reason: String
    ) -> Option {
        Option(
            name,
            repeating: path,
            .listening,
            unset: "none",
            help: "serve VPNKit's control file system (9P) at an address",
            reason: reason
        )
    }

    /// The folders of the unix sockets that a control file system may open.
    static func portFileFolders(
        _ path: any WritableKeyPath<Settings, SandboxSettings> & Sendable,
        reason: String
    ) -> Option {
        Option<SandboxSettings>(
            SandboxSettings.portFileFolder,
            repeating: \.socketFolders,
            .path,
            unset: "none: no unix sockets",
            help: "a folder in which clients may open unix sockets",
            reason: reason
        ).within(path)
    }
}

extension Option<NetworkSettings> {
    fileprivate static let network =
        addressing + ipv6 + waysIn + Option<APIAccess>.access.map { $0.within(\.access) }
        + Option<PolicySettings>.policy.map { $0.within(\.policy) }
        + Option<GuestLimits>.limits.map { $0.within(\.limits) } + addressService
        + nameService + limits

    private static let addressing = [
        Option.subnet(\.chosenSubnet),
        Option(
            "mtu",
            \.mtu,
            .integer(576...65_520, "OCTETS"),
            reach: .network(key: "mtu"),
            help: "the virtual network's MTU",
            reason: """
                Guests learn it by DHCP. Every guest works with the default; a larger MTU saves \
                CPU time if both ends support it.
                """
        ),
        Option(
            "gateway-mac",
            \.gatewayMAC,
            .mac,
            reach: .network(key: "gateway-mac"),
            help: "the gateway's MAC address",
            reason: "The default is that of gvproxy and Rancher Desktop."
        ),
        Option(
            "guest-mac",
            \.guestMAC,
            .mac,
            reach: .network(key: "guest-mac"),
            help: "the MAC address of the default guest",
            reason: """
                This guest always gets the second usable address, so port forwards can refer \
                to it before it connects.
                """
        ),
    ]

    private static let ipv6 = Option.ipv6(mode: \.ipv6, prefix: \.prefixChoice)

    private static let portForward = Option.pair(
        "p",
        Option(
            "port-forward",
            repeating: \.portForwards,
            .portForward,
            unset: "none",
            help: "forward TCP ports of the host to a guest, or UDP ports with /udp at the end",
            reason: """
                A range, such as 10000-10100, forwards as many ports. Without HOST the host listens on \
                127.0.0.1; without =GUEST:PORTS the ports lead to the same ports of the default guest. \
                8080:80 and 127.0.0.1:8080:80/udp, as in docker, lead to port 80 of the default guest. \
                The last option for a host address and ports wins. If a host port is in use, the \
                program exits with status 1.
                """
        )
    )

    private static let waysIn =
        portForward + [
            Option(
                "api",
                repeating: \.apiAddresses,
                .stream,
                unset: "none",
                help: "serve the HTTP API at an address on the host",
                reason: """
                    Anyone who can connect can publish ports, reach guests and join the network. A \
                    unix socket has mode 0600 (--api-mode, --api-group). At a TCP address use \
                    --api-token-file, because every user of the machine can connect to 127.0.0.1. \
                    Requests from web pages, or with a foreign Host header, get status 403, and guests \
                    cannot reach the API's addresses. What guests can reach, on port 80 of the gateway, \
                    is set by --guest-api.
                    """
            ),
            Option(
                "metrics",
                repeating: \.metricsAddresses,
                .stream,
                unset: "none",
                help: "serve only the counters, for Prometheus, at an address on the host",
                reason: """
                    It is the API's /metrics without a token: anyone who can connect can read them, and \
                    change nothing.
                    """
            ),
        ]

    private static let addressService = [
        Option(
            "static-lease",
            repeating: \.staticLeases,
            .staticLease,
            unset: "only the default guest's",
            help: "reserve an address for one guest",
            reason: "The address must be in the subnet, and not the gateway's or the host's."
        ),
        Option(
            "lease-time",
            \.leaseTime,
            .integer(60...4_294_967_294, "SECONDS"),
            help: "the lease time of an address",
            reason: "Guests renew after half of it. The default is gvproxy's."
        ),
    ]

    private static let nameService = [
        Option(
            "dns-search",
            repeating: \.dnsSearch,
            .domain,
            unset: "the host's",
            help: "a search domain for guests",
            reason: """
                Guests learn it by DHCP (option 119) and append it to short names. By default \
                they get the host's search list.
                """
        ),
        Option(
            "dns-server",
            repeating: \.dnsServers,
            .nameServer,
            unset: "those of --resolv-conf",
            help: "a DNS server to use instead of the host's",
            reason: """
                Servers are tried in this order. By default rdnet uses the host's servers and \
                follows their changes.
                """
        ),
        Option(
            "resolv-conf",
            \.resolvConf,
            .path,
            help: "the file with the host's DNS servers and search list",
            reason: """
                It is read again whenever it changes, for example when a VPN connects or \
                disconnects.
                """
        ),
        Option(
            "hosts",
            \.hosts,
            .path,
            help: "the hosts file, whose names are answered locally",
            reason: "It is read again whenever it changes."
        ),
        .multicastDNS(\.usesMulticastDNS),
    ]

    private static let limits = [
        .cloudMetadata("allow-link-local", \.allowsLinkLocal),
        Option(
            "no-host-loopback",
            \.blocksHostLoopback,
            .boolean,
            help: "keep guests from the host's 127.0.0.1",
            reason: """
                The address that stands for the host (192.168.127.254) then refuses connections. \
                The gateway's own services stay, and so do services on the host's other addresses.
                """
        ),
        .isolate(\.isolatesGuests),
        Option(
            "capture",
            \.captureFile,
            .optionalPath,
            unset: "none",
            help: "write all frames to a file, for Wireshark",
            reason: "SIGUSR1 turns the capture off and on."
        ),
    ]
}
