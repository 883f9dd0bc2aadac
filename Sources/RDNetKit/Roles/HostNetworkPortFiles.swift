/// The control file system of a network: VPNKit's way for guests to open ports of the host.
extension HostNetwork {
    /// Serves it at the addresses in the settings.
    ///
    /// - Throws: `RoleFailure` with the address that could not be opened.
    func openPortFiles() throws(RoleFailure) {
        guard !settings.portFileAddresses.isEmpty else { return }
        let forwards = PortFileForwards(
            table: forwards,
            binds: settings.access.guestBinds,
            reach: { [unowned self] in reach($0, for: $1 ?? settings.guest) },
            owner: { [settings] in .guest($0 ?? settings.guest) }
        )
        let system = PortFileSystem(log: log, limits: limits) {
            request,
            client throws(PortFileError) in
            try forwards.open(request, for: client)
        }
        let server = PortFileServer(system, loop: loop, log: log, limits: limits)
        portFiles = server
        for address in settings.portFileAddresses {
            do throws(SystemError) {
                try serve(server, at: address)
            } catch {
                throw RoleFailure("port-fs \(address): \(error)")
            }
        }
    }

    private func serve(
        _ server: PortFileServer,
        at address: ListenAddress
    ) throws(SystemError) {
        if case .stream(.tcp(let endpoint)) = address, endpoint.endpoint.address == settings.gateway
        {
            engine.tcp.services[endpoint.endpoint.port] = { stream, guest in
                server.accept(stream, from: guest.address)
            }
            return
        }
        let listener = try LinkOpener.listen(
            at: address,
            loop: loop,
            log: log,
            limits: limits,
            counters: listenerCounters
        ) { stream, _ in
            // Whoever connects on the host does so for its virtual machine.
            server.accept(stream, from: nil)
        }
        listeners.append(listener)
        if let endpoint = listener.endpoint { engine.tcp.closedEndpoints.append(endpoint) }
    }

    /// Makes a container's address reachable through the guest that asks for it.
    private func reach(_ address: IPAddress, for guest: IPAddress) -> PortFileForwards.Reach {
        let ethernet = engine.ethernet
        if ethernet.plan.isGuest(address) { return .reachable(released: {}) }
        guard ethernet.addForward(to: address, behind: guest) else {
            return .unreachable(
                reason: "\(address) is no address of a container, or one behind another guest"
            )
        }
        return .reachable(released: { [weak ethernet] in ethernet?.removeForward(to: address) })
    }
}
