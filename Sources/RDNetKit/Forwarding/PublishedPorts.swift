/// The host's ports that guest agents want to be open, and the listeners that this takes.
///
/// How it works: several sources (the container engine, a scan of /proc/net, Kubernetes) may want the same binding, so each
/// binding counts how often it was added, and goes when it was removed as often. A removal that names an address which nobody added
/// takes the port's latest binding, as the original, which knows ports only, would. Where every address of a port is wanted, one
/// listener serves them all, and the listeners of single addresses come back when it goes. What cannot be opened, because
/// somebody else has it, stays wanted and is tried again with the port's next message.
final class PublishedPorts {
    static let mostBindings = 16_384

    /// A port of the host, on any address.
    struct Port: Hashable, CustomStringConvertible {
        let transport: ForwardProtocol
        let number: UInt16

        var description: String { "\(number)/\(transport)" }
    }

    /// One address of a port, and how often it was asked for.
    private struct Claim {
        /// `::` for every address of both families.
        let address: IPAddress
        var count: Int
    }

    private struct State {
        /// The latest last; never empty.
        var claims: [Claim]
        var listeners: [IPAddress: any HostForward] = [:]
    }

    private let log: Logger
    private let open: (Port, IPAddress) throws(SystemError) -> any HostForward
    private var ports: [Port: State] = [:]
    private var claimCount = 0

    /// Makes an empty table.
    ///
    /// - Parameters:
    ///   - log: For what is opened, closed, and impossible.
    ///   - open: Opens a listener at a port's address; `::` is every address of both families.
    init(
        log: Logger,
        open: @escaping (Port, IPAddress) throws(SystemError) -> any HostForward
    ) {
        self.log = log
        self.open = open
    }

    /// Where anyone listens, for tests and for the log.
    var listening: [String] {
        ports.flatMap { port, state in
            state.listeners.keys.map { Self.name(port, $0) }
        }.sorted()
    }

    /// Does what a message asks for; what makes no sense in it is logged and passed over.
    func apply(_ message: PortMessage) {
        for binding in message.bindings {
            guard let (port, address) = understand(binding) else { continue }
            if message.isRemoval {
                release(port, address)
            } else {
                claim(port, address)
            }
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

    private func understand(_ binding: PortMessage.Binding) -> (Port, IPAddress)? {
        guard let transport = ForwardProtocol(rawValue: binding.transport), transport != .unix
        else {
            log.warning("neither tcp nor udp", ["protocol": binding.transport])
            return nil
        }
        // Port 0 would be one that nobody can know.
        guard let number = Self.port(binding.hostPort), number > 0 else {
            log.warning("not a port from 1 to 65535", ["HostPort": binding.hostPort])
            return nil
        }
        guard let address = Self.address(binding.hostIP) else {
            log.warning("not an address", ["HostIp": binding.hostIP])
            return nil
        }
        return (Port(transport: transport, number: number), address)
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

    private func claim(_ port: Port, _ address: IPAddress) {
        if let index = ports[port]?.claims.firstIndex(where: { $0.address == address }) {
            ports[port]?.claims[index].count += 1
        } else {
            guard claimCount < Self.mostBindings else {
                return log.error("too many published ports", ["port": "\(port)"])
            }
            claimCount += 1
            ports[port, default: State(claims: [])].claims.append(Claim(address: address, count: 1))
        }
        settle(port)
    }

    private func release(_ port: Port, _ address: IPAddress) {
        guard let claims = ports[port]?.claims,
            let index = claims.firstIndex(where: { $0.address == address }) ?? claims.indices.last
        else { return log.debug("was not published", ["port": "\(port)"]) }
        if claims[index].count > 1 {
            ports[port]?.claims[index].count -= 1
            return
        }
        ports[port]?.claims.remove(at: index)
        claimCount -= 1
        settle(port)
    }

    // MARK: Listeners

    /// Opens and closes what the claims ask for.
    private func settle(_ port: Port) {
        guard var state = ports[port] else { return }
        let addresses = state.claims.map(\.address)
        let wantsAll = addresses.contains(.anyIPv6)
        for address in state.listeners.keys where !addresses.contains(address) {
            close(port, address, &state)
        }
        if wantsAll, state.listeners[.anyIPv6] == nil {
            // A listener at one address is in the way of the one at all of them.
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
            log.warning(
                "cannot be published",
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
