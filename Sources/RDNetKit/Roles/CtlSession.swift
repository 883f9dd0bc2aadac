/// One command of `ctl` at work.
struct CtlSession {
    private let settings: CtlSettings
    private let command: ControlCommand
    private let client: APIClient
    private let print: (String) -> Void

    /// Makes a session that has not asked yet.
    ///
    /// - Throws: `RoleFailure` with status 2 when the command makes no sense, or nobody is named to ask.
    init(_ start: RoleStart<CtlSettings>) throws(RoleFailure) {
        settings = start.settings
        print = start.surroundings.printOutput
        do throws(ControlCommandError) {
            command = try ControlCommand(start.operands)
        } catch {
            throw RoleFailure("\(error)", status: .misuse)
        }
        guard let address = settings.api else {
            throw RoleFailure(
                "nobody is named to ask: say --api ADDRESS, or set RDNET_API, with the address that "
                    + "host-switch was given as --api, or gvproxy as -listen",
                status: .misuse
            )
        }
        client = APIClient(
            address: address,
            log: start.logger,
            clock: EventLoop.monotonicClock
        )
    }

    /// Asks, and prints the answer.
    ///
    /// - Throws: `RoleFailure` when there is none, or it is an error.
    func run() throws(RoleFailure) -> ExitCode {
        if case .tunnel(let guest) = command {
            try tunnel(to: guest)
            return .success
        }
        do {
            try ask()
            return .success
        } catch {
            throw RoleFailure(error)
        }
    }

    private func ask() throws(APIFailure) {
        switch command {
        case .forwards: try show("/services/forwarder/all")
        case .expose(let local, let remote):
            try post(
                "/services/forwarder/expose",
                forward(local) + [JSON.Member("remote", .string(remote))]
            )
        case .unexpose(let local): try post("/services/forwarder/unexpose", forward(local))
        case .leases: try show("/services/dhcp/leases")
        case .names: try show("/services/dns/all")
        case .stats: try show("/stats")
        case .flows: try show("/flows")
        case .links: try show("/links")
        case .capture(let isOn):
            if let isOn { try post("/capture/\(isOn ? "on" : "off")", []) }
            try show("/capture")
        case .tunnel: preconditionFailure("a tunnel is no question")
        }
    }

    private func show(_ path: String) throws(APIFailure) {
        print(String(decoding: try client.ask(path), as: UTF8.self))
    }

    // MARK: Changes

    private func post(_ path: String, _ members: [JSON.Member]) throws(APIFailure) {
        _ = try client.ask(path, body: JSON.object(members).octets)
    }

    private func forward(_ local: String) -> [JSON.Member] {
        let looksLikePath = local.hasPrefix("/") || local.hasPrefix("unix://")
        let transport = settings.transport ?? (looksLikePath ? .unix : .tcp)
        return [
            JSON.Member("local", .string(local)),
            JSON.Member("protocol", .string(transport.rawValue)),
        ]
    }

    // MARK: Tunnel

    private func tunnel(to guest: Endpoint) throws(RoleFailure) {
        let stream: OwnedDescriptor
        do {
            stream = try client.openTunnel(to: guest)
        } catch {
            throw RoleFailure(error)
        }
        var relay = StandardStreamRelay(stream)
        do {
            try relay.run()
        } catch {
            switch error {
            case .local(let error): throw RoleFailure(error)
            case .cut where relay.received > 0:
                throw RoleFailure("\(guest): the connection was cut")
            case .cut: throw Self.unreachable(guest)
            }
        }
        // A connection that nothing came out of, and nothing went into, was none.
        if relay.received == 0, relay.sent == 0 { throw Self.unreachable(guest) }
    }

    private static func unreachable(_ guest: Endpoint) -> RoleFailure {
        RoleFailure("\(guest): the guest cannot be reached there, or refuses the connection")
    }
}
