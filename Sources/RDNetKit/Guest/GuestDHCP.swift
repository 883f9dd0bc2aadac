/// The running DHCP client of one interface: state machine, packet socket, timer and configuration.
///
/// It belongs to the network namespace in which it was created. Later failures are logged and
/// retried, because a tunnel outlives a DHCP server.
final class GuestDHCP: ReadinessObserver, TimerObserver {
    /// How the client requests and applies leases.
    struct Settings {
        /// Applies leases; nil configures the interface directly.
        var recipient: (any LeaseRecipient)?
        /// Applies the name servers of each lease; nil leaves name resolution unchanged.
        var nameServers: LinkConfiguration.NameServers?
        /// Limit on the interface's MTU, regardless of the lease.
        var maximumMTU: Int?
        /// The host name for the server (option 12); nil omits it.
        var hostName: String?
    }

    private static let datagramsPerTurn = 16
    /// Messages without an answer until the log says so: about three seconds.
    private static let patience = 3

    /// Called when a lease has been applied, new or renewed.
    var onBound: ((DHCPLease) -> Void)?
    /// Called when the address has been removed.
    var onLost: (() -> Void)?

    private let loop: EventLoop
    private let interface: String
    private let log: Logger
    private let socket: PacketSocket
    private let recipient: any LeaseRecipient
    /// Nil if the recipient configures the interface.
    private let restorer: LinkRestorer?
    private var client: DHCPClient
    private var watch: EventLoop.Watch?
    private var timer: TimerWheel.Token?
    /// Messages since the last lease.
    private var discoveries = 0
    /// The sender of the last answer, for unicast below the kernel's neighbor table.
    private var serverMAC = MACAddress.broadcast

    /// Creates a client and opens its socket; sends nothing yet.
    ///
    /// - Parameters:
    ///   - loop: Waits for answers and deadlines.
    ///   - interface: An existing interface; it is brought up.
    ///   - mac: Its MAC address.
    ///   - settings: How the client requests and applies leases.
    ///   - random: For transaction IDs and the spread of retransmissions.
    ///   - log: For leases and failures.
    /// - Throws: `SystemError`: ENODEV, EPERM, EADDRINUSE if another client serves the interface.
    init(
        loop: EventLoop,
        interface: String,
        mac: MACAddress,
        settings: Settings,
        random: any RandomNumberGenerator = SystemRandomNumberGenerator(),
        log: Logger
    ) throws(SystemError) {
        var netlink = try Netlink()
        let link = try netlink.link(named: interface)
        try netlink.setLink(link.index, up: true)
        socket = try PacketSocket(port: DHCPMessage.clientPort, link: link.index, named: interface)
        if let other = settings.recipient {
            recipient = other
            restorer = nil
        } else {
            let configuration = try LinkConfiguration(
                interface: interface,
                nameServers: settings.nameServers,
                maximumMTU: settings.maximumMTU,
                log: log
            )
            recipient = configuration
            restorer = try LinkRestorer(
                configuration,
                interface: interface,
                loop: loop,
                log: log
            )
        }
        client = DHCPClient(
            .init(mac: mac, hostName: settings.hostName, hasIPv6: Socket.hasIPv6),
            random: random
        )
        self.loop = loop
        self.interface = interface
        self.log = log
    }

    /// The lease in use; nil without one.
    var lease: DHCPLease? { client.lease }

    /// Removes the interface's address and requests one, until `stop`.
    ///
    /// - Throws: `SystemError` if the loop cannot watch the socket.
    func start() throws(SystemError) {
        guard watch == nil else { return }
        watch = try loop.watch(socket.number, for: .readable, observer: self)
        handle(.started)
    }

    /// Verifies the lease after a link failure; its address stays meanwhile.
    func linkRestored() {
        handle(.linkRestored)
    }

    /// Releases the lease and the descriptor.
    func stop() {
        handle(.stopped)
        abandon()
    }

