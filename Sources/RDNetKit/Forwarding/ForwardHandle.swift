/// One or more forwards that end with their holder, such as a client's connection.
final class ForwardHandle {
    private weak var table: ForwardTable?
    private var keys: [ForwardTable.Key]
    /// Called when the last of the forwards has been removed by somebody else.
    var ended: () -> Void = {}

    fileprivate init(_ keys: [ForwardTable.Key], in table: ForwardTable) {
        self.keys = keys
        self.table = table
        for key in keys {
            table.forwards[key]?.removed = { [weak self] in self?.lost(key) }
        }
    }

    deinit { close() }

    /// Called once, when the handle closes or the forwards have been removed by somebody else.
    var released: () -> Void = {}

    /// Where the forwards listen: an endpoint, or the path of a unix socket.
    var addresses: [String] {
        keys.map { key in
            (table?.forwards[key]?.host.endpoint).map { "\($0)" } ?? key.local
        }
    }

    /// Where the first forward listens; nil for a unix socket.
    var endpoint: Endpoint? { keys.first.flatMap { table?.forwards[$0]?.host.endpoint } }

    /// Removes the forwards.
    func close() {
        let open = keys
        keys = []
        for key in open { table?.remove(key) }
        release()
    }

    private func lost(_ key: ForwardTable.Key) {
        guard let index = keys.firstIndex(of: key) else { return }
        keys.remove(at: index)
        guard keys.isEmpty else { return }
        release()
        ended()
    }

    private func release() {
        let released = released
        self.released = {}
        released()
    }
}

extension ForwardTable {
    /// Adds a forward, or one for each port of a range, which ends with its holder.
    ///
    /// It is not recorded, because no holder survives a restart. See `expose` for the parameters.
    ///
    /// - Returns: Keeps the forwards open.
    /// - Throws: `ForwardError` with the API's message.
    func hold(
        _ name: String = "tcp",
        local: String,
        remote: String,
        client: IPAddress? = nil,
        owner: ForwardOwner
    ) throws(ForwardError) -> ForwardHandle {
        ForwardHandle(try add(name, local, remote, client, owner), in: self)
    }

    /// Opens a TCP or UDP forward, which ends with its holder.
    ///
    /// Unlike the forwards of texts, any number of them can have port 0; the table then names the
    /// one that the kernel has chosen.
    ///
    /// - Parameters:
    ///   - transport: Not unix.
    ///   - local: Where to listen; 0.0.0.0 and :: mean all addresses of both families.
    ///   - guest: The destination.
    ///   - owner: Who opens the forward.
    /// - Returns: Keeps the forward open.
    /// - Throws: `ForwardRefusal`.
    func open(
        _ transport: ForwardProtocol,
        at local: Endpoint,
        to guest: Endpoint,
        owner: ForwardOwner
    ) throws(ForwardRefusal) -> ForwardHandle {
        if let maximum = exceededLimit(for: 1, owner) { throw .tooMany(limit: maximum) }
        guard let connector = self.connector(to: guest) else { throw .stopped }
        let host: any OpenForward
        do {
            host = try openPort(transport, ZonedEndpoint(local), guest, connector)
        } catch {
            throw .kernel(error)
        }
        var open = local
        open.port = host.endpoint?.port ?? local.port
        let key = Key(local: "\(open)", transport: transport)
        return try list(Forward(remote: "\(guest)", host: host, owner: owner), as: key)
    }

    /// Opens a unix socket that leads to a port or a unix socket, and that ends with its holder.
    ///
    /// - Parameters:
    ///   - path: Where to listen; only this user can connect.
    ///   - target: The destination; not UDP.
    ///   - owner: Who opens the forward.
    /// - Returns: Keeps the forward open.
    /// - Throws: `ForwardRefusal`.
    func open(
        socketAt path: String,
        to target: ForwarderDestination,
        owner: ForwardOwner
    ) throws(ForwardRefusal) -> ForwardHandle {
        if let maximum = exceededLimit(for: 1, owner) { throw .tooMany(limit: maximum) }
        guard let connector else { throw .stopped }
        let host: any OpenForward
        do {
            host = try openSocket(ListeningSocket.unix(path: path), at: path, target, connector)
        } catch {
            throw .kernel(error)
        }
        let key = Key(local: path, transport: .unix)
        return try list(Forward(remote: "\(target)", host: host, owner: owner), as: key)
    }

    private func list(_ forward: Forward, as key: Key) throws(ForwardRefusal) -> ForwardHandle {
        guard forwards[key] == nil else {
            forward.host.close()
            throw .alreadyOpen
        }
        forwards[key] = forward
        return ForwardHandle([key], in: self)
    }

    /// Holds a forward on behalf of the API on the host.
    func hold(
        _ name: String,
        local: String,
        remote: String,
        client: IPAddress?
    ) throws(ForwardError) -> ForwardHandle {
        try hold(name, local: local, remote: remote, client: client, owner: .host)
    }
}

/// Whether forwards can lead to an address.
enum ForwardReach {
    /// With what to call when the forward has ended.
    case reachable(released: () -> Void)
    case unreachable(reason: String)
}

/// Why a typed forward could not be opened.
enum ForwardRefusal: Error, Equatable, CustomStringConvertible {
    /// The table, or the owner's part of it, is full.
    case tooMany(limit: Int)
    /// The table has a forward at the same address.
    case alreadyOpen
    /// The network has stopped.
    case stopped
    case kernel(SystemError)

    var description: String {
        switch self {
        case .tooMany(let limit): "the limit is \(limit) forwards"
        case .alreadyOpen: "there is a forward at this address"
        case .stopped: "the network has stopped"
        case .kernel(let error): error.description
        }
    }
}
