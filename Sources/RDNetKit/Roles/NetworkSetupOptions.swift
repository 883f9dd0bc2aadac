extension Option<NetworkSetupSettings> {
    /// The options of `network-setup`.
    static let networkSetup: [Option<NetworkSetupSettings>] =
        [namespace, vmSwitch, host, veth].flatMap { $0 }
        + [Option<SandboxSettings>.sandboxMode.within(\.sandbox)] + Option.common

    private static let namespace = [
        Option(
            "unshare-arg",
            \.initProgram,
            .optionalPath,
            unset: "none",
            help: "the program to run as init in the namespace",
            reason: """
                Required unless systemd started network-setup. It gets no arguments, and is \
                process 1 of its own PID namespace.
                """
        ),
        Option(
            "namespace-service",
            \.namespaceService,
            .nonEmpty("UNIT", expected: "the name of a systemd service"),
            help: "under systemd, the service whose network namespace to use",
            reason: """
                systemd is assumed if SYSTEMD_EXEC_PID is set. Then network-setup creates no \
                namespace, no init and no pid file.
                """
        ),
        Option(
            "pid-file",
            \.pidFile,
            .path,
            help: "the pid file of the process that waits for init",
            reason: """
                Rancher Desktop waits for this file as a sign that the handshake succeeded, and \
                finds init through it. It is removed when network-setup exits.
                """
        ),
    ]

    private static let vmSwitch = [
        Option(
            "vm-switch-path",
            \.vmSwitchPath,
            .optionalPath,
            unset: "none",
            help: "the vm-switch program to start",
            reason: "Required. It inherits the stream to the host as descriptor 3."
        ),
        Option(
            "vm-switch-logfile",
            \.vmSwitchLogFile,
            .optionalPath,
            unset: "vm-switch's own",
            help: "vm-switch's log file",
            reason: "Passed to vm-switch as --logfile."
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
            help: "the name of the interface that vm-switch creates",
            reason: "Passed to vm-switch, like the next four options."
        ),
        Option.tapMACAddress(\.tapMACAddress),
        Option.subnet(\.subnet),
        Option(
            "dhcp-script",
            \.dhcpScript,
            .optionalPath,
            unset: "none",
            help: "the program that vm-switch runs when the lease changes",
            reason: "It inherits the environment, which under systemd includes NOTIFY_SOCKET."
        ),
        Option.resolvConf(
            \.resolvConf,
            reason: "It is passed to vm-switch as --resolv-conf, unless it is auto."
        ),
        Option(
            "trace-packets",
            \.tracesPackets,
            .boolean,
            help: "make vm-switch log every frame",
            reason: "SIGUSR1 to vm-switch toggles it at run time."
        ),
    ]

    private static let veth = [
        Option(
            "outer-veth",
            \.outerVeth,
            .optional(.interfaceName),
            unset: "the profile's, veth-rd-wsl",
            help: "the name of the veth end in the default namespace",
            reason: "An interface left by an earlier run is deleted."
        ),
        Option(
            "outer-veth-address",
            \.outerVethAddress,
            .optional(.subnet),
            unset: "the profile's, 192.168.143.2/24",
            help: "the address of that veth end",
            reason: """
                All WSL distributions share the default namespace, so choose a subnet that is \
                not in use on your network.
                """
        ),
        Option(
            "inner-veth",
            \.innerVeth,
            .optional(.interfaceName),
            unset: "the profile's, veth-rd-ns",
            help: "the name of the veth end in the containers' namespace",
            reason: "The two names must differ."
        ),
        Option(
            "inner-veth-address",
            \.innerVethAddress,
            .optional(.subnet),
            unset: "the profile's, 192.168.143.1/24",
            help: "the address of that veth end",
            reason: "wsl-proxy relays to it, so give it the same address."
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
            help: "the listening address for the handshake, instead of a vsock port",
            reason: "Use it for a host end without vsock: another process or another machine."
        ),
        Option(
            "data-link",
            \.dataLink,
            .optionalLink,
            unset: "vsock, context 2",
            help: "the address to connect to after the handshake, instead of a vsock port",
            reason: "The resulting stream is passed to vm-switch."
        ),
    ]
}
