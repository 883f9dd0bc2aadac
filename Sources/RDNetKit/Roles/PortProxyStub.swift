/// The process that dockerd starts for one published port, and stops with SIGINT.
///
/// It opens the port, passes the socket on to the shared process, and then only waits. If the
/// shared process ends, for example because somebody killed it, the stub starts itself again: it
/// still has the socket, so no client is refused meanwhile. The same happens when the host end's
/// API ends, if that opens the port on the host.
enum PortProxyStub {
    /// The descriptor with which dockerd passes on the port's socket.
    private static let socketNumber: Int32 = 4
    /// Time limit for the shared process's answer; dockerd waits 16 s.
    private static let patience: Duration = .seconds(10)
    private static let pause: Duration = .milliseconds(10)
    /// How often it tries to start the shared process.
    private static let maximumStarts = 3

    /// Publishes the port until a signal arrives.
    ///
    /// - Parameter start: Settings and logger.
    /// - Returns: Success, unless the process parks and exits by itself.
    /// - Throws: `RoleFailure` if the port cannot be opened.
    static func run(_ start: RoleStart<PortProxySettings>) throws(RoleFailure) -> ExitCode {
        let settings = start.settings
        let request = try request(settings)
        let signals: OwnedDescriptor
        do throws(SystemError) {
            signals = try SignalWatch.descriptor(of: [.terminate, .interrupt])
        } catch {
            throw RoleFailure(error)
        }
        let socket = try open(settings)
        let held = HeldHostPort(request, settings, start.logger)
        guard let connection = try handOver(request, socket) else {
            try held?.open()
            return try PortProxyServer.runAlone(request, socket, start) { succeed(start) }
        }
        if let held, settings.waitsForAPI {
            if try !held.openEventually(until: signals) { return .success }
        } else {
            try held?.open()
        }
        succeed(start)
        ParkedProcess.wait(
            for: signals.release(),
            or: connection.release(),
            held?.release() ?? -1,
            keeping: socket.release(),
            as: socketNumber,
            thenRun: words(request, settings)
        )
    }

    private static func request(
        _ settings: PortProxySettings
    ) throws(RoleFailure) -> PortProxyRequest {
        guard let address = settings.containerAddress, let port = settings.containerPort else {
            throw RoleFailure("--container-ip and --container-port are required", status: .misuse)
        }
        return PortProxyRequest(
            transport: settings.transport,
            container: Endpoint(address: address, port: UInt16(port))
        )
    }

    /// Opens the port, or takes over the socket from dockerd.
    private static func open(
        _ settings: PortProxySettings
    ) throws(RoleFailure) -> OwnedDescriptor {
        let local = settings.local
        let isTCP = settings.transport == .tcp
        do throws(SystemError) {
            if settings.inheritsSocket {
                return try ListeningSocket.inherited(socketNumber, isTCP ? .stream : .datagram)
            }
            return try isTCP
                ? ListeningSocket.tcp(local, ofOneFamily: true)
                : ListeningSocket.udp(local, ofOneFamily: true)
        } catch {
            if settings.inheritsSocket {
                let expected = isTCP ? "a listening TCP socket" : "a bound UDP socket"
                throw RoleFailure("--use-listen-fd: \(error); expected \(expected)")
            }
            // dockerd shows the sentence to its user.
            let network = settings.transport.rawValue
            throw RoleFailure(
                ForwardError.refused(network: network, address: "\(local)", error)
            )
        }
    }

    // MARK: The shared process

    /// Passes the port on to the shared process, which it starts if necessary.
    ///
    /// - Returns: The connection that keeps the port open; nil if there can be no shared process,
    ///   so that the stub must serve the port itself.
    /// - Throws: `RoleFailure` if the shared process refuses.
    private static func handOver(
        _ request: PortProxyRequest,
        _ socket: borrowing OwnedDescriptor
    ) throws(RoleFailure) -> OwnedDescriptor? {
        let deadline = EventLoop.monotonicClock() + patience
        var starts = 0
        while EventLoop.monotonicClock() < deadline {
            var refusal: String?
            do throws(SystemError) {
                if let connection = try meet(&starts) {
                    let waiting = WaitingSocket(connection)
                    let answer = ask(request, socket, over: waiting, until: deadline)
                    if answer == "0" { return waiting.descriptor }
                    refusal = answer
                }
            } catch {
                return nil
            }
            if let refusal { throw RoleFailure(refusal) }
            WaitingSocket.pause(pause)
        }
        return nil
    }

    /// Connects to the shared process, and starts it if none listens.
    ///
    /// - Returns: Nil if it should be tried again.
    private static func meet(_ starts: inout Int) throws(SystemError) -> OwnedDescriptor? {
        if let connection = try PortProxyMeeting.connect() { return connection }
        guard starts < maximumStarts, let listener = try PortProxyMeeting.listen() else {
            return nil
        }
        starts += 1
        try DetachedProgram.start(["port-proxy", "--serve"], descriptors: [listener.number])
        return try PortProxyMeeting.connect()
    }

    /// Returns the shared process's answer; nil if it ended before it could answer.
    private static func ask(
        _ request: PortProxyRequest,
        _ socket: borrowing OwnedDescriptor,
        over connection: borrowing WaitingSocket,
        until deadline: Instant
    ) -> String? {
        do {
            try DescriptorPassing.send(
                socket.number,
                with: request.octets,
                over: connection.descriptor
            )
            let answer = try connection.receive(
                upTo: PortProxyRequest.maximumAnswer,
                within: deadline - EventLoop.monotonicClock()
            )
            return answer.isEmpty ? nil : String(decoding: answer, as: UTF8.self)
        } catch {
            return nil
        }
    }

    // MARK: Results

    private static func succeed(_ start: RoleStart<PortProxySettings>) {
        guard start.settings.printsResult else { return PortProxyStatus.succeed() }
        start.surroundings.printOutput("0\n")
    }

    /// The command line that takes the port over from this process.
    private static func words(
        _ request: PortProxyRequest,
        _ settings: PortProxySettings
    ) -> [String] {
        [
            "port-proxy", "-proto", settings.transport.rawValue,
            "-host-ip", "\(settings.local.address)",
            "-host-port", "\(settings.local.port)",
            "-container-ip", "\(request.container.address)",
            "-container-port", "\(request.container.port)",
            "-use-listen-fd",
        ] + (settings.api.map { ["-api", "\($0)", "-wait-for-api"] } ?? [])
    }
}
