/// The host ports that guest agents publish, and their listeners.
///
/// How it works: a binding is a transport, an address and a port, and publishers claim bindings. A
/// second claim by the same publisher has no effect, so one removal undoes both, as in the
/// original.
///
/// A removal ends the claims of its sender and of ended processes; the binding stays while another
/// running process claims it. If the sender does not claim the binding, such as nc in a script, the
/// removal ends all claims. If nobody claims the removed address, the removal applies to the port's
/// latest binding, preferably the sender's, because the original looks only at ports.
///
/// A connection can hold a binding: the claim is that of no process, and ends with the connection
/// alone.
///
/// If a port is claimed on all addresses, one listener replaces those at single addresses, which
/// reopen when that claim ends. A binding that cannot be opened, because another program uses the
/// port, is retried with the port's next message.
final class PublishedPorts {
    static let maximumBindings = 16_384

    /// A port of the host on any address.
    struct Port: Hashable, CustomStringConvertible {
        let transport: ForwardProtocol
        let number: UInt16

        var description: String { "\(number)/\(transport)" }
    }

    /// One address of a port and its publishers.
    private struct Claim {
        /// `::` for every address of both families.
        let address: IPAddress
        /// Never empty.
        var publishers: [PortPublisher]
    }

    /// A port at one address; `::` for every address of both families.
    private struct Binding: Hashable {
        let port: Port
        let address: IPAddress
    }

    private struct State {
        /// The claims, the latest last; never empty.
        var claims: [Claim]
        var listeners: [IPAddress: any OpenForward] = [:]
        /// Why a listener could not be opened the last time.
        var failure: SystemError?
    }

    /// Why a port cannot be held.
    enum HoldError: Error, Equatable {
        case refused(SystemError)
        case tooMany
    }

    private let log: Logger
    private let open: (Port, IPAddress) throws(SystemError) -> any OpenForward
    /// Whether a publisher's process has ended, so that it can no longer withdraw ports.
    var hasEnded: (PortPublisher) -> Bool = { _ in false }
    private var ports: [Port: State] = [:]
    private var claimCount = 0
    /// The publishers that are connections.
    private var holders: Set<PortPublisher> = []

    /// Creates an empty table.
    ///
    /// - Parameters:
    ///   - log: For opened, closed and failed bindings.
    ///   - open: Opens a listener at a port's address; `::` stands for every address of both
    ///     families.
    init(
        log: Logger,
        open: @escaping (Port, IPAddress) throws(SystemError) -> any OpenForward
    ) {
        self.log = log
        self.open = open
    }

    /// All open listeners, for tests and the log.
    var listening: [String] {
        ports.flatMap { port, state in
            state.listeners.keys.map { Self.name(port, $0) }
        }.sorted()
    }

    /// Applies a message; invalid bindings are logged and skipped.
    func apply(_ message: PortMessage, from publisher: PortPublisher) {
        // A container engine publishes a port at 0.0.0.0 and at :: at once; both are the same
        // binding.
        var done: Set<Binding> = []
        for text in message.bindings {
            guard let binding = understand(text), done.insert(binding).inserted else { continue }
            if message.isRemoval {
                release(binding, publisher)
            } else {
                claim(binding, publisher)
            }
        }
    }

    /// Claims a port at every address until `release`.
    ///
    /// - Parameters:
    ///   - port: Not number 0.
    ///   - holder: A new publisher, which is no process.
    /// - Throws: `HoldError` if the port is not open.
    func hold(_ port: Port, for holder: PortPublisher) throws(HoldError) {
        holders.insert(holder)
        claim(Binding(port: port, address: .anyIPv6), holder)
        guard let state = ports[port], state.listeners[.anyIPv6] != nil else {
            let failure = ports[port]?.failure
            release(holder)
            throw failure.map { .refused($0) } ?? .tooMany
        }
    }

    /// Ends the claims of a holder.
    func release(_ holder: PortPublisher) {
        holders.remove(holder)
        drop([holder])
    }

    /// Whether a publisher claims anything.
    func isClaimant(_ publisher: PortPublisher) -> Bool {
        ports.values.contains { state in
            state.claims.contains { $0.publishers.contains(publisher) }
        }
    }

    /// Drops every claim of the given publishers, which can no longer withdraw them.
    func drop(_ publishers: Set<PortPublisher>) {
        // A copy, because `settle` changes the table.
        for (port, state) in Array(ports) {
            for index in state.claims.indices.reversed() {
                removePublishers(of: port, at: index) { publishers.contains($0) }
            }
            settle(port)
        }
    }

    /// Closes all listeners.
    func close() {
        for state in ports.values {
            for listener in state.listeners.values { listener.close() }
        }
        ports = [:]
        claimCount = 0
    }