    /// Ends the client of an interface that no longer exists; the server keeps the lease for the
    /// interface's successor.
    func abandon() {
        if let timer { loop.cancel(timer) }
        timer = nil
        restorer?.close()
        if let watch { loop.forget(watch) }
        watch = nil
    }

    // MARK: Inbound

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do throws(SystemError) {
            // The loop reports the remaining datagrams again.
            for _ in 0..<Self.datagramsPerTurn {
                guard let arrival = try socket.receive() else { return }
                receive(arrival)
            }
        } catch {
            // ENETDOWN while the interface is down; the next deadline sends again.
            log.debug("\(interface): DHCP: \(error)")
        }
    }

    private func receive(_ arrival: PacketSocket.Arrival) {
        guard arrival.packet.source.port == DHCPMessage.serverPort else { return }
        do throws(PacketError) {
            let message = try DHCPMessage(reading: arrival.packet.payload.span.bytes)
            let before = client.state
            let actions = client.handle(.received(message), now: loop.now)
            // Only an answer that the client accepted reveals the server's MAC address.
            if client.state != before { serverMAC = arrival.mac }
            perform(actions)
        } catch {
            log.debug("\(interface): DHCP: not a message: \(error)")
        }
    }

    func timerFired(now: Instant) {
        timer = nil
        handle(.deadlinePassed)
    }

    // MARK: Outbound

    private func handle(_ event: DHCPClientEvent) {
        perform(client.handle(event, now: loop.now))
    }

    private func perform(_ actions: [DHCPClientAction]) {
        if let timer { loop.cancel(timer) }
        timer = client.nextDeadline.map { loop.schedule($0, observer: self) }
        for action in actions { perform(action) }
    }

    private func perform(_ action: DHCPClientAction) {
        switch action {
        case .broadcast(let message):
            reportWait(message)
            send(message, to: .broadcastIPv4, .broadcast)
        case .unicast(let message, let server):
            send(message, to: server, serverMAC)
        case .configure(let lease, let renewed):
            configure(lease, renewed: renewed)
        case .deconfigure:
            serverMAC = .broadcast
            recipient.apply(.lost) { [self] in onLost?() }
        case .reportSilence:
            log.warning("\(interface): no DHCP server answers")
            recipient.apply(.silence) {}
        case .reportRefusal(let message):
            let text = String(decoding: message.options[.message] ?? [], as: UTF8.self)
            log.warning("\(interface): the DHCP server refused", ["reason": text])
            recipient.apply(.refused(message)) {}
        }
    }

    /// Says early that nobody answers: a round of messages takes half a minute.
    private func reportWait(_ message: DHCPMessage) {
        guard message.type == .discover else { return }
        discoveries += 1
        if discoveries == Self.patience {
            log.info("\(interface): waiting for a DHCP server to answer")
        }
    }

    private func configure(_ lease: DHCPLease, renewed: Bool) {
        discoveries = 0
        let duration = lease.duration.map { "\($0.components.seconds) s" } ?? "ever"
        let server = "\(lease.server)"
        log.info(
            "\(interface): \(lease.address)/\(lease.prefixLength) \(renewed ? "renewed" : "leased")",
            lease.ipv6.map { ["server": server, "for": duration, "ipv6": "\($0.address)"] }
                ?? ["server": server, "for": duration]
        )
        recipient.apply(renewed ? .renewed(lease) : .bound(lease)) { [self] in onBound?(lease) }
    }

    private func send(_ message: DHCPMessage, to address: IPAddress, _ mac: MACAddress) {
        let packet = UDPPacket(
            source: Endpoint(address: message.clientAddress, port: DHCPMessage.clientPort),
            destination: Endpoint(address: address, port: DHCPMessage.serverPort),
            payload: message.octets
        )
        do throws(SystemError) {
            try socket.send(packet, to: mac)
        } catch {
            log.debug("\(interface): DHCP: \(error)")
        }
    }
}
