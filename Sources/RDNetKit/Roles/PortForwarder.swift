/// The settings of `port-forwarder`: vpnkit-forwarder's, and its own.
struct PortForwarderSettings: RoleSettings {
    var common = CommonSettings()
    /// Nil in the VM.
    var controlListen: LinkAddress?
    var dataListen: LinkAddress?
    var dataConnect: LinkAddress?
    /// Where the VM mounts the control file system.
    var portFileAddresses: [ListenAddress] = []
    /// Empty for every address.
    var allowedBindAddresses: [IPAddress] = []
    var sandbox = SandboxSettings()

    /// Whether this is the host's side.
    var isHost: Bool { controlListen != nil || !portFileAddresses.isEmpty }

    /// The endpoints where ports may be opened; empty for all of them.
    var binds: [GuestBind] {
        guard !allowedBindAddresses.contains(where: \.isUnspecified) else { return [] }
        return allowedBindAddresses.compactMap { GuestBind($0.isIPv4 ? "\($0)" : "[\($0)]") }
    }

    var conflict: SettingsConflict? {
        let form = "exactly one of --data-listen and --data-connect"
        if let dataListen, dataConnect != nil {
            return SettingsConflict(
                option: "data-listen",
                value: "\(dataListen)",
                expected: form
            )
        }
        if dataListen == nil, dataConnect == nil {
            return SettingsConflict(option: "data-listen", value: "", expected: form)
        }
        if let folder = sandbox.socketFolders.first, portFileAddresses.isEmpty {
            return SettingsConflict(
                option: SandboxSettings.portFileFolder,
                value: folder,
                expected: "--port-fs with it"
            )
        }
        guard !allowedBindAddresses.isEmpty, !isHost else { return nil }
        return SettingsConflict(
            option: "allowed-bind-addresses",
            value: allowedBindAddresses.map(\.description).joined(separator: ","),
            expected: "--control-listen or --port-fs with it"
        )
    }
}

extension Option<PortForwarderSettings> {
    /// The options of `port-forwarder`.
    static let portForwarder: [Option<PortForwarderSettings>] =
        addresses + [Option<SandboxSettings>.sandboxMode.within(\.sandbox)] + common

    private static let addresses = [
        Option(
            "data-listen",
            \.dataListen,
            .forwarderAddress,
            unset: "none",
            help: "where to accept the data connection",
            reason: """
                A number is a vsock port (VPNKit's is 62373), CID/PORT a port of one context, and \
                a path a unix socket; unix://, tcp:// and vsock:// addresses are possible too. \
                fd://NUMBER is a listening socket that the program inherited.
                """
        ),
        Option(
            "data-connect",
            \.dataConnect,
            .forwarderAddress,
            unset: "none",
            help: "where to open the data connection, again after each failure",
            reason: """
                The forms are those of --data-listen, and a vsock port without a context is the \
                host's. fd://NUMBER is a connected socket that the program inherited; the program \
                ends with it.
                """
        ),
        Option(
            "control-listen",
            \.controlListen,
            .forwarderAddress,
            unset: "none: this is the VM's side",
            help: "where to serve the HTTP API; makes this the host's side",
            reason:
                "Only this user can connect to a unix socket; a TCP or vsock port is open to all."
        ),
        .portFiles(
            \.portFileAddresses,
            named: "port-fs",
            reason: """
                The VM mounts it and opens ports of this machine through it, which lead into the VM \
                by the data connection. It makes this the host's side.
                """
        ),
        .portFileFolders(
            \.sandbox,
            reason: """
                For --port-fs only: a socket leads to one in the VM, at any path, or to a TCP port \
                that the VM reaches. Only the user of this program can connect to it.
                """
        ),
        Option(
            "allowed-bind-addresses",
            \.allowedBindAddresses,
            .addressList,
            unset: "all",
            help: "the addresses where ports may be opened, with commas between them",
            reason: """
                Other addresses are refused; 0.0.0.0 or :: in the list allows all. Unix sockets \
                are not affected.
                """
        ),
    ]
}

