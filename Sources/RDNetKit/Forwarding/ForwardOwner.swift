/// Who opened a forward, which decides who may see and close it.
enum ForwardOwner: Hashable {
    /// The command line or the configuration file, which open it again at every start.
    case configuration
    /// The API on the host.
    case host
    /// A guest with this address, through the API on the gateway.
    case guest(IPAddress)

    var isGuest: Bool {
        if case .guest = self { true } else { false }
    }
}

/// A table of forwards as one kind of API client may use it.
protocol ForwardAccess {
    /// The forwards that the client may see, in byte order by `local`, then by protocol.
    var entries: [ForwardTable.Entry] { get }

    /// What the clients of a listed forward have met; nil where that is not known.
    func usage(of entry: ForwardTable.Entry) -> ForwardUsage?

    /// Adds a forward, or one for each port of a range: all of them or none.
    ///
    /// - Parameters:
    ///   - name: `tcp`, `udp` or `unix`; empty means `tcp`.
    ///   - local: The listening address on the host.
    ///   - remote: The guest's side.
    ///   - client: The client's address, which completes a remote without one; nil for a client on
    ///     a unix socket.
    /// - Throws: `ForwardError` with the API's message.
    func expose(
        _ name: String,
        local: String,
        remote: String,
        client: IPAddress?
    ) throws(ForwardError)

    /// Adds a forward as `expose` does; it ends with the returned handle.
    ///
    /// - Throws: `ForwardError` with the API's message.
    func hold(
        _ name: String,
        local: String,
        remote: String,
        client: IPAddress?
    ) throws(ForwardError) -> ForwardHandle

    /// Removes a forward, or one for each port of a range: all of them or none.
    ///
    /// - Throws: `ForwardError.notFound`, also for a forward that the client may not see.
    func unexpose(_ name: String, local: String) throws(ForwardError)
}

/// The forwards that guests may see, open and close: TCP and UDP ports that lead to guests.
///
/// Forwards of the host's side do not exist for them.
struct GuestForwards: ForwardAccess {
    let table: ForwardTable
    /// Whether an address belongs to a guest of this network.
    let isGuest: (IPAddress) -> Bool
    /// The host endpoints that guests may listen on; empty for all of them.
    let binds: [GuestBind]
    /// Makes an address behind a guest reachable for a forward that the guest holds.
    var reach: (_ address: IPAddress, _ guest: IPAddress) -> ForwardReach = { address, _ in
        .unreachable(reason: "\(address) is not a guest's address")
    }

    var entries: [ForwardTable.Entry] { table.entries(where: \.isGuest) }

    func usage(of entry: ForwardTable.Entry) -> ForwardUsage? { table.usage(of: entry) }

    func expose(
        _ name: String,
        local: String,
        remote: String,
        client: IPAddress?
    ) throws(ForwardError) {
        let client = try guest(client)
        let remote = try check(name, local: local, remote: remote, client: client)
        try table.expose(name, local: local, remote: remote, client: client, owner: .guest(client))
    }

    func hold(
        _ name: String,
        local: String,
        remote: String,
        client: IPAddress?
    ) throws(ForwardError) -> ForwardHandle {
        let client = try guest(client)
        let remote = try check(name, local: local, remote: remote, client: client, isHeld: true)
        let released = try way(to: remote, for: client)
        do {
            let handle = try table.hold(
                name,
                local: local,
                remote: remote,
                client: client,
                owner: .guest(client)
            )
            handle.released = released
            return handle
        } catch {
            released()
            throw error
        }
    }

    /// Makes the address of a held forward reachable, if it is behind the guest.
    ///
    /// - Returns: What to call when the forward has ended.
    private func way(
        to remote: String,
        for client: IPAddress
    ) throws(ForwardError) -> () -> Void {
        guard let first = try ForwardTable.pairs(.tcp, remote, remote).first else { return {} }
        let address = try ForwardAddress.remote(first.remote).address
        if isGuest(address) || address.isLoopback { return {} }
        switch reach(address, client) {
        case .reachable(let released): return released
        case .unreachable(let reason): throw .forbidden(reason)
        }
    }

    /// Checks whether a guest may open a forward, or hold one.
    ///
    /// - Returns: The guest's side with an address.
    /// - Throws: `ForwardError`.
    func check(
        _ name: String,
        local: String,
        remote: String,
        client: IPAddress,
        isHeld: Bool = false
    ) throws(ForwardError) -> String {
        try checkProtocol(name)
        let remote = try ForwardAddress.completed(remote, for: client)
        let transport = name == "udp" ? ForwardProtocol.udp : .tcp
        for pair in try ForwardTable.pairs(transport, local, remote) {
            let guest = try ForwardAddress.remote(pair.remote).address
            // A guest's own 127.0.0.1 can be reached only in a namespace on this machine.
            // A held forward may lead to an address behind the guest, which `way` decides.
            guard
                isGuest(guest) || guest.isLoopback && table.loopbackConnector != nil
                    || isHeld && !guest.isLoopback
            else {
                throw .forbidden("\(guest) is not a guest's address")
            }
            let endpoint = try ForwardAddress.local(pair.local, transport).endpoint
            guard binds.isEmpty || binds.contains(where: { $0.allows(endpoint.endpoint) }) else {
                throw .forbidden(
                    "guests may not listen on \(pair.local.isEmpty ? ":0" : pair.local); "
                        + "--guest-bind allows \(binds.map(\.description).joined(separator: ", "))"
                )
            }
        }
        return remote
    }

    func unexpose(_ name: String, local: String) throws(ForwardError) {
        try checkProtocol(name)
        try table.unexpose(name, local: local, where: \.isGuest)
    }

    private func guest(_ client: IPAddress?) throws(ForwardError) -> IPAddress {
        guard let client else { throw .forbidden("only guests can use this API") }
        return client
    }

    private func checkProtocol(_ name: String) throws(ForwardError) {
        guard ["", "tcp", "udp"].contains(name) else {
            throw .forbidden("guests can publish TCP and UDP ports only")
        }
    }
}
