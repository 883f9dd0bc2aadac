/// Runs one command of `ctl`.
struct CtlSession {
    private static let zonesPath = "/services/dns/all"
    /// Limit on the values in a document: /flows has the most, eleven for each of several thousand
    /// flows.
    private static let maximumValues = 200_000

    let settings: CtlSettings
    private let command: ControlCommand
    let client: APIClient
    let printOutput: (String) -> Void

    /// Creates a session; sends no request yet.
    ///
    /// - Throws: `RoleFailure` with status 2 if the command is invalid or no API address is set.
    init(_ start: RoleStart<CtlSettings>) throws(RoleFailure) {
        settings = start.settings
        printOutput = start.surroundings.printOutput
        do throws(ControlCommandError) {
            command = try ControlCommand(start.operands)
        } catch {
            throw RoleFailure("\(error)", status: .misuse)
        }
        let address: StreamAddress
        if let given = settings.api {
            address = given
        } else {
            address = try OfferedSocket.only(start.surroundings.environment)
        }
        client = APIClient(
            address: address,
            token: try Self.token(start),
            log: start.logger,
            clock: EventLoop.monotonicClock
        )
    }

    private static func token(_ start: RoleStart<CtlSettings>) throws(RoleFailure) -> String? {
        let path = start.settings.tokenFile
        guard !path.isEmpty else { return nil }
        return try APIToken.read(path, start.surroundings.readFile)
    }

    /// Sends the request and prints the answer.
    ///
    /// - Throws: `RoleFailure` if the API does not answer or returns an error.
    func run() throws(RoleFailure) -> ExitCode {
        if case .tunnel(let guest) = command {
            try tunnel(to: guest)
            return .success
        }
        if command == .doctor { return Doctor(session: self).run() }
        if command == .top { return try CtlTop.run(self) }
        do {
            try ask()
            return .success
        } catch {
            throw RoleFailure(error)
        }
    }

    private func ask() throws(APIFailure) {
        switch command {
        case .forwards:
            // gvproxy ignores the query; its document is for programs.
            let query = settings.printsJSON ? "" : "?details=true"
            try show("/services/forwarder/all" + query, CtlReport.forwards)
        case .expose(let local, let remote) where settings.holds:
            try hold(.object(forward(local, to: remote)))
        case .expose(let local, let remote):
            try post(
                "/services/forwarder/expose",
                .object(forward(local, to: remote))
            )
        case .unexpose(let local):
            try post("/services/forwarder/unexpose", .object(forward(local)))
        case .leases:
            // gvproxy ignores the query; its document is for programs.
            let query = settings.printsJSON ? "" : "?details=true"
            try show("/services/dhcp/leases" + query, CtlReport.leases)
        case .names: try show(Self.zonesPath, CtlReport.names)
        case .resolvers: try show("/dns", CtlReport.resolvers)
        case .addName(let name, let address): try add(name, address)
        case .stats: try show("/stats", CtlReport.statistics)
        case .flows where settings.showsFailures:
            try show("/flows/failed", CtlReport.failures)
        case .flows where settings.watches: try follow([.flow], asText: !settings.printsJSON)
        case .flows: try show("/flows", CtlReport.flows)
        case .links: try show("/links", CtlReport.links)
        case .events(let kinds): try follow(kinds, asText: false)
        case .logLevel(let level):
            if let level {
                let document = JSON.object([JSON.Member("level", .string(level.name))])
                try post("/log-level/set", document)
            }
            try show("/log-level") { document, _ in document.text("level").printable + "\n" }
        case .capture(let isOn):
            switch isOn {
            case .some(true): try startCapture()
            case .some(false): try post("/capture/off", .object([]))
            case .none: break
            }
            try show("/capture", CtlReport.capture)
        case .captureStream: try streamCapture()
        case .policy(let command): try ask(command)
        case .tunnel, .doctor, .top: preconditionFailure("this is more than one question")
        }
    }

    func show(_ path: String, _ report: (JSON, Int?) -> String) throws(APIFailure) {
        let octets = try client.ask(path)
        let document = try parse(octets, path)
        printOutput(
            settings.printsJSON
                ? String(decoding: octets, as: UTF8.self).printableJSON
                : report(document, StandardStream.output.isTerminal ? TextTable.terminalWidth : nil)
        )
    }

    func parse(_ octets: [UInt8], _ path: String) throws(APIFailure) -> JSON {
        do {
            return try JSONParser.parse(octets, maximumValues: Self.maximumValues)
        } catch {
            throw .noAnswer(client.address, reason: "the answer to \(path) is not JSON: \(error)")
        }
    }

    // MARK: Changes

    func post(_ path: String, _ document: JSON) throws(APIFailure) {
        _ = try client.ask(path, body: document.octets)
    }

    /// Opens a forward and keeps it open until somebody else removes it.
    private func hold(_ document: JSON) throws(APIFailure) {
        let held = try client.hold(document.octets)
        printOutput(held.addresses.map { $0.printable + "\n" }.joined())
        while true {
            do throws(SystemError) {
                let octets = try held.stream.receive(upTo: 4_096, within: .seconds(86_400))
                if octets.isEmpty { break }
            } catch {
                guard error.isTimeout else { break }
            }
        }
        throw .noAnswer(client.address, reason: "the forward was removed")
    }

    /// Adds a record to the zone that answers such a name, or creates a zone with it.
    private func add(_ name: String, _ address: IPAddress) throws(APIFailure) {
        let zones = try parse(try client.ask(Self.zonesPath), Self.zonesPath)
        try post("/services/dns/add", CtlZone.adding(name, address, to: zones))
    }

    /// Returns the members that identify a forward; `/udp` or `/tcp` at the end of an address sets
    /// its transport.
    private func forward(_ local: String, to remote: String? = nil) -> [JSON.Member] {
        let isPath = local.hasPrefix("/") || local.hasPrefix("unix://")
        var transport = settings.transport ?? (isPath ? .unix : .tcp)
        let texts = [local, remote ?? ""].map { text in
            guard !isPath, let named = Self.transport(of: text) else { return text }
            transport = named
            return String(text.dropLast(4))
        }
        return [
            JSON.Member("local", .string(texts[0])),
            JSON.Member("protocol", .string(transport.rawValue)),
        ] + (remote == nil ? [] : [JSON.Member("remote", .string(texts[1]))])
    }

    private static func transport(of text: String) -> ForwardProtocol? {
        [ForwardProtocol.tcp, .udp].first { text.hasSuffix("/\($0)") }
    }

    // MARK: Tunnel

    private func tunnel(to guest: Endpoint) throws(RoleFailure) {
        let tunnel: Tunnel
        do {
            tunnel = try client.openTunnel(to: guest)
        } catch {
            throw RoleFailure(error)
        }
        let isConnected = tunnel.isConnected
        var relay = StandardStreamRelay(tunnel.stream)
        do {
            try relay.run()
        } catch {
            switch error {
            case .local(let error): throw RoleFailure(error)
            case .cut where isConnected || relay.received > 0:
                throw RoleFailure("\(guest): the connection was cut")
            case .cut: throw Self.unreachable(guest)
            }
        }
        // gvproxy does not report a failed connection: if no data flowed in either direction, it
        // failed.
        if !isConnected, relay.received == 0, relay.sent == 0 { throw Self.unreachable(guest) }
    }

    private static func unreachable(_ guest: Endpoint) -> RoleFailure {
        RoleFailure("\(guest): the guest cannot be reached there, or refuses the connection")
    }
}
