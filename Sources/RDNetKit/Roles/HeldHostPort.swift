/// A container's port on the host, which the host end keeps open as long as the connection to its
/// API lives.
final class HeldHostPort {
    private static let pause: Duration = .seconds(1)
    /// Time limit for a connection to a host end that may not be back yet.
    ///
    /// The kernel repeats a SYN at ever longer intervals. A new connection asks again sooner.
    private static let connectLimit: Duration = .seconds(2)
    private static let probeInterval: Duration = .seconds(15)

    private let client: APIClient
    private let local: Endpoint
    private let transport: ForwardProtocol
    private let document: [UInt8]
    /// Nil if another port of the same container is the same port of the host.
    private var connection: OwnedDescriptor?

    /// Describes the port; nil without an API.
    init?(_ request: PortProxyRequest, _ settings: PortProxySettings, _ log: Logger) {
        guard let address = settings.api else { return nil }
        client = APIClient(
            address: address,
            token: nil,
            log: log,
            clock: EventLoop.monotonicClock
        )
        local = settings.local
        transport = request.transport
        document =
            JSON.object([
                .init("local", .string("\(local)")),
                .init("remote", .string("\(request.container)")),
                .init("protocol", .string(transport.rawValue)),
            ]).octets
    }

    /// Opens the port.
    ///
    /// - Throws: `RoleFailure` with the API's reason.
    func open() throws(RoleFailure) {
        try open(connectingWithin: APIClient.patience)
    }

    private func open(connectingWithin limit: Duration) throws(RoleFailure) {
        do {
            keep(try client.hold(document, connectingWithin: limit))
        } catch {
            if isCovered { return }
            throw RoleFailure(error)
        }
    }

    private func keep(_ held: consuming HeldConnection) {
        // The end of the host end's process closes nothing by itself.
        held.stream.probePeer(after: Self.probeInterval)
        connection = .some(held.release())
    }

    /// Tries to open the port until that succeeds.
    ///
    /// - Parameter signals: A descriptor that becomes readable when the process shall end.
    /// - Returns: False if the process shall end.
    /// - Throws: `RoleFailure`.
    func openEventually(until signals: borrowing OwnedDescriptor) throws(RoleFailure) -> Bool {
        while true {
            do {
                try open(connectingWithin: Self.connectLimit)
                return true
            } catch {
                client.log.warning("the host's port is not open", ["cause": error.sentence])
            }
            do throws(SystemError) {
                if try WaitingSocket.hasBytes(signals, within: Self.pause) { return false }
            } catch {
                throw RoleFailure(error)
            }
        }
    }

    /// Gives up the connection and returns its number; -1 if there is none.
    func release() -> Int32 {
        guard let connection = connection.take() else { return -1 }
        return connection.release()
    }

    /// Whether the same port at 0.0.0.0 is open, which dockerd publishes first: it accepts clients
    /// of both families.
    private var isCovered: Bool {
        guard local.address == .anyIPv6 else { return false }
        do {
            let all = try JSONParser.parse(try client.ask("/services/forwarder/all"))
            guard case .array(let entries) = all else { return false }
            let other = Endpoint(address: .anyIPv4, port: local.port)
            return entries.contains {
                $0.member("local") == .string("\(other)")
                    && $0.member("protocol") == .string(transport.rawValue)
            }
        } catch {
            return false
        }
    }
}
