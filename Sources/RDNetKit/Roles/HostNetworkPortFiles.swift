/// The control file system of a network: VPNKit's way for guests to open ports of the host.
extension HostNetwork {
    /// Serves it at the addresses in the settings.
    ///
    /// - Throws: `RoleFailure` with the address that could not be opened.
    func openPortFiles() throws(RoleFailure) {
        guard !settings.portFileAddresses.isEmpty else { return }
        guard settings.guestAPI != .none else {
            throw RoleFailure(
                "--port-fs lets guests publish ports, and --guest-api none forbids it, which is the "
                    + "default under a policy; expected --guest-api forwards",
                status: .misuse
            )
        }
        let forwards = PortFileForwards(
            table: forwards,
            binds: settings.access.guestBinds,
            // Guests may not name files of the host, and have no unix sockets for it.
            socketRefusal: { _ in "guests can publish TCP and UDP ports only" },
            reach: { [unowned self] in reach($0, for: $1 ?? settings.guest) },
            owner: { [settings] in .guest($0 ?? settings.guest) }
        )
        let server = PortFileServer(
            forwards.makeSystem(log),
            loop: loop,
            log: log,
            limits: limits
        )
        portFiles = server
        let addresses = settings.portFileAddresses
        for port in addresses.compactMap(gatewayPort) {
            engine.tcp.services[port] = { stream, guest in
                server.accept(stream, from: guest.address)
            }
        }
        // Whoever connects on the host does so for its virtual machine.
        let others = try server.listen(
            at: addresses.filter { gatewayPort($0) == nil },
            option: "port-fs",
            counters: listenerCounters
        )
        listeners += others
        for listener in others { close(listener.endpoint) }
    }

    /// The port of an address of the gateway, which exists in the virtual network only.
    private func gatewayPort(_ address: ListenAddress) -> UInt16? {
        guard case .stream(.tcp(let endpoint)) = address,
            endpoint.endpoint.address == settings.gateway
        else { return nil }
        return endpoint.endpoint.port
    }

    /// Makes a container's address reachable through the guest that asks for it.
    func reach(_ address: IPAddress, for guest: IPAddress) -> ForwardReach {
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
