/// The settings of `gvforwarder`: gvisor-tap-vsock's, and the file for name servers.
struct GVForwarderSettings: RoleSettings {
    var common = CommonSettings()
    var printsVersion = false
    var url = LinkAddress.connect(.vsock(cid: 2, port: 1024), path: LinkAddress.connectPath)
    var interface = "tap0"
    /// Interfaces whose existence shows that the machine has another network.
    var otherInterfaces = ["eth0", "ens3", "enp0s1"]
    /// Nil to keep the kernel's.
    var mac: MACAddress? = .standardGuest
    var maximumMTU = 4000
    var isPreexisting = false
    var resolvConf = ResolverFileChoice.automatic
    var sandbox = SandboxSettings()

    var conflict: SettingsConflict? { nil }

    /// The same settings in the form that `vm-switch` uses.
    var guestEnd: VMSwitchSettings {
        var settings = VMSwitchSettings()
        settings.common = common
        settings.link = url
        settings.tapInterface = interface
        settings.tapMACAddress = mac
        settings.ownership = isPreexisting ? .borrowed : .either
        settings.skipsDHCP = isPreexisting
        settings.maximumMTU = maximumMTU
        settings.resolvConf = resolvConf
        settings.sandbox = sandbox
        settings.tracesPackets = common.isDebugging
        return settings
    }
}

extension Option<GVForwarderSettings> {
    /// The options of `gvforwarder`.
    static let gvForwarder: [Option<GVForwarderSettings>] =
        host + device + [Option<SandboxSettings>.sandboxMode.within(\.sandbox)] + common

    private static let host = [
        Option(
            "url",
            \.url,
            .forwarderURL,
            help: "the host's socket, and the path to request",
            reason: """
                With vsock, a path is requested over HTTP; without one the stream carries frames \
                from the start. On a unix socket the path is always /connect. With stdio, the \
                program's standard streams carry frames from the start, and each name and value \
                becomes an argument, -NAME=VALUE.
                """
        ),
        Option(
            "stop-if-exist",
            \.otherInterfaces,
            .interfaceNames,
            unset: "none",
            help: "exit with status 0 if an interface with one of these names exists",
            reason: "Such an interface shows that the VM already has another network."
        ),
        .version(\.printsVersion),
    ]

    private static let device = [
        Option(
            "iface",
            \.interface,
            .interfaceName,
            help: "the TAP interface to use; created if it does not exist",
            reason: ""
        ),
        Option(
            "mac",
            \.mac,
            .optionalMAC,
            reach: .network(key: "guest-mac"),
            help: "the interface's MAC address; empty leaves it unchanged",
            reason:
                "The host always leases its second usable address to the default MAC address."
        ),
        Option(
            "mtu",
            \.maximumMTU,
            .integer(68...65_535, "OCTETS"),
            help: "an upper limit for the interface's MTU",
            reason: """
                It limits the MTU from the lease. Incoming frames of up to 65535 bytes are \
                accepted regardless.
                """
        ),
        Option(
            "preexisting",
            \.isPreexisting,
            .boolean,
            help: "use an existing interface that another program configures",
            reason: """
                Its addresses, state and persistence stay unchanged, and no DHCP client runs. \
                The program fails to start if the interface does not exist.
                """
        ),
        Option.resolvConf(\.resolvConf, reason: "It is not written with --preexisting."),
    ]
}

extension ValueSyntax where Value == [String] {
    /// Comma-separated interface names, or empty.
    fileprivate static let interfaceNames = ValueSyntax(
        placeholder: "NAMES",
        expected: "names of interfaces with commas between them, or empty",
        parse: { text in
            let names = text.split(separator: ",").map { String($0) }
            let areGood = names.allSatisfy { ValueSyntax<String>.interfaceName.parse($0) != nil }
            return areGood ? names : nil
        },
        text: { $0.joined(separator: ",") }
    )
}

extension Role {
    /// The guest end with gvisor-tap-vsock's command line.
    static let gvForwarder = Role(
        name: "gvforwarder",
        summary: "the guest end with gvisor-tap-vsock's command line",
        operands: "",
        options: Option.gvForwarder
    ) { start throws(RoleFailure) in
        let settings = start.settings
        if settings.printsVersion {
            start.surroundings.printOutput("gvforwarder version v\(RoleRegistry.version)\n")
            return .success
        }
        if let other = settings.otherInterfaces.first(where: { TAPDevice.exists($0) }) {
            start.logger.info("interface \(other) prevented this program to run")
            return .success
        }
        return try GuestEnd(
            settings.guestEnd,
            log: start.logger,
            surroundings: start.surroundings
        ).run()
    }
}
