/// The settings of `gvforwarder`: gvisor-tap-vsock's, and where names are asked of.
struct GVForwarderSettings: RoleSettings {
    var common = CommonSettings()
    var printsVersion = false
    var url = LinkAddress.connect(.vsock(cid: 2, port: 1024), path: LinkAddress.connectPath)
    var interface = "tap0"
    /// Interfaces that show that the machine has another network.
    var otherInterfaces = ["eth0", "ens3", "enp0s1"]
    /// Nil to leave the kernel's.
    var mac: MACAddress? = .standardGuest
    var largestMTU = 4000
    var isPreexisting = false
    var resolvConf = ResolverFileChoice.automatic

    var conflict: SettingsConflict? { nil }

    /// The same in vm-switch's terms.
    var guestEnd: VMSwitchSettings {
        var settings = VMSwitchSettings()
        settings.common = common
        settings.link = url
        settings.tapInterface = interface
        settings.tapMACAddress = mac
        settings.ownership = isPreexisting ? .borrowed : .either
        settings.skipsDHCP = isPreexisting
        settings.largestMTU = largestMTU
        settings.resolvConf = resolvConf
        settings.tracesPackets = common.isDebugging
        return settings
    }
}

extension Option<GVForwarderSettings> {
    /// The options of `gvforwarder`.
    static let gvForwarder: [Option<GVForwarderSettings>] = host + device + common

    private static let host = [
        Option(
            "url",
            \.url,
            .forwarderURL,
            help: "the host: its socket, and the path to ask for",
            reason: """
                A path of vsock is asked for by an HTTP request; without one the stream carries \
                frames from the start. On a unix socket it is always /connect. A program's standard \
                streams carry frames from the start, and each name and value becomes an argument, \
                -NAME=VALUE.
                """
        ),
        Option(
            "stop-if-exist",
            \.otherInterfaces,
            .interfaceNames,
            unset: "none",
            help: "end at once, with status 0, when there is an interface of one of these names",
            reason: "They show that the machine has another network, and needs none of this."
        ),
        Option(
            "version",
            \.printsVersion,
            .boolean,
            reach: .commandLine,
            help: "print the version and end",
            reason: ""
        ),
    ]

    private static let device = [
        Option(
            "iface",
            \.interface,
            .interfaceName,
            help: "the TAP interface to use, or to make when there is none of that name",
            reason: ""
        ),
        Option(
            "mac",
            \.mac,
            .optionalMAC,
            reach: .network(key: "guest-mac"),
            help: "the interface's Ethernet address; empty to leave it as it is",
            reason:
                "The host leases its second usable address to the default one, always."
        ),
        Option(
            "mtu",
            \.largestMTU,
            .integer(68...65_535, "OCTETS"),
            help: "the most that the interface's MTU is set to, whatever the lease says",
            reason: "Frames that come in are taken up to 65535 octets all the same."
        ),
        Option(
            "preexisting",
            \.isPreexisting,
            .boolean,
            help: "use an interface that somebody else has made and configures",
            reason: """
                Its address, its state and its persistence are left alone, and no DHCP client is \
                run. Without such an interface the program does not start.
                """
        ),
        Option.resolvConf(\.resolvConf, reason: "Not written with --preexisting."),
    ]
}

extension ValueSyntax where Value == [String] {
    /// Names of interfaces with commas between them, or nothing.
    fileprivate static let interfaceNames = ValueSyntax(
        placeholder: "NAMES",
        expected: "names of interfaces with commas between them, or nothing",
        parse: { text in
            let names = text.split(separator: ",").map { String($0) }
            let areGood = names.allSatisfy { ValueSyntax<String>.interfaceName.parse($0) != nil }
            return areGood ? names : nil
        },
        text: { $0.joined(separator: ",") }
    )
}

extension Role {
    /// The guest end behind gvisor-tap-vsock's command line.
    static let gvForwarder = Role(
        name: "gvforwarder",
        summary: "the guest end for gvproxy: TAP interface, DHCP, /connect",
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
        return try GuestEnd(settings.guestEnd, log: start.logger).run()
    }
}