extension ValueSyntax where Value == LinkAddress? {
    /// Where the host and the VM meet, in VPNKit's form or as a URL.
    fileprivate static let forwarderAddress = ValueSyntax(
        placeholder: "ADDRESS",
        expected: """
            a vsock port such as 62373, CID/PORT, an absolute path, unix:///PATH, \
            tcp://ADDRESS:PORT, vsock://[CID]:PORT or fd://NUMBER
            """,
        parse: { text in
            if text.isEmpty { return .some(nil) }
            if text.hasPrefix("/") {
                return StreamAddress("unix://\(text)").map { .stream($0, .littleEndian16) }
            }
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            let vsock = parts.count == 1 ? ":\(text)" : parts.joined(separator: ":")
            if parts.count <= 2, let address = StreamAddress(vsock: vsock) {
                return .stream(address, .littleEndian16)
            }
            switch LinkAddress(text) {
            case .stream(let address, .littleEndian16): return .stream(address, .littleEndian16)
            case .descriptor(let number): return .descriptor(number)
            default: return nil
            }
        },
        text: { $0?.description ?? "" }
    )
}

extension ValueSyntax where Value == [IPAddress] {
    /// Addresses with commas between them.
    fileprivate static let addressList = ValueSyntax(
        placeholder: "ADDRESSES",
        expected: "literal IPv4 or IPv6 addresses with commas between them",
        parse: { text in
            let addresses = text.split(separator: ",").map { IPAddress($0) }
            return addresses.contains(nil) ? nil : addresses.compactMap(\.self)
        },
        text: { $0.map(\.description).joined(separator: ",") }
    )
}

extension Role {
    /// VPNKit's forwarder: ports of the host that lead into a VM over one connection.
    static let portForwarder = Role(
        name: "port-forwarder",
        aliases: ["vpnkit-forwarder"],
        summary: "VPNKit's forwarder: ports of the host lead into a VM",
        operands: "",
        options: Option.portForwarder
    ) { start throws(RoleFailure) in try PortForwarder.run(start) }
}

/// Runs either side of VPNKit's data plane.
enum PortForwarder {
    private static let descriptors = 1_048_576
    /// Descriptors reserved for everything but clients.
    private static let reserve = 64

    /// What both sides need.
    struct Surroundings {
        let loop: EventLoop
        let log: Logger
        let limits: LimitLog
        /// Limit on descriptors for clients.
        let descriptors: Int
    }

    /// One side of the data connection.
    protocol Side: AnyObject {
        /// Whether another data connection can be accepted.
        var hasRoom: Bool { get }
        /// Takes over a data connection; `ended` is called once, when it has ended.
        func adopt(
            _ stream: consuming OwnedDescriptor,
            _ side: Multiplexer.Side,
            ended: @escaping (_ reason: String) -> Void
        )
        /// The state in one line for the log.
        var traffic: KeyValuePairs<String, String> { get }
        func close()
    }

    /// Serves until a signal ends it.
    ///
    /// - Parameter start: Settings and logger.
    /// - Returns: Success.
    /// - Throws: `RoleFailure` if it cannot start.
    static func run(_ start: RoleStart<PortForwarderSettings>) throws(RoleFailure) -> ExitCode {
        do {
            let loop = try EventLoop()
            let log = start.logger
            let surroundings = Surroundings(
                loop: loop,
                log: log,
                limits: LimitLog(log) { loop.now.nanoseconds / 1_000_000_000 },
                descriptors: ProcessLimits.raiseDescriptors(toAtLeast: descriptors) - reserve
            )
            SplicePipe.blockBrokenPipeSignal()
            let side: any Side =
                start.settings.isHost
                ? try PortForwarderHost(start.settings, surroundings)
                : PortForwarderGuest(surroundings)
            let link = DataConnections(side, surroundings)
            try link.start(start.settings)
            defer {
                link.close()
                side.close()
            }
            return try serve(start, loop, side)
        } catch {
            throw RoleFailure(wrapping: error)
        }
    }

    private static func serve(
        _ start: RoleStart<PortForwarderSettings>,
        _ loop: EventLoop,
        _ side: any Side
    ) throws -> ExitCode {
        let log = start.logger
        let signals = try RoleSignals(
            log: log,
            loop: loop,
            toggled: { log.info("traffic", side.traffic) },
            ended: { signal in
                log.info("exiting on signal", ["signal": signal.name])
                loop.stop()
            }
        )
        var sandbox = Sandbox(start.settings.sandbox, log: log)
        sandbox.programs = "unix sockets of any path can be named"
        sandbox.capabilities = [.dacOverride, .netBindService]
        let refused = try sandbox.enter(with: nil, loop: loop)
        if sandbox.isProbe {
            return try SandboxProbe.run(on: loop, start.surroundings.printOutput)
        }
        log.info("waiting for the data connection", ["side": start.settings.isHost ? "host" : "VM"])
        try withExtendedLifetime((signals, refused)) { () throws(SystemError) in try loop.run() }
        return .success
    }
}
