extension Option<PastaSettings> {
    /// What the gateway leaves out.
    static let protocols = [
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
            help: "take no part in IPv6 neighbor discovery",
            reason: "Then the namespace's owner sets the MAC address of the gateway."
        ),
        Option(
            "no-ra",
            \.hasNoRouterAdvertisements,
            .boolean,
            help: "send no IPv6 router advertisements",
            reason: ""
        ),
        Option(
            "no-dhcpv6",
            \.hasNoDHCPv6,
            .boolean,
            help: "answer no DHCPv6 requests",
            reason: ""
        ),
    ]

    /// The process and its files.
    static let process =
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
