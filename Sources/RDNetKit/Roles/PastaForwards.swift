/// The ports of `pasta`: those of the host that lead into the namespace, and those of the
/// namespace's loopback addresses that lead to the host's.
final class PastaForwards {
    /// Limit on the reply bytes that the kernel queues for one UDP client of the namespace.
    private static let replyOctets: Int32 = 1 << 20
    /// The ports of clients if the kernel's setting cannot be read.
    private static let usualClientPorts = PortRange(32_768, through: 60_999)

    private let settings: PastaSettings
    private let guest: IPAddress
    private let log: Logger
    /// The ports of the namespace's loopback addresses.
    let listeners: [PastaNamespace.Listener]
    private var open: [any OpenForward] = []
    private let hostTables: [SocketTableFile]
    private var automatic: AutomaticForwards?
    /// Ports of the namespace's loopback addresses that lead to the host's open ones.
    private var outward: AutomaticForwards?
    private var relay: RelayConnector?
    /// Connects local clients to the namespace's loopback addresses, if they may reach these.
    private var loopback: LoopbackConnector?

    /// Chooses the ports.
    ///
    /// - Parameters:
    ///   - settings: The command line.
    ///   - guest: The namespace's address.
    ///   - log: For ports that are not forwarded.
    init(_ settings: PastaSettings, to guest: IPAddress, log: Logger) {
        self.settings = settings
        self.guest = guest
        self.log = log
        func listed(_ lists: [PastaPorts], isUDP: Bool) -> [PastaNamespace.Listener] {
            lists.pairs.map { PastaNamespace.Listener(isUDP: isUDP, ports: $0) }
        }
        listeners =
            (settings.hasNoTCP ? [] : listed(settings.tcpLoopbackPorts, isUDP: false))
            + (settings.hasNoUDP ? [] : listed(settings.udpLoopbackPorts, isUDP: true))
        hostTables = Self.hostTables(settings, log)
    }

    /// Opens the tables of the host's sockets whose ports the namespace gets, before a sandbox is
    /// in the way.
    private static func hostTables(_ settings: PastaSettings, _ log: Logger) -> [SocketTableFile] {
        let (tcp, udp) = (
            !settings.hasNoTCP && settings.tcpLoopbackPorts.isAuto,
            !settings.hasNoUDP && settings.udpLoopbackPorts.isAuto
        )
        return SocketTableFile.names.compactMap { name in
            guard name.hasPrefix("udp") ? udp : tcp else { return nil }
            do throws(SystemError) {
                return SocketTableFile(name, try SocketTableFile.open(name))
            } catch {
                log.debug("cannot read the open ports", ["cause": "\(error)"])
                return nil
            }
        }
    }

    /// The ports that the kernel gives to clients (ip(7), ip_local_port_range).
    private static var clientPorts: PortRange {
        do throws(SystemError) {
            let text = try TextFile.read("/proc/sys/net/ipv4/ip_local_port_range") ?? []
            let parts = String(decoding: text, as: UTF8.self).split { $0.isWhitespace }
            return PortRange(parts.joined(separator: "-")) ?? usualClientPorts
        } catch {
            return usualClientPorts
        }
    }

    private var isTCPAutomatic: Bool { !settings.hasNoTCP && settings.tcpPorts.isAuto }
    private var isUDPAutomatic: Bool { !settings.hasNoUDP && settings.udpPorts.isAuto }

    /// Whether the namespace's own open ports are forwarded.
    var isAutomatic: Bool { isTCPAutomatic || isUDPAutomatic }

    /// Whether sockets of the namespace are needed while it is served.
    var needsSockets: Bool { settings.connectsLoopback || !hostTables.isEmpty }

    /// Whether that is so for listening sockets.
    var listensLater: Bool { !hostTables.isEmpty }

    /// Closes every port.
    func close() {
        automatic?.close()
        outward?.close()
        for forward in open { forward.close() }
        open = []
        loopback?.close()
        loopback = nil
        relay?.close()
        relay = nil
    }

    /// Opens the ports.
    ///
    /// - Parameters:
    ///   - envoy: Passes the sockets and tables of the namespace.
    ///   - network: Connects to the namespace.
    ///   - sockets: Makes sockets on its loopback addresses; nil unless `needsSockets`.
    /// - Throws: `RoleFailure` with the port that cannot be opened, or `NamespaceEnvoyError`.
    func receive(
        from envoy: borrowing NamespaceEnvoy,
        _ network: HostNetwork,
        _ sockets: NamespaceSockets?
    ) throws {
        if let sockets, settings.connectsLoopback {
            let connector = NamespaceConnector(sockets, relay: relay(for: network))
            loopback = LoopbackConnector(connector, else: network.engine)
        }
        try receiveListeners(from: envoy, network)
        let tables = try receiveTables(from: envoy)
        if !settings.hasNoTCP { try openListed(settings.tcpPorts, isUDP: false, network) }
        if !settings.hasNoUDP { try openListed(settings.udpPorts, isUDP: true, network) }
        if isAutomatic { automatic = followNamespace(tables, network) }
        if let sockets, listensLater { outward = followHost(by: sockets, network) }
    }

    private struct Key: Hashable {
        var isUDP: Bool
        var port: UInt16
    }

    private func followNamespace(
        _ tables: [SocketTableFile],
        _ network: HostNetwork
    ) -> AutomaticForwards {
        follow(
            tables,
            except: Set(listeners.map { Key(isUDP: $0.isUDP, port: $0.ports.outer) }),
            beside: \.outward,
            network
        ) { [unowned self] isUDP, port, _ throws(SystemError) in
            let everywhere = Endpoint(address: .anyIPv4, port: port)
            return try open(isUDP, everywhere, nil, to: port, network)
        }
    }

