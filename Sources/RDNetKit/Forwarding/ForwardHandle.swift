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

    /// Where the forwards listen: an endpoint, or the path of a unix socket.
    var addresses: [String] {
        keys.map { key in
            (table?.forwards[key]?.host.endpoint).map { "\($0)" } ?? key.local
        }
    }

    /// Removes the forwards.
    func close() {
        let open = keys
        keys = []
        for key in open { table?.remove(key) }
    }

    private func lost(_ key: ForwardTable.Key) {
        guard let index = keys.firstIndex(of: key) else { return }
        keys.remove(at: index)
        if keys.isEmpty { ended() }
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
