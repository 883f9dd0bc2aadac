/// The listeners of forwards.
extension ForwardTable {
    /// Opens the host's side of a forward.
    ///
    /// - Throws: `ForwardError`; `refused` if the kernel refuses the address.
    func open(_ key: Key, _ remote: String) throws(ForwardError) -> any OpenForward {
        switch key.transport {
        case .tcp, .udp:
            let guest = try ForwardAddress.remote(remote)
            let local = try ForwardAddress.local(key.local, key.transport)
            let name = "\(key.transport)"
            return try listen(name, local.description, for: guest) {
                connector throws(SystemError) in
                try openPort(key.transport, local.endpoint, guest, connector)
            }
        case .unix:
            let remote = try ForwardAddress.unixRemote(remote)
            let path = key.local.removingPrefix("unix://") ?? key.local
            guard path.hasPrefix("/") else {
                throw .badLocal("listen unix \(path): path is not absolute")
            }
            var needsSSH = false
            if case .socket = remote { needsSSH = true }
            if let reason = unixRefusal(path, needsSSH) { throw .forbidden(reason) }
            return try listen(at: path, for: remote)
        }
    }

    /// Listens at the path of a unix socket.
    func listen(
        at path: String,
        for remote: ForwardAddress.UnixRemote
    ) throws(ForwardError) -> any OpenForward {
        if case .socket = remote {
            let others = (forwards.values.map(\.host) + unlisted).filter { $0 is SSHForward }
            guard others.count < Self.maximumSSHForwards else {
                limits.reached(.forwards, maximum: Self.maximumSSHForwards)
                throw .tooMany(limit: Self.maximumSSHForwards)
            }
        }
        var guest: Endpoint?
        if case .port(let port) = remote { guest = port }
        return try listen("unix", path, for: guest) { connector throws(SystemError) in
            let socket = try ListeningSocket.unix(path: path)
            switch remote {
            case .port(let guest):
                return try openSocket(socket, at: path, .tcp(guest), connector)
            case .socket(let target):
                return try SSHForward(socket, path: path, to: target, connector: connector, ssh)
            }
        }
    }

    /// Connects the clients of a unix socket to a port or a unix socket of a guest.
    func openSocket(
        _ socket: consuming OwnedDescriptor,
        at path: String,
        _ target: ForwarderDestination,
        _ connector: any GuestConnector
    ) throws(SystemError) -> any OpenForward {
        var guest: Endpoint?
        if case .tcp(let endpoint) = target { guest = endpoint }
        return try TCPForward(
            socket,
            path: path,
            to: target,
            connector: connector,
            loop: loop,
            counters: counters,
            log: ssh.log,
            limits: limits,
            usage: makeUsage(IPProtocol.tcp, to: guest)
        )
    }

    private func listen(
        _ network: String,
        _ address: String,
        for guest: Endpoint?,
        _ open: (any GuestConnector) throws(SystemError) -> any OpenForward
    ) throws(ForwardError) -> any OpenForward {
        guard let connector = connector(to: guest) else {
            throw .refused(network: network, address: address, reason: "the network has stopped")
        }
        if let guest, !connector.leads(to: guest.address) {
            throw .remoteIsNoGuest(guest.address)
        }
        do {
            return try open(connector)
        } catch {
            throw .refused(network: network, address: address, error)
        }
    }

    /// What connects to a guest; nil when the network has stopped.
    func connector(to guest: Endpoint?) -> (any GuestConnector)? {
        let isInside = guest?.address.isLoopback ?? false
        return isInside ? loopbackConnector ?? connector : connector
    }

    /// Opens a TCP or UDP port.
    func openPort(
        _ transport: ForwardProtocol,
        _ local: ZonedEndpoint,
        _ guest: Endpoint,
        _ connector: any GuestConnector
    ) throws(SystemError) -> any OpenForward {
        try transport == .udp
            ? openUDP(local, guest, connector) : openTCP(local, guest, connector)
    }

    private func openTCP(
        _ local: ZonedEndpoint,
        _ guest: Endpoint,
        _ connector: any GuestConnector
    ) throws(SystemError) -> any OpenForward {
        let socket = try ListeningSocket.tcp(local.resolved())
        return try TCPForward(
            socket,
            to: .tcp(guest),
            connector: connector,
            loop: loop,
            counters: counters,
            limits: limits,
            usage: makeUsage(IPProtocol.tcp, to: guest)
        )
    }

    /// The usage of a new forward, whose failures are recorded if it leads to a guest's port.
    private func makeUsage(_ transport: UInt8, to guest: Endpoint?) -> ForwardUsage {
        ForwardUsage(
            now: { [unowned loop] in loop.now },
            failed: { [weak failures, unowned loop] answer, client in
                guard let guest, let reason = FlowFailure(answer) else { return }
                let nobody = Endpoint(address: .anyIPv4, port: 0)
                let flow = FailedFlow(
                    transport: transport,
                    guest: guest,
                    remote: client ?? nobody,
                    reason: reason
                )
                failures?.record(flow, now: loop.now)
            }
        )
    }

    private func openUDP(
        _ local: ZonedEndpoint,
        _ guest: Endpoint,
        _ connector: any GuestConnector
    ) throws(SystemError) -> any OpenForward {
        let socket = try ListeningSocket.udp(local.resolved())
        return try UDPForward(
            socket,
            to: guest,
            connector: connector,
            loop: loop,
            counters: counters,
            limits: limits,
            pool: pool,
            usage: makeUsage(IPProtocol.udp, to: guest)
        )
    }
}
