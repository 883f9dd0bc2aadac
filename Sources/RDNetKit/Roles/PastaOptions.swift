extension Option<PastaSettings> {
    /// The options of `pasta`.
    static let pasta: [Option<PastaSettings>] =
        namespace + interface + addresses + maps + names + ports + protocols + process
        + [Option<SandboxSettings>.sandboxMode.within(\.sandbox)] + common

    /// The names of the options that take the next word as their value.
    static let pastaValued = Set(pasta.filter { $0.placeholder != nil }.map(\.name))

    private static let namespace = [
        Option(
            "netns",
            \.networkNamespace,
            .optionalPath,
            unset: "that of PID, or a new one",
            help: "the network namespace: a path, or a name as in ip-netns(8)",
            reason: ""
        ),
        Option(
            "userns",
            \.userNamespace,
            .optionalPath,
            unset: "that of PID, or none",
            help: "the user namespace to enter first",
            reason: ""
        ),
        Option(
            "netns-only",
            \.joinsNetworkOnly,
            .boolean,
            help: "enter no user namespace",
            reason: "That is the default with --netns."
        ),
        Option(
            "no-netns-quit",
            \.survivesNamespace,
            .boolean,
            help: "continue after the namespace of --netns has been deleted",
            reason: ""
        ),
    ]

    private static let interface =
        [
            Option(
                "config-net",
                \.configuresInterface,
                .boolean,
                help: "give the interface its address and route, and bring it up",
                reason: "Without it, the namespace's owner does that, for example by DHCP."
            )
        ]
        + pair(
            "I",
            Option(
                "ns-ifname",
                \.interface,
                .optionalInterface,
                unset: "that of the host's interface, or tap0",
                help: "the interface's name",
                reason: ""
            )
        )
        + pair(
            "m",
            Option(
                "mtu",
                \.mtu,
                .integer(576...65_520, "OCTETS"),
                help: "the interface's MTU",
                reason: "The default is pasta's."
            )
        )
        + [
            Option(
                "ns-mac-addr",
                \.mac,
                .optional(.mac),
                unset: "\(MACAddress.standardGuest)",
                help: "the interface's MAC address",
                reason: ""
            )
        ]

    private static let addresses =
        pair(
            "i",
            Option(
                "interface",
                \.template,
                .optionalInterface,
                unset: "that of the default route",
                help: "the host's interface whose address and router the namespace gets",
                reason: """
                    If the host has no default route, the namespace's address is 169.254.2.1/16, and \
                    its gateway 169.254.2.2. It gets no IPv6 if the host has no IPv6 default route.
                    """
            )
        )
        + pair(
            "a",
            Option(
                "address",
                repeating: \.addresses,
                .pastaAddress,
                unset: "the host's",
                help: "the namespace's address, with or without a prefix length",
                reason: "Once for each family."
            )
        )
        + pair(
            "n",
            Option(
                "netmask",
                \.prefixLength,
                .netmask,
                unset: "the host's, or that of the address's class",
                help: "the IPv4 network's mask: 255.255.255.0 or 24",
                reason: ""
            )
        )
        + pair(
            "g",
            Option(
                "gateway",
                repeating: \.gateways,
                .pastaUnicast,
                unset: "the host's",
                help: "the namespace's gateway",
                reason: "Once for each family; fe80::1 is that of IPv6 if the host has none."
            )
        )
        + pair(
            "M",
            Option(
                "mac-addr",
                \.gatewayMAC,
                .mac,
                help: "the gateway's MAC address",
                reason: ""
            )
        )

    private static let maps =
        [
            Option(
                "map-gw",
                \.asksForGatewayMap,
                .boolean,
                help: "for compatibility: the gateway's address leads to the host's loopback",
                reason: "That is the default."
            ),
            Option(
                "no-map-gw",
                \.mapsNoGateway,
                .boolean,
                help: "let the gateway's address lead to the gateway",
                reason: "Then only --map-host-loopback and --tcp-ns lead to the host's loopback."
            ),
            Option(
                "map-host-loopback",
                repeating: \.loopbackMaps,
                .pastaMap,
                unset: "the gateway's, without --no-map-gw",
                help: "an address that leads to the host's loopback, or none",
                reason: """
                    Once for each family: an IPv4 address leads to 127.0.0.1, an IPv6 address to \
                    ::1, and either to the other one if nobody listens there. It takes the place \
                    of the gateway's addresses.
                    """
            ),
            Option(
                "map-guest-addr",
                repeating: \.guestMaps,
                .pastaMap,
                unset: "none",
                help: "an address that leads to the namespace's address on the host, or none",
                reason: """
                    The namespace cannot reach the host at the address that both have. Podman \
                    gives 169.254.1.2 the name host.containers.internal. Once for each family.
                    """
            ),
        ]
        + pair(
            "4",
            Option(
                "ipv4-only",
                \.isIPv4Only,
                .boolean,
                help: "give the namespace IPv4 only",
                reason: ""
            )
        )
        + pair(
            "6",
            Option(
                "ipv6-only",
                \.isIPv6Only,
                .boolean,
                help: "give the namespace IPv6 only",
                reason: ""
            )
        )

    private static let names =
        [
            Option(
                "dns-forward",
                repeating: \.resolvers,
                .pastaUnicast,
                unset: "none",
                help: "an address that answers DNS queries as the host's resolvers do",
                reason: "Once for each family. DHCP clients learn it."
            )
        ]
        + pair(
            "D",
            Option(
                "dns",
                repeating: \.servers,
                .pastaServer,
                unset: "those of /etc/resolv.conf",
                help: "a DNS server for --dns-forward, or none for no DNS",
                reason: ""
            )
        )
        + pair(
            "S",
            Option(
                "search",
                repeating: \.search,
                .nonEmpty("LIST", expected: "domains separated by spaces, or none"),
                unset: "none",
                help: "search domains for DHCP clients, separated by spaces",
                reason: ""
            )
        )

    private static let ports =
        pair(
            "t",
            Option(
                "tcp-ports",
                repeating: \.tcpPorts,
                .pastaPorts,
                unset: "auto",
                help: "TCP ports of the host to forward into the namespace",
                reason: """
                    PORTS is none, auto, or a list: 8080 forwards a port, 8080:80 to another one, \
                    2000-2010:3000-3010 a range, 2000-2010,~2005 all but one; 127.0.0.1/8080 \
                    listens at one address, %eth0/8080 or 127.0.0.1%lo/8080 on one interface. \
                    With auto, the ports on which the namespace's programs listen are \
                    forwarded while they do; the tables of sockets are read every second.
                    """
            )
        )
        + pair(
            "u",
            Option(
                "udp-ports",
                repeating: \.udpPorts,
                .pastaPorts,
                unset: "auto",
                help: "UDP ports of the host to forward into the namespace",
                reason:
                    "As for --tcp-ports; auto leaves out the ports of clients (ip_local_port_range)."
            )
        )
        + pair(
            "T",
            Option(
                "tcp-ns",
                repeating: \.tcpLoopbackPorts,
                .pastaLoopbackPorts,
                unset: "auto",
                help: "TCP ports of the namespace's loopback to forward to the host's",
                reason: """
                    As for --tcp-ports, without addresses and interfaces. With auto, these are the \
                    ports on which the host's programs listen, while they do.
                    """
            )
        )
        + pair(
            "U",
            Option(
                "udp-ns",
                repeating: \.udpLoopbackPorts,
                .pastaLoopbackPorts,
                unset: "auto",
                help: "UDP ports of the namespace's loopback to forward to the host's",
                reason: "As for --tcp-ns."
            )
        )
        + [
            Option(
                "host-lo-to-ns-lo",
                \.connectsLoopback,
                .boolean,
                help: "connect clients of the host's loopback to the namespace's loopback",
                reason: """
                    Clients at 127.0.0.1 or ::1 then reach servers that listen only at the same \
                    address of the namespace, without the engine. It holds for the ports of \
                    --tcp-ports and --udp-ports.
                    """
            )
        ]
}
