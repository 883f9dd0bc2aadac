/// The settings of `wsl-proxy`.
struct WSLProxySettings: RoleSettings {
    var common = CommonSettings()
    var profile = RancherProfile.current
    var socketFile = "/run/wsl-proxy.sock"
    /// Nil for the profile's.
    var upstreamAddress: IPAddress?
    /// The size in bytes.
    var udpBuffer = 8_388_608
    var sandbox = SandboxSettings()

    init() {
        common.logFile = "/var/log/wsl-proxy.log"
    }

    /// The destination of clients of published ports.
    var effectiveUpstream: IPAddress { upstreamAddress ?? profile.innerVeth.address }

    var conflict: SettingsConflict? { nil }
}

extension Option<WSLProxySettings> {
    /// The options of `wsl-proxy`.
    static let wslProxy: [Option<WSLProxySettings>] =
        [
            Option(
                "socketFile",
                \.socketFile,
                .path,
                help: "the unix socket on which agents report published ports",
                reason: """
                    Only its owner can connect. A stale socket is replaced; if another process \
                    listens on it, the program exits with status 1.
                    """
            ),
            Option(
                "upstreamAddress",
                \.upstreamAddress,
                .optionalAddress,
                unset: "the profile's: 192.168.143.1, or 192.168.1.2 for legacy",
                help: "the address to relay clients to",
                reason: "It is the containers' end of the veth pair that network-setup creates."
            ),
            Option(
                "udpBuffer",
                \.udpBuffer,
                .integer(1...Int(Int32.max), "OCTETS"),
                help: "the socket buffer of a published UDP port",
                reason: """
                    It applies to both directions, and up to 1 MiB of it to each client's \
                    replies. The kernel allocates memory only while datagrams wait.
                    """
            ),
            Option.profile(\.profile),
        ]
        + Option<SandboxSettings>.sandbox.map { $0.within(\.sandbox) }
        + Option.common
}

extension Role {
    /// Listens on published ports in the default namespace.
    static let wslProxy = Role(
        name: "wsl-proxy",
        summary: "published ports: relays clients to the containers' namespace",
        operands: "",
        options: Option.wslProxy
    ) { start throws(RoleFailure) in try WSLProxy.run(start) }
}

/// Serves published ports.
enum WSLProxy {
    /// More descriptors than the clients of any machine need: two for each of half a million
    /// connections.
    private static let descriptors = 1_048_576
    /// Descriptors reserved for everything but clients: listeners, agents, the log.
    private static let reserve = 64

    /// Serves until a signal ends it.
    ///
    /// - Parameter start: Settings and logger.
    /// - Returns: Success.
    /// - Throws: `RoleFailure` if it cannot start.
    static func run(_ start: RoleStart<WSLProxySettings>) throws(RoleFailure) -> ExitCode {
        let settings = start.settings
        let limit = ProcessLimits.raiseDescriptors(toAtLeast: descriptors)
        do {
            let sandbox = sandbox(start)
            // It creates the agents' socket again when another program has removed the file.
            let broker = try sandbox.prepare()
            let loop = try EventLoop()
            let limits = LimitLog(start.logger) { loop.now.nanoseconds / 1_000_000_000 }
            let connector = RelayConnector(
                loop: loop,
                log: start.logger,
                counters: ForwardCounters(),
                descriptors: limit - reserve,
                limits: limits,
                replyOctets: Int32(clamping: settings.udpBuffer)
            )
            let ports = PublishedPorts(log: start.logger) { port, address throws(SystemError) in
                try open(port, at: address, settings, connector, limits)
            }
            let publishers = PortPublishers(loop: loop)
            connect(publishers, ports, start.logger)
            let server = try listen(settings, loop, start.logger) { message, process in
                ports.apply(message, from: publishers.publisher(process))
            }
            let api = apiServer(of: ports, publishers, settings, limits)
            server.requested = { [unowned api] stream in api.accept(stream, from: nil) }
            let addresses = try HostAddressWatch(loop: loop) { lost in
                let count = connector.end(losing: lost)
                start.logger.info("addresses lost", ["addresses": "\(lost)", "reset": "\(count)"])
            }
            defer {
                addresses.close()
                server.close()
                api.close()
                ports.close()
                connector.close()
            }
            let signals = try RoleSignals(
                log: start.logger,
                loop: loop,
                toggled: { start.logger.info("traffic", counters: connector.counters) },
                ended: { signal in
                    start.logger.info("exiting on signal", ["signal": signal.name])
                    start.logger.info("traffic", counters: connector.counters)
                    loop.stop()
                }
            )
            // In the sandbox, the service manager's socket cannot be reached anymore.
            let socket = start.surroundings.environment(ServiceNotification.variable)
            let manager = ServiceNotification.connect(to: socket, log: start.logger)
            let refused = try sandbox.enter(with: broker, loop: loop)
            if sandbox.isProbe {
                return try SandboxProbe.run(on: loop, start.surroundings.printOutput)
            }
            announce(start, to: manager)
            try withExtendedLifetime((signals, refused)) { () throws(SystemError) in
                try loop.run()
            }
            return .success
        } catch {
            throw RoleFailure(wrapping: error)
        }
    }

