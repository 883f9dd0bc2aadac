/// The HTTP API of a network: for guests on the gateway, and for the host at its own addresses.
extension HostNetwork {
    /// Opens the API for guests and at the addresses in the settings.
    ///
    /// - Throws: `RoleFailure` with the address or the file that could not be opened.
    func openAPI() throws(RoleFailure) {
        serveGuests()
        try serve(api.hostRoutes, at: settings.apiAddresses)
        try serve([api.observation.metrics], at: settings.metricsAddresses, needsToken: false)
    }

    private func serveGuests() {
        let forwarding: any ForwardAccess
        switch settings.guestAPI {
        case .none: return
        case .full: forwarding = forwards
        case .forwards: forwarding = guestForwards
        }
        let gateway = settings.gateway
        let server = HTTPServer(
            loop: loop,
            routes: ForwardingAPI(forwards: forwarding, loop: loop).routes,
            admitting: HTTPAdmission(
                isOwnName: { [unowned self] name in
                    isGatewayName(name) || IPAddress(name).map(engine.plan.isOwn) ?? false
                },
                address: gateway
            ),
            reporting: limits
        )
        servers.append(server)
        engine.tcp.services[80] = { stream, peer in server.accept(stream, from: peer) }
    }

    /// The forwards as guests may use them.
    var guestForwards: GuestForwards {
        GuestForwards(
            table: forwards,
            isGuest: { [unowned engine] in engine.ethernet.plan.isGuest($0) },
            binds: settings.access.guestBinds,
            reach: { [unowned self] in reach($0, for: $1) }
        )
    }

    /// Whether the gateway's DNS zones, or the names that every product knows, lead to the gateway.
    private func isGatewayName(_ text: String) -> Bool {
        guard let name = DNSName(text) else { return false }
        let builtIn = DNSZones.builtIn(gateway: settings.gateway, hostAlias: settings.hostAlias)
        return [dns.zones, builtIn].contains { $0.leads(name, to: settings.gateway) }
    }

    /// The complete API of this network.
    var api: API {
        API(
            forwarding: ForwardingAPI(forwards: forwards, loop: loop),
            names: NameAPI(dns: dns, loop: loop),
            observation: ObservationAPI(
                leases: { [unowned self] in
                    dhcp.takenAddresses(now: loop.now).map {
                        ObservationAPI.Lease(address: $0.0, mac: $0.1)
                    }
                },
                statistics: { [unowned self] in statistics },
                engine: engine,
                processUse: processUse,
                capture: capture,
                streams: streams,
                health: { [unowned self] in health },
                guestAddresses: { [unowned self] in guestAddresses },
                process: { [unowned self] flow in
                    let connection = FlowProcesses.Connection(
                        guest: flow.key.guest,
                        remote: flow.key.remote,
                        start: flow.traffic.start
                    )
                    return processes?.process(of: connection)
                }
            ),
            access: GuestAccessAPI(
                connector: engine,
                call: { [unowned engine] guest, stream, answered in
                    engine.tcp.open(
                        to: guest,
                        joining: stream,
                        answered: answered,
                        now: engine.loop.now
                    )
                },
                attach: { [unowned self] stream, peer in
                    attach(stream, named: "/connect", .littleEndian16, from: peer)
                }
            ),
            policy: PolicyAPI(
                control: policy,
                wallTime: { [unowned loop] instant in
                    var time = WallClock.now()
                    time.seconds -= (loop.now - instant).components.seconds
                    return time
                },
                now: { [unowned loop] in loop.now }
            ),
            logLevel: LogLevelAPI(log: log),
            events: EventAPI(feed: events, loop: loop, wallTime: WallClock.now)
        )
    }

    /// Serves a part of the API on the host.
    ///
    /// - Parameters:
    ///   - routes: The routes to serve.
    ///   - addresses: The listening addresses; the clients of all of them share one server's
    ///     limits.
    ///   - needsToken: Whether clients at TCP addresses need the API's token, if there is one.
    /// - Throws: `RoleFailure` with the address or the file that could not be opened.
    func serve(
        _ routes: [HTTPRoute],
        at addresses: [StreamAddress],
        needsToken: Bool = true
    ) throws(RoleFailure) {
        guard !addresses.isEmpty else { return }
        let hostName = ProcessEnvironment.hostName.lowercased()
        let server = HTTPServer(
            loop: loop,
            routes: routes,
            admitting: HTTPAdmission(
                isOwnName: { $0 == hostName },
                token: needsToken ? try token() : []
            ),
            reporting: limits
        )
        servers.append(server)
        for address in addresses {
            do throws(SystemError) {
                let listener = try LinkOpener.listen(
                    at: .stream(address, .littleEndian16),
                    access: settings.access.socketAccess(),
                    loop: loop,
                    log: log,
                    limits: limits,
                    counters: listenerCounters
                ) { stream, peer in
                    server.accept(stream, from: peer)
                }
                listeners.append(listener)
                // Guests could otherwise use the host's API through the host alias.
                close(listener.endpoint)
            } catch {
                throw RoleFailure("api \(address): \(error)")
            }
        }
    }

    private func token() throws(RoleFailure) -> [UInt8] {
        let path = settings.access.tokenFile
        guard !path.isEmpty else { return [] }
        return Array(try APIToken.read(path, ProcessSurroundings.system.readFile).utf8)
    }
}

extension APIAccess {
    /// The access to the API's unix sockets.
    ///
    /// - Throws: `SystemError` if the group does not exist.
    func socketAccess() throws(SystemError) -> SocketAccess {
        SocketAccess(mode: mode, group: try group.isEmpty ? nil : AccountFile.group(group))
    }
}
