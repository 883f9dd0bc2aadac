extension Option<NetworkSetupSettings> {
    /// The options of `network-setup`.
    static let networkSetup: [Option<NetworkSetupSettings>] =
        [namespace, vmSwitch, host, veth].flatMap { $0 }
        + Option.common

    private static let namespace = [
        Option(
            "unshare-arg",
            \.initProgram,
            .optionalPath,
            unset: "none",
            help: "the program that becomes init in the namespace",
            reason: """
                Required unless systemd started network-setup. One word: it is given no arguments. It \
                is process 1 of a process namespace of its own.
                """
        ),
        Option(
            "namespace-service",
            \.namespaceService,
            .nonEmpty("UNIT", expected: "the name of a systemd service"),
            help: "under systemd, the service whose network namespace is used",
            reason: """
                systemd is taken to be there when SYSTEMD_EXEC_PID is set. Then no namespace, no init \
                and no process file are made.
                """
        ),
        Option(
            "pid-file",
            \.pidFile,
            .path,
            help: "the file for the number of the process that waits for init",
            reason: """
                Rancher Desktop takes it as the sign that the host has been met, and finds init by \
                it. It goes when network-setup ends.
                """
        ),
    ]

    private static let vmSwitch = [
        Option(
            "vm-switch-path",
            \.vmSwitchPath,
            .optionalPath,
            unset: "none",
            help: "the program to start as vm-switch",
            reason: "Required. It gets the stream to the host as descriptor 3."
        ),
        Option(
            "vm-switch-logfile",
            \.vmSwitchLogFile,
            .optionalPath,
            unset: "vm-switch's own",
            help: "where vm-switch logs",
            reason: "Handed on as --logfile."
        ),
        Option(
            "vm-switch-logfile-append",
            \.appendsToVMSwitchLogFile,
            .boolean,
            help: "start vm-switch with --logfile-append",
            reason: "For a vm-switch that does not append by default, such as openSUSE's."
        ),
        Option(
            "tap-interface",
            \.tapInterface,
            .interfaceName,
            help: "the name of the interface that vm-switch makes",
            reason: "Handed on, as are the next four."
        ),
        Option.tapMACAddress(\.tapMACAddress),
        Option.subnet(\.subnet),
        Option(
            "dhcp-script",
            \.dhcpScript,
            .optionalPath,
            unset: "none",
            help: "the program that vm-switch runs at each change of the lease",
            reason: "It inherits the environment: NOTIFY_SOCKET, under systemd."
        ),
        Option(
            "trace-packets",
            \.tracesPackets,
            .boolean,
            help: "have vm-switch log every frame",
            reason: "SIGUSR1 to vm-switch switches it later."
        ),
    ]

    private static let veth = [
        Option(
            "outer-veth",
            \.outerVeth,
            .optional(.interfaceName),
            unset: "the profile's, veth-rd-wsl",
            help: "the veth end in the default namespace",
            reason: "One that an earlier run has left is deleted."
        ),
        Option(
            "outer-veth-address",
            \.outerVethAddress,
            .optional(.subnet),
            unset: "the profile's, 192.168.143.2/24",
            help: "that end's address",
            reason: """
                All distributions of a machine share the default namespace: a network that the office \
                uses as well must not be taken.
                """
        ),
        Option(
            "inner-veth",
            \.innerVeth,
            .optional(.interfaceName),
            unset: "the profile's, veth-rd-ns",
            help: "the veth end in the containers' namespace",
            reason: "The two names must differ."
        ),
        Option(
            "inner-veth-address",
            \.innerVethAddress,
            .optional(.subnet),
            unset: "the profile's, 192.168.143.1/24",
            help: "that end's address",
            reason: "wsl-proxy relays to it: tell both the same."
        ),
    ]

    private static let host =
        Option<HandshakeSettings>.handshake(dataPort: "vsock-dial-port").map {
            $0.within(\.handshake)
        } + links

    private static let links = [
        Option(
            "handshake-link",
            \.handshakeLink,
            .optionalLink,
            unset: "vsock, any context",
            help: "where the host is awaited, instead of at a vsock port",
            reason: "For a host that is not a hypervisor's: another process, or another machine."
        ),
        Option(
            "data-link",
            \.dataLink,
            .optionalLink,
            unset: "vsock, context 2",
            help: "what is dialled after the handshake, instead of a vsock port",
            reason: "The stream that is opened there goes to vm-switch."
        ),
    ]
}
