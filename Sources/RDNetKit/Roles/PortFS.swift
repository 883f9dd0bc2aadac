/// The settings of `port-fs`.
struct PortFSSettings: RoleSettings {
    var common = CommonSettings()
    var addresses: [ListenAddress] = []
    var binds: [GuestBind] = []
    var sandbox = SandboxSettings()

    var conflict: SettingsConflict? {
        guard addresses.isEmpty else { return nil }
        return SettingsConflict(
            option: "listen",
            value: "",
            expected: "an address where the file system can be mounted"
        )
    }
}

extension Option<PortFSSettings> {
    /// The options of `port-fs`.
    static let portFS: [Option<PortFSSettings>] =
        [
            .portFiles(
                \.addresses,
                named: "listen",
                reason: """
                    Required. All addresses share one tree: a port that one client opened can be \
                    seen and closed by the others.
                    """
            ),
            Option(
                "guest-bind",
                repeating: \.binds,
                .guestBind,
                unset: "all addresses and ports",
                help: "the addresses, and ports, that clients may open",
                reason: "For example 127.0.0.0/8, or 0.0.0.0/0:1024-65535 for no port below 1024."
            ),
            .portFileFolders(
                \.sandbox,
                reason: """
                    A socket may lead to another one in such a folder, or to a TCP port. Only the \
                    user of this program can connect to it.
                    """
            ),
        ]
        + Option<SandboxSettings>.sandbox.map { $0.within(\.sandbox) }
        + Option.common
}

extension Role {
    /// VPNKit's control file system for a network that this machine reaches directly.
    static let portFS = Role(
        name: "port-fs",
        summary: "VPNKit's 9P control file system for published ports",
        operands: "",
        options: Option.portFS
    ) { start throws(RoleFailure) in try PortFS.run(start) }
}

/// Serves the control file system.
enum PortFS {
    /// More descriptors than the clients of any machine need.
    private static let descriptors = 1_048_576
    /// Descriptors reserved for everything but clients.
    private static let reserve = 256
    /// Limit on the reply bytes that the kernel queues for one UDP client.
    private static let replyOctets: Int32 = 1 << 20

    /// Serves until a signal ends it.
    ///
    /// - Parameter start: Settings and logger.
    /// - Returns: Success.
    /// - Throws: `RoleFailure` if it cannot start.
    static func run(_ start: RoleStart<PortFSSettings>) throws(RoleFailure) -> ExitCode {
        SignalWatch.block(RoleSignals.always)
        let (settings, log) = (start.settings, start.logger)
        let limit = ProcessLimits.raiseDescriptors(toAtLeast: descriptors)
        do {
            var sandbox = Sandbox(settings.sandbox, log: log)
            for case .stream(let address) in settings.addresses { sandbox.listen(address) }
            sandbox.write(in: settings.common.logFile)
            sandbox.grants.connectingFolders = settings.sandbox.socketFolders
            let broker = try sandbox.prepare()
            let loop = try EventLoop()
            let limits = LimitLog(log) { loop.now.nanoseconds / 1_000_000_000 }
            let connector = RelayConnector(
                loop: loop,
                log: log,
                counters: ForwardCounters(),
                descriptors: limit - reserve,
                limits: limits,
                replyOctets: replyOctets
            )
            let forwards = ForwardTable(
                loop: loop,
                connector: connector,
                log: log,
                limits: limits,
                ssh: SSHProgram(ProcessEnvironment.value(of:)),
                descriptors: limit
            )
            let server = server(settings, forwards, log)
            var listeners: [StreamListener] = []
            defer {
                for listener in listeners { listener.close() }
                server.close()
                forwards.close()
                connector.close()
            }
            listeners = try server.listen(at: settings.addresses, option: "listen")
            let addresses = try HostAddressWatch(loop: loop) { lost in
                _ = connector.end(losing: lost)
            }
            defer { addresses.close() }
            let signals = try RoleSignals(
                log: log,
                loop: loop,
                toggled: { log.info("traffic", counters: connector.counters) },
                ended: { signal in
                    log.info("exiting on signal", ["signal": signal.name])
                    loop.stop()
                }
            )
            let socket = start.surroundings.environment(ServiceNotification.variable)
            let manager = ServiceNotification.connect(to: socket, log: log)
            let refused = try sandbox.enter(with: broker, loop: loop)
            if sandbox.isProbe {
                return try SandboxProbe.run(on: loop, start.surroundings.printOutput)
            }
            for address in settings.addresses {
                log.info("waiting for 9P clients", ["address": "\(address)"])
            }
            manager?.announce(log: log)
            try withExtendedLifetime((signals, refused)) { () throws(SystemError) in
                try loop.run()
            }
            return .success
        } catch {
            throw RoleFailure(wrapping: error)
        }
    }

    private static func server(
        _ settings: PortFSSettings,
        _ table: ForwardTable,
        _ log: Logger
    ) -> PortFileServer {
        let forwards = PortFileForwards(
            table: table,
            binds: settings.binds,
            socketRefusal: PortFileFolders(
                folders: settings.sandbox.socketFolders,
                haveTargets: true
            ).refusal,
            reach: { _, _ in .reachable(released: {}) },
            owner: { _ in .host }
        )
        let system = forwards.makeSystem(log)
        return PortFileServer(system, loop: table.loop, log: log, limits: table.limits)
    }
}
