/// The exposed ports of VPNKit's API.
///
/// A port's identity is everything about it, with the annotation. To expose or unexpose a port
/// twice changes nothing. A port with number 0 gets the number that the kernel chose, and is listed
/// and unexposed with that.
final class ExposedPorts {
    private let connector: MultiplexConnector
    private let loop: EventLoop
    private let log: Logger
    private let limits: LimitLog
    private let pool: UDPForwardPool
    private let maximum: Int
    /// The addresses that clients may listen at; empty for every address.
    private let allowed: [IPAddress]
    private var ports: [ExposedPort: any OpenForward] = [:]

    /// Creates an empty table.
    ///
    /// - Parameters:
    ///   - connector: Connects clients to the VM.
    ///   - loop: Reports new clients.
    ///   - log: The log.
    ///   - limits: Counts refused ports and clients.
    ///   - descriptors: The process's descriptor limit.
    ///   - allowed: The addresses that clients may listen at; empty for every address.
    init(
        _ connector: MultiplexConnector,
        loop: EventLoop,
        log: Logger,
        limits: LimitLog,
        descriptors: Int,
        allowing allowed: [IPAddress]
    ) {
        self.connector = connector
        self.loop = loop
        self.log = log
        self.limits = limits
        self.allowed = allowed
        pool = UDPForwardPool(descriptors: descriptors, limits: limits)
        maximum = descriptors / 2
    }

    /// The exposed ports with their numbers, sorted by text.
    var list: [ExposedPort] { ports.keys.sorted { $0.text < $1.text } }

    /// Exposes a port; does nothing if it is exposed.
    func expose(_ port: ExposedPort) throws(ExposeError) {
        guard ports[port] == nil else { return }
        guard ports.count < maximum else {
            limits.reached(.forwards, maximum: maximum)
            throw .tooMany(limit: maximum)
        }
        let forward = try open(port)
        var resolved = port
        if port.transport != .unix, let endpoint = forward.endpoint {
            resolved.outsidePort = endpoint.port
        }
        ports[resolved] = forward
        log.info("port exposed", ["port": resolved.text])
    }

    /// Closes a port, whose connections continue; does nothing if it is not exposed.
    func unexpose(_ port: ExposedPort) {
        guard let forward = ports.removeValue(forKey: port) else { return }
        forward.close()
        log.info("port closed", ["port": port.text])
    }

    /// Closes every port.
    func close() {
        for forward in ports.values { forward.close() }
        ports = [:]
    }

    private func open(_ port: ExposedPort) throws(ExposeError) -> any OpenForward {
        if port.transport == .unix { return try openPath(port) }
        let name = "\(port.transport) \(Self.text(port))"
        guard allows(port.outsideAddress) else { throw .addressNotAllowed(name) }
        do {
            return try port.transport == .tcp
                ? expose(port, on: ListeningSocket.tcp(port.outside)) : openUDP(port)
        } catch {
            throw .refused(.refused(network: "\(port.transport)", address: Self.text(port), error))
        }
    }

    private func allows(_ address: IPAddress?) -> Bool {
        if allowed.isEmpty || allowed.contains(where: \.isUnspecified) { return true }
        return address.map(allowed.contains) ?? false
    }

    /// The address as Go writes it.
    private static func text(_ port: ExposedPort) -> String {
        port.outsideAddress == nil ? ":\(port.outsidePort)" : "\(port.outside)"
    }

    /// Connects the clients of a TCP port or a unix socket to the VM.
    private func expose(
        _ port: ExposedPort,
        on socket: consuming OwnedDescriptor,
        path: String? = nil
    ) throws(SystemError) -> any OpenForward {
        try TCPForward(
            socket,
            path: path,
            to: port.inside,
            connector: connector,
            loop: loop,
            counters: connector.counters,
            log: log,
            limits: limits
        )
    }

    private func openUDP(_ port: ExposedPort) throws(SystemError) -> any OpenForward {
        guard case .udp(let guest) = port.inside else { preconditionFailure("not a UDP port") }
        return try UDPForward(
            ListeningSocket.udp(port.outside),
            to: guest,
            connector: connector,
            loop: loop,
            counters: connector.counters,
            limits: limits,
            pool: pool
        )
    }

    private func openPath(_ port: ExposedPort) throws(ExposeError) -> any OpenForward {
        let path = port.outsidePath
        guard StreamAddress.isPath(path) else { throw .badPath(path.printable) }
        guard !ports.keys.contains(where: { $0.outsidePath == path }) else {
            let taken = "bind: address already in use"
            throw .refused(.refused(network: "unix", address: path, reason: taken))
        }
        do {
            guard try SocketPath.clear(path) else { throw ExposeError.notASocket(path) }
            return try expose(port, on: ListeningSocket.unix(path: path), path: path)
        } catch let error as ExposeError {
            throw error
        } catch let error as SystemError {
            throw error.call.hasPrefix("bind")
                ? .refused(.refused(network: "unix", address: path, error)) : .failed(error)
        } catch {
            preconditionFailure("an error of another type: \(error)")
        }
    }
}
