/// The shared process of `port-proxy`, which carries the traffic of every published port.
///
/// How it works: each port has a stub, the process that dockerd knows. A stub opens the port's
/// socket, connects to an abstract unix socket, which exists once for each user and network
/// namespace, and passes the port's socket on. The port, with its connections, lives as long as the
/// stub's own connection: it ends when the stub exits or is killed. The process ends with the last
/// stub.
final class PortProxyServer {
    /// More descriptors than the clients of any machine need.
    private static let descriptors = 1_048_576
    /// Descriptors reserved for everything but clients.
    private static let reserve = 64
    /// How long it waits for the first stub.
    private static let patience: Duration = .seconds(10)
    /// Limit on the reply bytes that the kernel queues for one UDP client.
    private static let replyOctets: Int32 = 1 << 20
    /// Sockets that one stub may pass on.
    private static let maximumPorts = 2

    private let loop: EventLoop
    private let log: Logger
    private let limits: LimitLog
    private let connector: RelayConnector
    private let pool: UDPForwardPool
    private var listener: StreamListener?
    private var stubs: [ObjectIdentifier: Stub] = [:]

    /// Serves until the last stub disconnects or a signal arrives.
    ///
    /// - Parameter start: Settings and logger.
    /// - Returns: Success.
    /// - Throws: `RoleFailure` if it cannot start.
    static func run(_ start: RoleStart<PortProxySettings>) throws(RoleFailure) -> ExitCode {
        do {
            guard let socket = try PortProxyMeeting.inheritedListener() ?? PortProxyMeeting.listen()
            else { throw RoleFailure("--serve: the shared process runs already") }
            let loop = try EventLoop()
            let server = PortProxyServer(loop: loop, log: start.logger)
            try server.accept(from: socket)
            loop.after(patience) { [weak server] _ in server?.stopIfIdle() }
            return try server.serve(start)
        } catch {
            throw RoleFailure(wrapping: error)
        }
    }

    /// Serves one port in the stub's own process.
    ///
    /// - Parameters:
    ///   - request: Where the port leads.
    ///   - socket: The port's socket.
    ///   - start: Settings and logger.
    ///   - opened: Called once the port is open.
    /// - Returns: Success.
    /// - Throws: `RoleFailure` if it cannot start.
    static func runAlone(
        _ request: PortProxyRequest,
        _ socket: consuming OwnedDescriptor,
        _ start: RoleStart<PortProxySettings>,
        opened: () -> Void
    ) throws(RoleFailure) -> ExitCode {
        do {
            let loop = try EventLoop()
            let server = PortProxyServer(loop: loop, log: start.logger)
            let forward = try server.open(request, socket, server.connector)
            defer { forward.close() }
            opened()
            return try server.serve(start)
        } catch {
            throw RoleFailure(wrapping: error)
        }
    }

    private init(loop: EventLoop, log: Logger) {
        self.loop = loop
        self.log = log
        let limit = ProcessLimits.raiseDescriptors(toAtLeast: Self.descriptors)
        limits = LimitLog(log) { loop.now.nanoseconds / 1_000_000_000 }
        connector = RelayConnector(
            loop: loop,
            log: log,
            counters: ForwardCounters(),
            descriptors: limit - Self.reserve,
            limits: limits,
            replyOctets: Self.replyOctets
        )
        pool = UDPForwardPool(descriptors: limit, limits: limits)
    }

    private func serve(
        _ start: RoleStart<PortProxySettings>
    ) throws -> ExitCode {
        let signals = try RoleSignals(log: log, loop: loop) { [loop, log] signal in
            log.info("exiting on signal", ["signal": signal.name])
            loop.stop()
        }
        let addresses = try HostAddressWatch(loop: loop) { [connector] lost in
            _ = connector.end(losing: lost)
        }
        defer {
            addresses.close()
            listener?.close()
            connector.close()
        }
        var sandbox = Sandbox(start.settings.sandbox, log: log)
        sandbox.capabilities = []
        sandbox.write(in: start.settings.common.logFile)
        let refused = try sandbox.enter(with: nil, loop: loop)
        if sandbox.isProbe {
            return try SandboxProbe.run(on: loop, start.surroundings.printOutput)
        }
        try withExtendedLifetime((signals, refused)) { () throws(SystemError) in try loop.run() }
        return .success
    }

