/// The host's side of `port-forwarder`: exposed ports, their API, and the connection to the VM.
final class PortForwarderHost: PortForwarder.Side {
    /// How long a data connection may take for its handshake.
    private static let patience: Duration = .seconds(10)
    private static let maximumHandshakes = 16

    private let loop: EventLoop
    private let log: Logger
    private let connector: MultiplexConnector
    private let ports: ExposedPorts
    private let server: HTTPServer
    private var listener: StreamListener?
    /// The forwards that the VM opens through the control file system.
    private let table: ForwardTable
    private var portFiles: PortFileServer?
    private var portFileListeners: [StreamListener] = []
    /// Connections without a handshake yet.
    private var handshakes: [ObjectIdentifier: MultiplexConnection] = [:]

    /// Creates the host's side and serves the API.
    ///
    /// - Throws: `RoleFailure` if the API cannot listen.
    init(
        _ settings: PortForwarderSettings,
        _ surroundings: PortForwarder.Surroundings
    ) throws(RoleFailure) {
        loop = surroundings.loop
        log = surroundings.log
        let connector = MultiplexConnector(
            loop: loop,
            log: log,
            counters: ForwardCounters(),
            limits: surroundings.limits,
            descriptors: surroundings.descriptors
        )
        self.connector = connector
        ports = ExposedPorts(
            connector,
            loop: loop,
            log: log,
            limits: surroundings.limits,
            descriptors: surroundings.descriptors,
            allowing: settings.allowedBindAddresses
        )
        let api = ExposeAPI(ports: ports) { connector.report }
        server = HTTPServer(
            loop: loop,
            routes: api.routes,
            unknownPath: ExposeAPI.unknownPath,
            admitting: HTTPAdmission(),
            reporting: surroundings.limits
        )
        table = ForwardTable(
            loop: loop,
            connector: connector,
            log: log,
            limits: surroundings.limits,
            ssh: SSHProgram(ProcessEnvironment.value(of:)),
            descriptors: surroundings.descriptors
        )
        try servePortFiles(settings, surroundings.limits)
        guard let address = settings.controlListen else { return }
        do throws(SystemError) {
            listener = try LinkOpener.listen(
                at: address,
                loop: loop,
                log: log,
                limits: surroundings.limits
            ) { [server] stream, peer in server.accept(stream, from: peer) }
        } catch {
            throw RoleFailure("--control-listen: \(error)")
        }
    }

    private func servePortFiles(
        _ settings: PortForwarderSettings,
        _ limits: LimitLog
    ) throws(RoleFailure) {
        guard !settings.portFileAddresses.isEmpty else { return }
        let forwards = PortFileForwards(
            table: table,
            binds: settings.binds,
            bindOption: "allowed-bind-addresses",
            socketRefusal: PortFileFolders(
                folders: settings.sandbox.socketFolders,
                haveTargets: false
            ).refusal,
            reach: { _, _ in .reachable(released: {}) },
            owner: { _ in .host }
        )
        let server = PortFileServer(forwards.makeSystem(log), loop: loop, log: log, limits: limits)
        portFiles = server
        portFileListeners = try server.listen(at: settings.portFileAddresses, option: "port-fs")
    }

    // MARK: Side

    var hasRoom: Bool { handshakes.count < Self.maximumHandshakes }
    var traffic: KeyValuePairs<String, String> {
        [
            "ports": "\(ports.list.count + table.entries.count)",
            "connected": "\(connector.isConnected)",
            "connections": "\(connector.counters.connections)",
        ]
    }

    func adopt(
        _ stream: consuming OwnedDescriptor,
        _ side: Multiplexer.Side,
        ended: @escaping (String) -> Void
    ) {
        let connection = MultiplexConnection(stream, side, hasHandshake: true, loop: loop)
        let key = ObjectIdentifier(connection)
        // The VM opens no channels: it would reach everything that this program reaches.
        connection.events.ready = { [weak self] in self?.isReady(key) }
        connection.events.ended = { [weak self, unowned connection] reason in
            self?.handshakes[key] = nil
            if self?.connector.lost(connection) ?? false {
                self?.log.info("VM disconnected", ["reason": reason])
            }
            ended(reason)
        }
        guard hasRoom else { return ended("too many connections without a handshake") }
        handshakes[key] = connection
        do {
            try connection.start()
        } catch {
            handshakes[key] = nil
            return ended("\(error)")
        }
        loop.after(Self.patience) { [weak self] _ in
            self?.handshakes[key]?.close("no handshake within \(Self.patience)")
        }
    }

    func close() {
        listener?.close()
        for listener in portFileListeners { listener.close() }
        portFiles?.close()
        table.close()
        server.close()
        ports.close()
        for connection in Array(handshakes.values) { connection.close("exiting") }
        connector.close()
    }

    private func isReady(_ key: ObjectIdentifier) {
        guard let connection = handshakes.removeValue(forKey: key) else { return }
        log.info("VM connected")
        connector.use(connection)
    }
}