    /// It learns from /proc which program an agent is.
    private static func sandbox(_ start: RoleStart<WSLProxySettings>) -> Sandbox {
        var sandbox = Sandbox(start.settings.sandbox, log: start.logger)
        sandbox.listen(start.settings.socketFile)
        sandbox.write(in: start.settings.common.logFile)
        sandbox.rules.insert(.reading("/proc"))
        return sandbox
    }

    private static func connect(
        _ publishers: PortPublishers,
        _ ports: PublishedPorts,
        _ log: Logger
    ) {
        ports.hasEnded = { [unowned publishers] in publishers.hasEnded($0) }
        publishers.isClaimant = { [unowned ports] in ports.isClaimant($0) }
        publishers.replaced = { [unowned ports] predecessors in
            log.info("agent replaced; dropping the ports that only its predecessor added")
            ports.drop(predecessors)
        }
    }

    /// The API on the agents' socket, with which `port-proxy` holds ports.
    private static func apiServer(
        of ports: PublishedPorts,
        _ publishers: PortPublishers,
        _ settings: WSLProxySettings,
        _ limits: LimitLog
    ) -> HTTPServer {
        let api = PublishedPortAPI(
            ports: ports,
            publishers: publishers,
            loop: publishers.loop,
            upstream: settings.effectiveUpstream
        )
        return HTTPServer(
            loop: publishers.loop,
            routes: api.routes,
            admitting: HTTPAdmission(),
            reporting: limits
        )
    }

    private static func listen(
        _ settings: WSLProxySettings,
        _ loop: EventLoop,
        _ log: Logger,
        _ received: @escaping (PortMessage, PeerProcess?) -> Void
    ) throws(RoleFailure) -> PortMessageServer {
        do {
            return try PortMessageServer(
                path: settings.socketFile,
                loop: loop,
                log: log,
                received: received
            )
        } catch {
            let path = settings.socketFile
            guard error.isAddressInUse else { throw RoleFailure("socketFile: \(error)") }
            throw RoleFailure(
                "socketFile \(path): another program is listening there, or it is not a socket; "
                    + "expected a path that is free or was left behind"
            )
        }
    }

    /// Logs that agents can connect, and notifies a waiting service manager.
    private static func announce(
        _ start: RoleStart<WSLProxySettings>,
        to manager: ServiceNotification?
    ) {
        start.logger.info(
            "waiting for published ports",
            [
                "socket": start.settings.socketFile,
                "upstream": "\(start.settings.effectiveUpstream)",
            ]
        )
        manager?.announce(log: start.logger)
    }

    private static func open(
        _ port: PublishedPorts.Port,
        at address: IPAddress,
        _ settings: WSLProxySettings,
        _ connector: RelayConnector,
        _ limits: LimitLog
    ) throws(SystemError) -> any OpenForward {
        let local = Endpoint(address: address, port: port.number)
        let upstream = Endpoint(address: settings.effectiveUpstream, port: port.number)
        switch port.transport {
        case .tcp, .unix:
            return try TCPForward(
                ListeningSocket.tcp(local),
                to: .tcp(upstream),
                connector: connector,
                loop: connector.loop,
                counters: connector.counters,
                limits: limits
            )
        case .udp:
            let socket = try ListeningSocket.udp(local)
            Socket.enlargeBuffers(socket, to: Int32(clamping: settings.udpBuffer))
            return try UDPForward(
                socket,
                to: upstream,
                connector: connector,
                loop: connector.loop,
                counters: connector.counters,
                limits: limits
            )
        }
    }
}