    // MARK: Stubs

    private func accept(from socket: consuming OwnedDescriptor) throws(SystemError) {
        listener = try StreamListener(socket, .packet, loop: loop, log: log, limits: limits) {
            [unowned self] connection, _ in adopt(connection)
        }
    }

    private func adopt(_ connection: consuming OwnedDescriptor) {
        guard PeerProcess.user(of: connection) == ProcessEnvironment.user else { return }
        do {
            let stub = try Stub(connection, self)
            stubs[ObjectIdentifier(stub)] = stub
        } catch {
            log.warning("stub refused", ["cause": "\(error)"])
        }
    }

    private func ended(_ stub: Stub) {
        connector.close(relaysOf: ObjectIdentifier(stub))
        stubs[ObjectIdentifier(stub)] = nil
        stopIfIdle()
    }

    private func stopIfIdle() {
        if stubs.isEmpty { loop.stop() }
    }

    /// Starts to serve a port.
    private func open(
        _ request: PortProxyRequest,
        _ socket: consuming OwnedDescriptor,
        _ connector: any GuestConnector
    ) throws(SystemError) -> any OpenForward {
        if request.transport == .tcp {
            return try TCPForward(
                socket,
                to: .tcp(request.container),
                connector: connector,
                loop: loop,
                counters: self.connector.counters,
                log: log,
                limits: limits
            )
        }
        return try UDPForward(
            socket,
            to: request.container,
            connector: connector,
            loop: loop,
            counters: self.connector.counters,
            limits: limits,
            pool: pool
        )
    }

    /// One stub's connection, and the port that lives as long.
    private final class Stub: GuestConnector, ReadinessObserver {
        private unowned let server: PortProxyServer
        private let connection: OwnedDescriptor
        private var watch: EventLoop.Watch?
        private var ports: [any OpenForward] = []

        init(_ connection: consuming OwnedDescriptor, _ server: PortProxyServer) throws(SystemError)
        {
            self.connection = connection
            self.server = server
            watch = try server.loop.watch(
                self.connection.number,
                for: .readable,
                observer: self
            )
        }

        func descriptorReady(_ readiness: Readiness, now: Instant) {
            do throws(SystemError) {
                guard let packet = try DescriptorPassing.receivePacket(over: connection) else {
                    return
                }
                guard !packet.octets.isEmpty else { return end() }
                let octets = packet.octets
                guard let socket = packet.descriptor else {
                    return answer("the request has no socket")
                }
                open(octets, socket)
            } catch {
                end()
            }
        }

        private func open(_ octets: [UInt8], _ socket: consuming OwnedDescriptor) {
            guard let request = PortProxyRequest(octets) else {
                return answer("the shared process does not understand the request")
            }
            guard ports.count < PortProxyServer.maximumPorts else {
                return answer("the port has too many sockets")
            }
            do throws(SystemError) {
                ports.append(try server.open(request, socket, self))
                answer("0")
            } catch {
                answer("\(error)")
            }
        }

        private func answer(_ text: String) {
            do throws(SystemError) {
                _ = try Socket.send(connection, Array(text.utf8))
            } catch {
                end()
            }
        }

        private func end() {
            guard let watch else { return }
            server.loop.forget(watch)
            self.watch = nil
            for port in ports { port.close() }
            server.ended(self)
        }

        // MARK: GuestConnector

        var hasRoom: Bool { server.connector.hasRoom }

        func connect(to guest: Endpoint, joining stream: consuming OwnedDescriptor) {
            server.connector.connect(to: guest, joining: stream, for: ObjectIdentifier(self))
        }

        func openDatagramPort(
            to guest: Endpoint,
            receiver: any GuestDatagramReceiver
        ) -> (any GuestDatagramPort)? {
            server.connector.openDatagramPort(to: guest, receiver: receiver)
        }
    }
}
