/// The host's side of one forward.
protocol OpenForward: AnyObject {
    /// The listening endpoint; nil for a unix socket, and while it cannot be opened.
    var endpoint: Endpoint? { get }
    /// What its clients have met; nil where that is not known.
    var usage: ForwardUsage? { get }
    /// Stops listening; TCP connections continue, UDP clients are dropped.
    func close()
}

extension OpenForward {
    var usage: ForwardUsage? { nil }
}

/// The host ports that lead to guests; `--port-forward` and the forwarding API use this table.
///
/// The protocol and the given `local` text identify a forward: `:80` and `0.0.0.0:80` are two
/// forwards.
final class ForwardTable: ForwardAccess {
    /// Minimum number of descriptors that forwards leave to everything else.
    private static let descriptorReserve = 256
    /// Limit on forwards by `ssh`, each of which runs one process.
    static let maximumSSHForwards = 64
    /// Limit on an address's text in bytes; no valid address is longer.
    static let maximumAddressLength = 512

    /// A forward as the API lists it.
    struct Entry: Equatable {
        var local: String
        var remote: String
        var transport: ForwardProtocol
    }

    /// What identifies a forward.
    struct Key: Hashable {
        var local: String
        var transport: ForwardProtocol
    }

    /// A listed forward.
    struct Forward {
        var remote: String
        var host: any OpenForward
        var owner: ForwardOwner
        /// Tells the holder that the forward has been removed; nil if nobody holds it.
        var removed: (() -> Void)?
    }

    /// Forwards that are not listed.
    var unlisted: [any OpenForward] = []

    let counters = ForwardCounters()
    let pool: UDPForwardPool
    let ssh: SSHSurroundings
    let loop: EventLoop
    let limits: LimitLog
    weak var connector: (any GuestConnector)?
    /// Connects to the guest's own loopback addresses; nil to use the ordinary connector.
    var loopbackConnector: (any GuestConnector)?
    /// Records the clients that guests do not accept; set by the network.
    var failures: FailureLog?
    /// Why the sandbox forbids a unix socket at a path, or to run `ssh`; nil if it does not.
    var unixRefusal: (_ path: String, _ needsSSH: Bool) -> String? = { _, _ in nil }
    /// Called when a client of the API has opened or closed forwards.
    var changed: () -> Void = {}
    /// Called for each forward that was opened or closed.
    var noted: (Entry, _ isOpen: Bool) -> Void = { _, _ in }
    private let maximumForwards: Int
    /// The next attempt to open the forwards that wait for their address.
    var retry: TimerWheel.Token?
    var forwards: [Key: Forward] = [:]

    /// Creates an empty table.
    ///
    /// - Parameters:
    ///   - loop: Reports new clients.
    ///   - connector: Connects clients to guests; not kept alive.
    ///   - log: Receives the state of `ssh` forwards.
    ///   - limits: Counts the forwards and clients that limits refuse.
    ///   - ssh: The program of `ssh` forwards.
    ///   - descriptors: The process's descriptor limit: a forward uses one, and a quarter is
    ///     reserved for flows.
    init(
        loop: EventLoop,
        connector: any GuestConnector,
        log: Logger,
        limits: LimitLog = .discarding(),
        ssh: SSHProgram,
        descriptors: Int = ProcessLimits.descriptors
    ) {
        self.loop = loop
        self.limits = limits
        pool = UDPForwardPool(descriptors: descriptors, limits: limits)
        maximumForwards = max(descriptors - max(Self.descriptorReserve, descriptors / 4), 0)
        self.ssh = SSHSurroundings(
            loop: loop,
            log: log,
            limits: limits,
            program: ssh,
            counters: counters
        )
        self.connector = connector
    }

    /// All forwards in byte order, by `local`, then by protocol.
    var entries: [Entry] { entries { _ in true } }

