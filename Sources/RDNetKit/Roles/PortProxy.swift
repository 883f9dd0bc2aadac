/// The settings of `port-proxy`: docker-proxy's, slirp-proxy's, and its own.
struct PortProxySettings: RoleSettings {
    var common = CommonSettings()
    /// Never unix.
    var transport = ForwardProtocol.tcp
    var hostAddress: IPAddress?
    var hostPort: Int?
    var containerAddress: IPAddress?
    var containerPort: Int?
    /// Whether descriptor 4 is the port's socket.
    var inheritsSocket = false
    /// Whether the result goes to standard output instead of descriptor 3.
    var printsResult = false
    var printsVersion = false
    /// The API of the host end, which opens the port on the host, too; nil for none.
    var api: StreamAddress?
    /// Whether to wait for that API, instead of failing without it.
    var waitsForAPI = false
    /// Whether this is the shared process.
    var isShared = false
    var sandbox = SandboxSettings()

    /// The address and port to listen at.
    var local: Endpoint {
        Endpoint(address: hostAddress ?? .anyIPv4, port: UInt16(hostPort ?? 0))
    }

    var conflict: SettingsConflict? {
        if printsVersion || isShared { return nil }
        return missing("host-ip", hostAddress, "the address to listen at")
            ?? missing("host-port", hostPort, "the port to listen on")
            ?? missing("container-ip", containerAddress, "the container's address")
            ?? missing("container-port", containerPort, "the container's port")
    }

    private func missing<Value>(
        _ option: String,
        _ value: Value?,
        _ expected: String
    ) -> SettingsConflict? {
        value == nil ? SettingsConflict(option: option, value: "", expected: expected) : nil
    }
}

extension Option<PortProxySettings> {
    /// The options of `port-proxy`.
    static let portProxy: [Option<PortProxySettings>] =
        port + reports + host + processes + [Option<SandboxSettings>.sandboxMode.within(\.sandbox)]
        + common

    private static let port = [
        Option(
            "proto",
            \.transport,
            .portTransport,
            reach: .commandLine,
            help: "the port's transport: tcp or udp",
            reason: ""
        ),
        Option(
            "host-ip",
            \.hostAddress,
            .optional(.anyAddress),
            reach: .commandLine,
            unset: "none",
            help: "the address to listen at; required",
            reason: """
                0.0.0.0 stands for every IPv4 address and :: for every IPv6 address: dockerd starts \
                one program for each.
                """
        ),
        Option(
            "host-port",
            \.hostPort,
            .optional(.integer(0...65_535, "PORT")),
            reach: .commandLine,
            unset: "none",
            help: "the port to listen on; required",
            reason: "With 0, the kernel chooses a port."
        ),
        Option(
            "container-ip",
            \.containerAddress,
            .optional(.anyAddress),
            reach: .commandLine,
            unset: "none",
            help: "the container's address, of either family; required",
            reason: ""
        ),
        Option(
            "container-port",
            \.containerPort,
            .optional(.integer(1...65_535, "PORT")),
            reach: .commandLine,
            unset: "none",
            help: "the container's port; required",
            reason: ""
        ),
        Option(
            "use-listen-fd",
            \.inheritsSocket,
            .boolean,
            reach: .commandLine,
            help: "descriptor 4 is the port's socket; listen on that",
            reason: "dockerd 28 and later opens the port itself and passes it on."
        ),
    ]

    private static let reports = [
        Option(
            "i",
            \.printsResult,
            .boolean,
            reach: .commandLine,
            help: "print the result instead of writing it to descriptor 3",
            reason: """
                dockerd reads 0 and a line feed from descriptor 3 once the port is open, or 1, a \
                line feed and the reason why it is not. Use the option to try the program by hand.
                """
        ),
        .version(\.printsVersion),
        .version(\.printsVersion, named: "v"),
    ]

    private static let host = [
        Option(
            "api",
            \.api,
            .optional(.service),
            reach: .everyRole,
            unset: "none",
            help: "in a VM: the host end's API, which opens the port on the host, too",
            reason: """
                For a guest of host-switch or gvproxy it is the gateway, tcp://192.168.127.1:80. Set \
                RDNET_API in dockerd's environment. The host's port leads to the container, through \
                the VM, which must forward packets. If the host's port cannot be opened, dockerd's \
                user sees the reason. With unix:///run/wsl-proxy.sock, wsl-proxy opens the port in its \
                namespace.
                """
        ),
        Option(
            "wait-for-api",
            \.waitsForAPI,
            .boolean,
            reach: .commandLine,
            help: "wait for the API instead of failing without it",
            reason: "A port does this by itself when the host end starts again."
        ),
    ]

    private static let processes = [
        Option(
            "serve",
            \.isShared,
            .boolean,
            reach: .commandLine,
            help: "be the shared process, which carries the traffic of all ports",
            reason: """
                The first port starts it, one for each user and network namespace, and it ends with \
                the last port. Start it by hand to see its log.
                """
        )
    ]
}

extension ValueSyntax where Value == ForwardProtocol {
    fileprivate static let portTransport = ValueSyntax(
        placeholder: "PROTOCOL",
        expected: "tcp or udp; sctp is not supported",
        parse: { text in ForwardProtocol(rawValue: text).flatMap { $0 == .unix ? nil : $0 } },
        text: { $0.rawValue }
    )
}

extension ValueSyntax where Value == IPAddress {
    /// Any address but a multicast one.
    fileprivate static let anyAddress = ValueSyntax(
        placeholder: "ADDRESS",
        expected: "a literal IPv4 or IPv6 address such as 127.0.0.1 or ::",
        parse: { text in IPAddress(text).flatMap { $0.isMulticast ? nil : $0 } },
        text: { $0.description }
    )
}

extension Role {
    /// dockerd's userland proxy, and VPNKit's slirp-proxy.
    static let portProxy = Role(
        name: "port-proxy",
        aliases: ["slirp-proxy", "docker-proxy"],
        summary: "dockerd's userland proxy: publishes one port of a container",
        operands: "",
        options: Option.portProxy,
        failed: { PortProxyStatus.fail($0) }
    ) { start throws(RoleFailure) in
        if start.settings.printsVersion {
            let commit = start.surroundings.commit
            let version = "version v\(RoleRegistry.version)"
            start.surroundings.printOutput("docker-proxy (commit \(commit)) \(version)\n")
            return .success
        }
        if start.settings.isShared { return try PortProxyServer.run(start) }
        return try PortProxyStub.run(start)
    }
}