    private func understand(_ binding: PortMessage.Binding) -> Binding? {
        guard let transport = ForwardProtocol(rawValue: binding.transport), transport != .unix
        else {
            log.warning("protocol is neither tcp nor udp", ["protocol": binding.transport])
            return nil
        }
        // With port 0 the kernel would choose a port that nobody knows.
        guard let number = Self.port(binding.hostPort), number > 0 else {
            log.warning("HostPort is not a port from 1 to 65535", ["HostPort": binding.hostPort])
            return nil
        }
        guard let address = Self.address(binding.hostIP) else {
            log.warning("HostIp is not an IP address", ["HostIp": binding.hostIP])
            return nil
        }
        return Binding(port: Port(transport: transport, number: number), address: address)
    }

    private static func port(_ text: String) -> UInt16? {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt16(text) : nil
    }

    private static func address(_ text: String) -> IPAddress? {
        if text.isEmpty { return .anyIPv6 }
        if text == "localhost" { return .loopbackIPv4 }
        return IPAddress(text).map { $0.isUnspecified ? .anyIPv6 : $0 }
    }

    // MARK: Claims

    private func claim(_ binding: Binding, _ publisher: PortPublisher) {
        let port = binding.port
        if let index = ports[port]?.claims.firstIndex(where: { $0.address == binding.address }) {
            // The new claim replaces those of ended processes, which nobody would withdraw.
            ports[port]?.claims[index].publishers.removeAll { $0 == publisher || isGone($0) }
            ports[port]?.claims[index].publishers.append(publisher)
        } else {
            guard claimCount < Self.maximumBindings else {
                return log.error("too many published ports", ["port": "\(port)"])
            }
            claimCount += 1
            let claim = Claim(address: binding.address, publishers: [publisher])
            ports[port, default: State(claims: [])].claims.append(claim)
        }
        settle(port)
    }

    private func release(_ binding: Binding, _ publisher: PortPublisher) {
        let port = binding.port
        guard let claims = ports[port]?.claims,
            let index = claims.firstIndex(where: { $0.address == binding.address })
                ?? claims.lastIndex(where: { $0.publishers.contains(publisher) })
                ?? claims.indices.last
        else { return log.debug("port was not published", ["port": "\(port)"]) }
        let isOwn = claims[index].publishers.contains(publisher)
        removePublishers(of: port, at: index) { other in
            other == publisher || isGone(other) || !isOwn && !holders.contains(other)
        }
        settle(port)
    }

    /// Whether a publisher can no longer withdraw what it claims.
    private func isGone(_ publisher: PortPublisher) -> Bool {
        !holders.contains(publisher) && hasEnded(publisher)
    }

    /// Removes publishers from a binding, and the binding itself with its last publisher.
    private func removePublishers(
        of port: Port,
        at index: Int,
        where isRemoved: (PortPublisher) -> Bool
    ) {
        ports[port]?.claims[index].publishers.removeAll(where: isRemoved)
        guard ports[port]?.claims[index].publishers.isEmpty == true else { return }
        ports[port]?.claims.remove(at: index)
        claimCount -= 1
    }

    // MARK: Listeners

    /// Opens and closes listeners to match the claims.
    private func settle(_ port: Port) {
        guard var state = ports[port] else { return }
        let addresses = state.claims.map(\.address)
        let wantsAll = addresses.contains(.anyIPv6)
        for address in state.listeners.keys where !addresses.contains(address) {
            close(port, address, &state)
        }
        if wantsAll, state.listeners[.anyIPv6] == nil {
            // A listener at one address conflicts with a listener at all of them.
            for address in state.listeners.keys { close(port, address, &state) }
            listen(port, .anyIPv6, &state)
        }
        if state.listeners[.anyIPv6] == nil {
            for address in addresses
            where address != .anyIPv6 && state.listeners[address] == nil {
                listen(port, address, &state)
            }
        }
        ports[port] = state.claims.isEmpty ? nil : state
    }

    private func listen(_ port: Port, _ address: IPAddress, _ state: inout State) {
        do {
            state.listeners[address] = try open(port, address)
            log.info("published", ["port": Self.name(port, address)])
        } catch {
            state.failure = error
            log.warning(
                "cannot publish port",
                ["port": Self.name(port, address), "cause": "\(error)"]
            )
        }
    }

    private func close(_ port: Port, _ address: IPAddress, _ state: inout State) {
        state.listeners.removeValue(forKey: address)?.close()
        log.info("withdrawn", ["port": Self.name(port, address)])
    }

    private static func name(_ port: Port, _ address: IPAddress) -> String {
        "\(Endpoint(address: address, port: port.number))/\(port.transport)"
    }
}