    /// The forwards of some owners in byte order, by `local`, then by protocol.
    func entries(where includes: (ForwardOwner) -> Bool) -> [Entry] {
        forwards.filter { includes($1.owner) }
            .map { Entry(local: $0.local, remote: $1.remote, transport: $0.transport) }
            .sorted {
                if $0.local != $1.local {
                    return $0.local.utf8.lexicographicallyPrecedes($1.local.utf8)
                }
                return $0.transport.rawValue < $1.transport.rawValue
            }
    }

    func usage(of entry: Entry) -> ForwardUsage? {
        forwards[Key(local: entry.local, transport: entry.transport)]?.host.usage
    }

    /// The listening endpoint of a forward: the port that the kernel chose if `local` has port 0.
    func endpoint(of local: String, _ transport: ForwardProtocol) -> Endpoint? {
        forwards[Key(local: local, transport: transport)]?.host.endpoint
    }

    /// Adds a forward, or one for each port of a range: all of them or none.
    ///
    /// - Parameters:
    ///   - name: `tcp`, `udp` or `unix`; empty means `tcp`.
    ///   - local: The listening address on the host: `[address]:port`, `[address]:first-last`, or
    ///     the path or URL of a unix socket.
    ///   - remote: The guest: `[address]:port` or `[address]:first-last`; for a unix socket
    ///     `tcp://address:port` or `ssh-tunnel://user@address[:port]/path?key=file`.
    ///   - client: The client's address, which completes a remote without one.
    ///   - owner: Who opens the forward; one guest gets half of the table at most.
    /// - Throws: `ForwardError` with the API's message.
    func expose(
        _ name: String = "tcp",
        local: String,
        remote: String,
        client: IPAddress? = nil,
        owner: ForwardOwner
    ) throws(ForwardError) {
        _ = try add(name, local, remote, client, owner)
        if owner != .configuration { changed() }
    }

    /// Adds forwards and returns what identifies each.
    func add(
        _ name: String,
        _ local: String,
        _ remote: String,
        _ client: IPAddress?,
        _ owner: ForwardOwner
    ) throws(ForwardError) -> [Key] {
        var remote = remote
        // As in gvproxy, a malformed remote is reported first, for every protocol with host and
        // port.
        if name != "unix", name != "npipe" {
            remote = try ForwardAddress.completed(remote, for: client)
        }
        let transport = try Self.transport(name)
        let pairs = try Self.pairs(transport, local, remote)
        for pair in pairs where forwards[Key(local: pair.local, transport: transport)] != nil {
            throw .alreadyRunning(protocol: transport.rawValue, local: pair.local)
        }
        try checkRoom(for: pairs.count, owner)
        var opened: [any OpenForward] = []
        do throws(ForwardError) {
            for pair in pairs {
                opened.append(
                    try open(Key(local: pair.local, transport: transport), pair.remote)
                )
            }
        } catch {
            for forward in opened { forward.close() }
            throw error
        }
        for (pair, forward) in zip(pairs, opened) {
            noted(Entry(local: pair.local, remote: pair.remote, transport: transport), true)
            forwards[Key(local: pair.local, transport: transport)] = Forward(
                remote: pair.remote,
                host: forward,
                owner: owner
            )
        }
        return pairs.map { Key(local: $0.local, transport: transport) }
    }

    /// The guest's address to which a TCP forward leads from a host endpoint; nil if none does.
    func guest(at host: Endpoint) -> IPAddress? {
        for (key, forward) in forwards where key.transport == .tcp {
            guard let listener = forward.host.endpoint, Socket.isListener(listener, at: host)
            else { continue }
            do {
                return try ForwardAddress.remote(forward.remote).address
            } catch {
                // Every listed TCP forward was opened with a valid remote.
                continue
            }
        }
        return nil
    }

    /// Adds a forward on behalf of the API on the host.
    func expose(
        _ name: String = "tcp",
        local: String,
        remote: String,
        client: IPAddress? = nil
    ) throws(ForwardError) {
        try expose(name, local: local, remote: remote, client: client, owner: .host)
    }

