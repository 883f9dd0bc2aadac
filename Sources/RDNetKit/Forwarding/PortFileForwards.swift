/// Opens the ports and unix sockets of the control file system as forwards of a table.
struct PortFileForwards {
    let table: ForwardTable
    /// The listening endpoints that clients may ask for; empty for all of them.
    let binds: [GuestBind]
    /// The option that restricts them.
    var bindOption = "guest-bind"
    /// Why clients may not open a unix socket; nil if they may.
    let socketRefusal: (PortFileRequest.UnixSocket) -> String?
    /// Makes the container's address reachable for a client's forward.
    ///
    /// Returns what undoes that, and why the address cannot be reached otherwise.
    let reach: (IPAddress, _ client: IPAddress?) -> ForwardReach
    /// The owner of a client's forwards.
    let owner: (_ client: IPAddress?) -> ForwardOwner

    /// Creates a tree whose ports are these forwards.
    func makeSystem(_ log: Logger) -> PortFileSystem {
        PortFileSystem(log: log, limits: table.limits) { request, client throws(PortFileError) in
            try open(request, for: client)
        }
    }

    /// Opens a port or a unix socket.
    ///
    /// - Parameters:
    ///   - request: The port or socket.
    ///   - client: The guest that asks; nil if it is not known.
    /// - Returns: The port, which stays open as long as its handle.
    /// - Throws: `PortFileError`.
    func open(
        _ request: PortFileRequest,
        for client: IPAddress?
    ) throws(PortFileError) -> OpenPortFile {
        switch request {
        case .port(let port): try open(port, for: client)
        case .socket(let socket): try open(socket, for: client)
        }
    }

    // MARK: Ports

    private func open(
        _ port: PortFileRequest.Port,
        for client: IPAddress?
    ) throws(PortFileError) -> OpenPortFile {
        guard allows(port.local) else {
            let allowed = binds.map(\.description).joined(separator: ", ")
            throw .denied(place: "\(port.local)", reason: "--\(bindOption) allows \(allowed)")
        }
        let released: () -> Void
        switch reach(port.remote.address, client) {
        case .reachable(let undo): released = undo
        case .unreachable(let reason): throw .failed(place: "\(port.local)", reason: reason)
        }
        do {
            let owner = owner(client)
            let handle = try table.open(
                port.transport,
                at: port.local,
                to: port.remote,
                owner: owner
            )
            var open = port
            open.local.port = handle.endpoint?.port ?? port.local.port
            let sibling = loopbackSibling(of: open, owner)
            handle.released = {
                sibling?.close()
                released()
            }
            return OpenPortFile(request: .port(open), handle: handle)
        } catch {
            released()
            throw error.portFileError(port.transport, "\(port.local)")
        }
    }

    private func allows(_ local: Endpoint) -> Bool {
        binds.isEmpty || binds.contains { $0.allows(local) }
    }

    /// The same port at ::1, because `localhost` means both addresses; nil if it is not free.
    private func loopbackSibling(
        of port: PortFileRequest.Port,
        _ owner: ForwardOwner
    ) -> ForwardHandle? {
        guard port.local.address == .loopbackIPv4 else { return nil }
        let local = Endpoint(address: .loopbackIPv6, port: port.local.port)
        guard allows(local) else { return nil }
        do {
            return try table.open(port.transport, at: local, to: port.remote, owner: owner)
        } catch {
            return nil
        }
    }

    // MARK: Unix sockets

    private func open(
        _ socket: PortFileRequest.UnixSocket,
        for client: IPAddress?
    ) throws(PortFileError) -> OpenPortFile {
        if let reason = socketRefusal(socket) { throw .socketDenied(reason: reason) }
        do {
            let handle = try table.open(
                socketAt: socket.path,
                to: socket.target,
                owner: owner(client)
            )
            return OpenPortFile(request: .socket(socket), handle: handle)
        } catch {
            throw error.portFileError(.unix, socket.path)
        }
    }
}

/// The folders whose unix sockets the clients of the control file system may use.
struct PortFileFolders {
    let folders: [String]
    /// Whether the sockets' targets are on this machine, and must be in the folders, too.
    let haveTargets: Bool

    /// Why clients may not open a socket; nil if they may.
    func refusal(_ socket: PortFileRequest.UnixSocket) -> String? {
        var paths = [socket.path]
        if haveTargets, case .unix(let target) = socket.target {
            guard target != socket.path else { return "the socket would lead to itself" }
            paths.append(target)
        }
        let outside = paths.first { path in
            !folders.contains { FileBroker.Grants.isDirectly(path, in: $0) }
        }
        // Clients read 100 bytes: the path, which they know, is last.
        let option = "--\(SandboxSettings.portFileFolder)"
        return outside.map { "\(option) does not name the folder of \($0)" }
    }
}

extension ForwardRefusal {
    fileprivate func portFileError(
        _ transport: ForwardProtocol,
        _ place: String
    ) -> PortFileError {
        switch self {
        case .alreadyOpen: .allocated(place: place)
        case .tooMany(let limit): .failed(place: place, reason: "the limit is \(limit) ports")
        case .stopped: .failed(place: place, reason: "the network has stopped")
        case .kernel(let error) where error.isAddressInUse: .allocated(place: place)
        case .kernel(let error) where error.isNotLocalAddress: .notLocal(transport, place: place)
        case .kernel(let error) where error.isForbidden: .denied(place: place, reason: nil)
        case .kernel(let error): .failed(place: place, reason: error.reason)
        }
    }
}