    /// Follows the open ports of tables, except those of UDP clients.
    ///
    /// - Parameters:
    ///   - tables: Of the sockets to follow.
    ///   - own: Ports that options name.
    ///   - others: The ports of the other direction, which are this program's.
    ///   - network: Whose loop it runs on.
    ///   - opening: Opens a port.
    /// - Returns: The forwards.
    private func follow(
        _ tables: [SocketTableFile],
        except own: Set<Key>,
        beside others: KeyPath<PastaForwards, AutomaticForwards?>,
        _ network: HostNetwork,
        opening: @escaping AutomaticForwards.Opening
    ) -> AutomaticForwards {
        let clients = Self.clientPorts
        return AutomaticForwards(
            tables,
            loop: network.loop,
            log: log,
            excluding: { [unowned self] isUDP, port in
                own.contains(Key(isUDP: isUDP, port: port)) || isUDP && clients.contains(port)
                    || self[keyPath: others]?.isOpen(isUDP, port) ?? false
            },
            open: opening
        )
    }

    /// Follows the ports of the host, except those that lead into the namespace.
    private func followHost(
        by sockets: NamespaceSockets,
        _ network: HostNetwork
    ) -> AutomaticForwards {
        let relay = relay(for: network)
        let own = Set(
            settings.tcpPorts.pairs.map { Key(isUDP: false, port: $0.outer) }
                + settings.udpPorts.pairs.map { Key(isUDP: true, port: $0.outer) }
        )
        return follow(hostTables, except: own, beside: \.automatic, network) {
            isUDP,
            port,
            lost in
            NamespacePortForward(
                port,
                isUDP: isUDP,
                made: { sockets.make($0, $1) },
                opening: { socket throws(SystemError) in
                    let host = Endpoint(address: .loopbackIPv4, port: port)
                    return try Self.relay(socket, isUDP, to: host, relay)
                },
                lost: lost
            )
        }
    }

    // MARK: Into the namespace

    private func receiveTables(from envoy: borrowing NamespaceEnvoy) throws -> [SocketTableFile] {
        guard isAutomatic else { return [] }
        var tables: [SocketTableFile] = []
        for name in SocketTableFile.names {
            guard let descriptor = try envoy.receiveOptional() else { continue }
            let table = SocketTableFile(name, descriptor)
            if table.isUDP ? isUDPAutomatic : isTCPAutomatic { tables.append(table) }
        }
        return tables
    }

    private func openListed(
        _ lists: [PastaPorts],
        isUDP: Bool,
        _ network: HostNetwork
    ) throws(RoleFailure) {
        for ports in lists {
            for pair in ports.pairs {
                let local = Endpoint(address: ports.address ?? .anyIPv4, port: pair.outer)
                do throws(SystemError) {
                    open.append(
                        try open(isUDP, local, ports.interface, to: pair.inner, network)
                    )
                } catch {
                    throw RoleFailure("\(isUDP ? "udp" : "tcp")-ports \(ports): \(error)")
                }
            }
        }
    }

    private func open(
        _ isUDP: Bool,
        _ local: Endpoint,
        _ interface: String?,
        to port: UInt16,
        _ network: HostNetwork
    ) throws(SystemError) -> any OpenForward {
        let guest = Endpoint(address: guest, port: port)
        let connector: any GuestConnector = loopback ?? network.engine
        guard isUDP else {
            return try TCPForward(
                ListeningSocket.tcp(local, interface: interface),
                to: .tcp(guest),
                connector: connector,
                loop: network.loop,
                counters: network.forwards.counters,
                limits: network.limits
            )
        }
        return try UDPForward(
            ListeningSocket.udp(local, interface: interface),
            to: guest,
            connector: connector,
            loop: network.loop,
            counters: network.forwards.counters,
            limits: network.limits,
            pool: network.forwards.pool
        )
    }

    // MARK: Out of the namespace

    private func receiveListeners(
        from envoy: borrowing NamespaceEnvoy,
        _ network: HostNetwork
    ) throws {
        guard !listeners.isEmpty else { return }
        let relay = relay(for: network)
        for listener in listeners {
            let host = Endpoint(address: .loopbackIPv4, port: listener.ports.inner)
            for _ in PastaNamespace.loopbackAddresses {
                guard let socket = try envoy.receiveOptional() else { continue }
                open.append(try Self.relay(socket, listener.isUDP, to: host, relay))
            }
        }
    }

    /// The connector of all connections that need no packets.
    private func relay(for network: HostNetwork) -> RelayConnector {
        if let relay { return relay }
        let relay = RelayConnector(
            loop: network.loop,
            log: log,
            counters: network.forwards.counters,
            // The other half is reserved for the engine's flows and the listeners.
            descriptors: ProcessLimits.descriptors / 2,
            limits: network.limits,
            replyOctets: Self.replyOctets
        )
        relay.servesOtherNamespace = true
        self.relay = relay
        network.addressLoss?.relays = relay
        return relay
    }

    private static func relay(
        _ socket: consuming OwnedDescriptor,
        _ isUDP: Bool,
        to host: Endpoint,
        _ relay: RelayConnector
    ) throws(SystemError) -> any OpenForward {
        guard isUDP else {
            return try TCPForward(
                socket,
                to: .tcp(host),
                connector: relay,
                loop: relay.loop,
                counters: relay.counters
            )
        }
        return try UDPForward(
            socket,
            to: host,
            connector: relay,
            loop: relay.loop,
            counters: relay.counters
        )
    }
}