    /// Returns the texts of the single forwards that a request stands for.
    static func pairs(
        _ transport: ForwardProtocol,
        _ local: String,
        _ remote: String
    ) throws(ForwardError) -> [(local: String, remote: String)] {
        guard local.utf8.count <= maximumAddressLength, remote.utf8.count <= maximumAddressLength
        else { throw .addressTooLong }
        return transport == .unix
            ? [(local: local, remote: remote)] : try ForwardRange.pairs(local, remote)
    }

    /// Checks that the table and the owner's part of it have room for more forwards.
    func checkRoom(for count: Int, _ owner: ForwardOwner) throws(ForwardError) {
        if let maximum = exceededLimit(for: count, owner) { throw .tooMany(limit: maximum) }
    }

    /// The limit that more forwards would exceed; nil if there is room.
    func exceededLimit(for count: Int, _ owner: ForwardOwner) -> Int? {
        let maximum = owner.isGuest ? maximumForwards / 2 : maximumForwards
        let own = owner.isGuest ? forwards.values.count { $0.owner == owner } : forwards.count
        guard own + count <= maximum, forwards.count + count <= maximumForwards else {
            limits.reached(.forwards, maximum: maximum)
            return maximum
        }
        return nil
    }

    /// Adds an unlisted forward that stays until the table is closed.
    ///
    /// - Parameters:
    ///   - path: The host's unix socket.
    ///   - target: The guest's unix socket.
    /// - Throws: `ForwardError`.
    func forward(_ path: String, to target: SSHTarget) throws(ForwardError) {
        unlisted.append(try listen(at: path, for: .socket(target)))
    }

    /// Removes a forward, or one for each port of a range: all of them or none.
    ///
    /// - Parameters:
    ///   - name: `tcp`, `udp` or `unix`; empty means `tcp`, or the only other forward with that
    ///     `local`.
    ///   - local: The text that the forward was added with.
    ///   - includes: Whether the caller may see the forwards of an owner.
    /// - Throws: `ForwardError.notFound`.
    func unexpose(
        _ name: String = "tcp",
        local: String,
        where includes: (ForwardOwner) -> Bool
    ) throws(ForwardError) {
        var keys: [Key] = []
        for text in name == "unix" ? [local] : ForwardRange.expanded(local) {
            guard let key = key(name, local: text, where: includes) else { throw .notFound }
            keys.append(key)
        }
        for key in keys { remove(key) }
        changed()
    }

    /// Closes and removes a forward; does nothing if there is none.
    func remove(_ key: Key) {
        guard let forward = forwards.removeValue(forKey: key) else { return }
        forward.host.close()
        forward.removed?()
        noted(Entry(local: key.local, remote: forward.remote, transport: key.transport), false)
    }

    /// Removes a forward of any owner.
    func unexpose(_ name: String = "tcp", local: String) throws(ForwardError) {
        try unexpose(name, local: local) { _ in true }
    }

    /// Removes all forwards and the files of unix sockets; until then the loop keeps the listeners
    /// alive.
    func close() {
        for forward in forwards.values.map(\.host) + unlisted { forward.close() }
        forwards = [:]
        unlisted = []
        if let retry { loop.cancel(retry) }
        retry = nil
    }

    private func key(
        _ name: String,
        local: String,
        where includes: (ForwardOwner) -> Bool
    ) -> Key? {
        let transports =
            name.isEmpty
            ? [.tcp, .udp, .unix] : ForwardProtocol(rawValue: name).map { [$0] } ?? []
        let keys = transports.map { Key(local: local, transport: $0) }
            .filter { key in forwards[key].map { includes($0.owner) } ?? false }
        // Rancher Desktop's agent omits the protocol when it removes everything.
        return keys.first?.transport == .tcp || keys.count == 1 ? keys.first : nil
    }

    private static func transport(_ name: String) throws(ForwardError) -> ForwardProtocol {
        if name.isEmpty { return .tcp }
        if name == "npipe" { throw .namedPipe }
        guard let transport = ForwardProtocol(rawValue: name) else { throw .unknownProtocol(name) }
        return transport
    }
}
