extension Option<PastaSettings> {
    /// The options of `pasta`.
    static let pasta: [Option<PastaSettings>] =
        namespace + interface + addresses + maps + names + ports + protocols + process
        + [Option<SandboxSettings>.sandboxMode.within(\.sandbox)] + common

    /// The names of the options that take the next word as their value.
    static let pastaValued = Set(pasta.filter { $0.placeholder != nil }.map(\.name))

    private static func pair(_ name: String, _ option: Option) -> [Option] {
        [option, option.renamed(name, help: "short for --\(option.name)")]
    }

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
                    its gateway 169.254.2.2.
                    """
            )
        )
        + pair(
            "a",
            Option(
                "address",
                \.address,
                .pastaAddress,
                unset: "the host's",
                help: "the namespace's IPv4 address, with or without a prefix length",
                reason: ""
            )
        )
        + pair(
            "n",
            Option(
                "netmask",
                \.prefixLength,
                .netmask,
                unset: "the host's, or that of the address's class",
                help: "the network's mask: 255.255.255.0 or 24",
                reason: ""
            )
        )
        + pair(
            "g",
            Option(
                "gateway",
                \.gateway,
                .optionalIPv4,
                unset: "the host's",
                help: "the namespace's IPv4 gateway",
                reason: ""
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
                help: "for compatibility: the gateway's address leads to the host's 127.0.0.1",
                reason: "That is the default."
            ),
            Option(
                "no-map-gw",
                \.mapsNoGateway,
                .boolean,
                help: "let the gateway's address lead to the gateway",
                reason: "Then only --map-host-loopback and --tcp-ns lead to the host's 127.0.0.1."
            ),
            Option(
                "map-host-loopback",
                \.loopbackMap,
                .loopbackMap,
                unset: "the gateway's, without --no-map-gw",
                help: "an address that leads to the host's 127.0.0.1, or none",
                reason: "It takes the place of the gateway's address."
            ),
            Option(
                "map-guest-addr",
                \.guestMap,
                .guestMap,
                unset: "none",
                help: "an address that leads to the namespace's address on the host, or none",
                reason: """
                    The namespace cannot reach the host at the address that both have. Podman \
                    gives 169.254.1.2 the name host.containers.internal.
                    """
            ),
        ]
        + pair(
            "4",
            Option(
                "ipv4-only",
                \.isIPv4Only,
                .boolean,
                help: "for compatibility: the namespace has IPv4 only",
                reason: ""
            )
        )
        + pair(
            "6",
            Option(
                "ipv6-only",
                \.isIPv6Only,
                .boolean,
                help: "refused: the namespace has IPv4 only",
                reason: ""
            )
        )

    private static let names =
        [
            Option(
                "dns-forward",
                \.resolver,
                .optionalIPv4,
                unset: "none",
                help: "an address that answers DNS queries as the host's resolvers do",
                reason: "DHCP clients learn it."
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
                    ports on which the host's programs listen when pasta starts.
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

    private static let protocols = [
        Option(
            "no-tcp",
            \.hasNoTCP,
            .boolean,
            help: "drop TCP, and forward no TCP ports",
            reason: ""
        ),
        Option(
            "no-udp",
            \.hasNoUDP,
            .boolean,
            help: "drop UDP, and forward no UDP ports",
            reason: ""
        ),
        Option("no-icmp", \.hasNoEcho, .boolean, help: "drop echo requests (ping)", reason: ""),
        Option("no-dhcp", \.hasNoLeases, .boolean, help: "answer no DHCP requests", reason: ""),
        Option(
            "no-ndp",
            \.hasNoNeighborDiscovery,
            .boolean,
            help: "for compatibility: the namespace has IPv4 only",
            reason: ""
        ),
        Option(
            "no-ra",
            \.hasNoRouterAdvertisements,
            .boolean,
            help: "for compatibility: the namespace has IPv4 only",
            reason: ""
        ),
        Option(
            "no-dhcpv6",
            \.hasNoDHCPv6,
            .boolean,
            help: "for compatibility: the namespace has IPv4 only",
            reason: ""
        ),
    ]

    private static let process =
        pair(
            "f",
            Option(
                "foreground",
                \.staysInForeground,
                .boolean,
                help: "stay in the foreground",
                reason: """
                    By default, pasta becomes a background process once the namespace has its \
                    network, unless it runs a command.
                    """
            )
        )
        + pair(
            "e",
            Option(
                "stderr",
                \.asksForStandardError,
                .boolean,
                help: "for compatibility: log to standard error until it is in the background",
                reason: "That is the default. A background process logs to --log-file only."
            )
        )
        + pair(
            "l",
            Option(
                "log-file",
                \.common.logFile,
                .optionalPath,
                reach: .commandLine,
                unset: "standard error",
                help: "the file to append log lines to",
                reason: ""
            )
        )
        + pair(
            "q",
            Option("quiet", \.isQuiet, .boolean, help: "log warnings and errors only", reason: "")
        )
        + [
            Option(
                "d",
                \.common.isDebugging,
                .boolean,
                reach: .commandLine,
                help: "short for --debug",
                reason: ""
            ),
            Option(
                "trace",
                \.common.isDebugging,
                .boolean,
                reach: .commandLine,
                help: "the same as --debug",
                reason: "--pcap shows single packets."
            ),
        ]
        + pair(
            "p",
            Option(
                "pcap",
                \.captureFile,
                .optionalPath,
                unset: "none",
                help: "write all frames to a file, for Wireshark",
                reason: ""
            )
        )
        + pair(
            "P",
            Option(
                "pid",
                \.pidFile,
                .optionalPath,
                unset: "none",
                help: "write the process ID to a file when the network is ready",
                reason: "The file is removed at the end."
            )
        )
        + [
            Option(
                "runas",
                \.sandbox.user,
                .anything("USER[:GROUP]"),
                unset: "no change",
                help: "the user to become once everything is open, by name or number",
                reason: "For a program that root starts."
            ),
            .version(\.printsVersion),
        ]
}

extension ValueSyntax where Value == String {
    /// An interface's name, or empty.
    fileprivate static let optionalInterface = ValueSyntax(
        placeholder: "NAME",
        expected: interfaceName.expected,
        parse: { $0.isEmpty ? $0 : interfaceName.parse($0) },
        text: { $0 }
    )
}

extension ValueSyntax where Value == IPAddress? {
    /// A unicast IPv4 address, or empty.
    fileprivate static let optionalIPv4 = ValueSyntax(
        placeholder: "ADDRESS",
        expected: "a literal unicast IPv4 address such as 192.168.143.1",
        parse: { text in
            optionalAddress.parse(text).flatMap { $0?.isIPv4 ?? true ? .some($0) : nil }
        },
        text: { $0?.description ?? "" }
    )
}

extension ValueSyntax where Value == InterfaceAddress? {
    /// An address with or without a prefix length, which then is that of its class (RFC 791, 2.3).
    fileprivate static let pastaAddress = ValueSyntax(
        placeholder: "ADDRESS[/LENGTH]",
        expected: "a literal unicast IPv4 address such as 10.0.2.100 or 10.0.2.100/24",
        parse: { text in
            if text.isEmpty { return .some(nil) }
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count <= 2, let address = IPAddress(parts[0]), address.isIPv4,
                !address.isUnspecified, !address.isMulticast, !address.isLoopback
            else { return nil }
            guard parts.count == 2 else {
                return InterfaceAddress(address: address, prefixLength: 0)
            }
            return parts[1].decimal(upTo: 32).flatMap { length in
                length < 8
                    ? nil : InterfaceAddress(address: address, prefixLength: Int(length))
            }
        },
        text: { address in
            address.map { $0.prefixLength == 0 ? "\($0.address)" : "\($0)" } ?? ""
        }
    )
}

extension ValueSyntax where Value == Int? {
    /// A mask of an IPv4 network, or its number of bits.
    fileprivate static let netmask = ValueSyntax(
        placeholder: "MASK",
        expected: "a mask such as 255.255.255.0, or its number of bits, 8 to 32",
        parse: { text in
            if text.isEmpty { return .some(nil) }
            let length: Int
            if let mask = IPAddress(text)?.ipv4 {
                length = mask.nonzeroBitCount
                // The ones must come first.
                guard mask.leadingZeroBitCount == 0, (~mask).leadingZeroBitCount == length else {
                    return nil
                }
            } else {
                guard let number = text.decimal(upTo: 32) else { return nil }
                length = Int(number)
            }
            return length < 8 ? nil : length
        },
        text: { $0.map { "\($0)" } ?? "" }
    )
}

extension ValueSyntax where Value == PastaMap {
    fileprivate static let loopbackMap = map(empty: .standard)
    fileprivate static let guestMap = map(empty: .none)

    private static func map(empty: PastaMap) -> ValueSyntax {
        ValueSyntax(
            placeholder: "ADDRESS|none",
            expected: "a literal unicast IPv4 address such as 169.254.1.2, or none",
            parse: { text in
                if text.isEmpty { return empty }
                if text == "none" { return PastaMap.none }
                guard let address = IPAddress(text), address.isIPv4, !address.isUnspecified,
                    !address.isMulticast, !address.isLoopback
                else { return nil }
                return .address(address)
            },
            text: { map in
                switch map {
                case empty: ""
                case .address(let address): "\(address)"
                case .none, .standard: "none"
                }
            }
        )
    }
}

extension ValueSyntax where Value == PastaServer {
    fileprivate static let pastaServer = ValueSyntax(
        placeholder: "ADDRESS|none",
        expected: "a literal address such as 9.9.9.9, or none",
        parse: { text in
            if text == "none" { return PastaServer.none }
            return ValueSyntax<ZonedEndpoint>.nameServer.parse(text).map { .server($0) }
        },
        text: { server in
            switch server {
            case .none: "none"
            case .server(let endpoint): "\(endpoint)"
            }
        }
    )
}
