/// Opens the ports of the control file system as forwards of a table.
struct PortFileForwards {
    let table: ForwardTable
    /// The listening endpoints that clients may ask for; empty for all of them.
    let binds: [GuestBind]
    /// The option that restricts them.
    var bindOption = "guest-bind"
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

    /// Opens a port.
    ///
    /// - Parameters:
    ///   - request: The port.
    ///   - client: The guest that asks; nil if it is not known.
    /// - Returns: The port, which stays open as long as its handle.
    /// - Throws: `PortFileError`.
    func open(
        _ request: PortFileRequest,
        for client: IPAddress?
    ) throws(PortFileError) -> OpenPortFile {
        let local = request.local
        guard binds.isEmpty || binds.contains(where: { $0.allows(local) }) else {
            let allowed = binds.map(\.description).joined(separator: ", ")
            throw .denied(local, reason: "--\(bindOption) allows \(allowed)")
        }
        let released: () -> Void
        switch reach(request.remote.address, client) {
        case .reachable(let undo): released = undo
        case .unreachable(let reason): throw .failed(local, reason: reason)
        }
        do {
            let owner = owner(client)
            let handle = try table.open(
                request.transport,
                at: local,
                to: request.remote,
                owner: owner
            )
            var open = request
            open.local.port = handle.endpoint?.port ?? local.port
            let sibling = loopbackSibling(of: open, owner)
            handle.released = {
                sibling?.close()
                released()
            }
            return OpenPortFile(request: open, handle: handle)
        } catch {
            released()
            throw error.portFileError(request.transport, local)
        }
    }

    /// The same port at ::1, because `localhost` means both addresses; nil if it is not free.
    private func loopbackSibling(
        of request: PortFileRequest,
        _ owner: ForwardOwner
    ) -> ForwardHandle? {
        guard request.local.address == .loopbackIPv4 else { return nil }
        let local = Endpoint(address: .loopbackIPv6, port: request.local.port)
        guard binds.isEmpty || binds.contains(where: { $0.allows(local) }) else { return nil }
        do {
            return try table.open(request.transport, at: local, to: request.remote, owner: owner)
        } catch {
            return nil
        }
    }
}

extension ForwardRefusal {
    fileprivate func portFileError(
        _ transport: ForwardProtocol,
        _ local: Endpoint
    ) -> PortFileError {
        switch self {
        case .alreadyOpen: .allocated(local)
        case .tooMany(let limit): .failed(local, reason: "the limit is \(limit) ports")
        case .stopped: .failed(local, reason: "the network has stopped")
        case .kernel(let error) where error.isAddressInUse: .allocated(local)
        case .kernel(let error) where error.isNotLocalAddress: .notLocal(transport, local)
        case .kernel(let error) where error.isForbidden: .denied(local, reason: nil)
        case .kernel(let error): .failed(local, reason: error.reason)
        }
    }
}
