/// What the roles that run a network open after their start.
extension Sandbox {
    /// Collects what every network needs: its DNS files, its log and capture files, and its API.
    init(
        _ settings: SandboxSettings,
        _ network: NetworkSettings,
        logFile: String,
        log: Logger
    ) {
        self.init(settings, log: log)
        // Pings need raw sockets where the kernel allows no ping sockets.
        if Socket.needsRawEcho { capabilities.insert(.netRaw) }
        grants.readable = [network.resolvConf, network.hosts]
        if network.policy.hasFile { grants.readable.append(network.policy.document) }
        for path in [logFile, network.captureFile, network.policy.audit.path] { write(in: path) }
        for address in network.apiAddresses + network.metricsAddresses {
            listen(address, network.access)
        }
        for case .stream(let address) in network.portFileAddresses { listen(address) }
    }

    /// Adds a listening address of the API.
    mutating func listen(_ address: StreamAddress, _ access: APIAccess) {
        listen(address)
        guard case .unix(let path) = address else { return }
        do {
            let access = try access.socketAccess()
            if access != SocketAccess() { grants.access[path] = access }
        } catch {
            // The same group fails when the API opens, which ends the program.
        }
    }

    /// Adds a listening address.
    mutating func listen(_ address: StreamAddress) {
        guard case .unix(let path) = address else { return }
        listen(path)
    }

    /// Adds a listening address for guests.
    mutating func listen(_ address: LinkAddress) {
        switch address {
        case .stream(let address, _): listen(address)
        case .packets(let path), .vhost(let path): listen(path)
        case .datagrams(let path):
            listen(path)
            // Whether a guest has vanished shows when a new socket connects to its path.
            makesUnixSockets = true
        case .descriptor, .standardStreams, .connect, .program: break
        }
    }

    /// Adds the path of a listening unix socket.
    mutating func listen(_ path: String) {
        grants.listening.append(path)
        write(in: path)
    }

    /// Adds a virtual machine to find by the handshake.
    mutating func find(_ machine: VMAddress) {
        switch machine {
        case .contexts: break
        case .socket(let path, _), .directory(let path, _):
            // The hypervisor's socket leads to the machine; that of its stream is beside it.
            write(in: path)
            let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
            grants.folders.append(folder)
            grants.connectingFolders.append(folder)
        }
    }

    /// Adds a unix socket to connect to.
    mutating func connect(to path: String) {
        if !path.isEmpty { grants.connecting.append(path) }
    }
}

extension HostNetwork {
    /// Restricts the API's forwards to what the sandbox will allow, and opens those of an earlier
    /// run that this permits.
    ///
    /// - Throws: `RoleFailure` if changes cannot be recorded from now on.
    func admitForwards(to sandbox: Sandbox) throws(RoleFailure) {
        restrictForwards(to: sandbox)
        try state?.start(isRestricted: sandbox.isStrict)
    }

    /// Restricts the API's forwards to what the sandbox will allow.
    func restrictForwards(to sandbox: Sandbox) {
        guard sandbox.isStrict else { return }
        let folders = sandbox.socketFolders
        forwards.unixRefusal = { path, needsSSH in
            if needsSSH {
                return "forwards over SSH need --sandbox off, or gvproxy's --forward-sock"
            }
            guard !folders.contains(where: { FileBroker.Grants.isDirectly(path, in: $0) }) else {
                return nil
            }
            return "\(path) is in no folder that --api-path names"
        }
    }
}
