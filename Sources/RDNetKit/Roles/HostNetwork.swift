/// The whole host end: the packet engine with the gateway's services, forwards and links.
///
/// `host-switch`, `gvproxy` and `up` share it: they create it from settings, attach links, and stop
/// it once.
final class HostNetwork: DatagramSender {
    let engine: PacketEngine
    let forwards: ForwardTable
    let settings: NetworkSettings
    let loop: EventLoop
    let log: Logger
    let limits: LimitLog
    let dns: DNSService
    var dhcp: DHCPServer
    /// The IPv6 side; nil without it.
    private(set) var router: GuestRouter?
    var servers: [HTTPServer] = []
    var listeners: [StreamListener] = []
    /// Set by `openPortFiles`; nil without the control file system.
    var portFiles: PortFileServer?
    var linkListeners: [LinkListener] = []
    /// Called with each link that has ended, and the reason.
    var linkEnded: (any FrameLink, String) -> Void = { _, _ in }
    let events = EventFeed()
    let processUse = ProcessUse()
    /// The processes behind connections, where they can be found; nil elsewhere.
    var processes: FlowProcesses?
    let capture: CaptureSwitch
    /// The live captures, in the API.
    private(set) lazy var streams = makeStreams()
    /// The namespace of the host sockets; read before the sandbox hides it.
    let namespace = Namespace.currentNetworkIdentity
    /// What guests may reach.
    let policy: PolicyKeeper
    /// Keeps leases and forwards across restarts; set by `openState`, nil without a directory.
    private(set) var state: StateKeeper?
    /// Set by `open`.
    private(set) var addressLoss: HostAddressLoss?

    /// Creates the network in memory, engine and services; opens nothing yet.
    ///
    /// - Parameters:
    ///   - settings: The network's settings.
    ///   - zones: The gateway's DNS zones; nil for the built-in ones.
    ///   - loop: The loop of all sockets and timers.
    ///   - log: The role's logger.
    ///   - random: The source of secrets and identifiers.
    init(
        _ settings: NetworkSettings,
        zones: DNSZones? = nil,
        loop: EventLoop,
        log: Logger,
        random: any RandomNumberGenerator = SystemRandomNumberGenerator()
    ) {
        let settings = settings.supported(log)
        self.settings = settings
        self.loop = loop
        self.log = log
        limits = LimitLog(log) { loop.now.nanoseconds / 1_000_000_000 }
        var random = random
        let plan = GatewayPlan(settings)
        engine = PacketEngine(
            plan,
            loop: loop,
            log: log,
            limits: limits,
            descriptors: ProcessLimits.descriptors,
            support: .probe(),
            seed: random.next()
        )
        forwards = ForwardTable(
            loop: loop,
            connector: engine,
            log: log,
            limits: limits,
            ssh: SSHProgram(ProcessEnvironment.value(of:))
        )
        capture = CaptureSwitch(
            settings.captureFile.isEmpty ? "capture.pcap" : settings.captureFile,
            ethernet: engine.ethernet,
            loop: loop,
            log: log
        )
        let builtIn = DNSZones.builtIn(gateway: plan.gateway, hostAlias: plan.hostAlias)
        dns = Self.makeDNS(settings, plan, zones ?? builtIn, loop, log, limits, random)
        policy = PolicyKeeper(settings.policy, engine, dns, log: log)
        let domains = Self.domains(settings, dns, loop)
        dhcp = Self.makeDHCP(settings, plan, searching: domains)
        router = GuestRouter(of: self, searching: domains, random: random)
        dns.sender = self
        dns.guestNames = { [unowned self] in dhcp.guestNames }
        dns.guestIPv6 = { [unowned self] in guestIPv6($0) }
        dns.guestIPv4 = { [unowned self] in guestIPv4($0) }
        connectLeases()
        engine.linkClosed = { [unowned self] link, reason in
            log.info("link closed", ["link": link.name, "reason": reason])
            tell(of: link, "closed", reason)
            linkEnded(LimitedLink.inner(link), reason)
        }
        connectServices()
        connectFailures()
        reportConflicts()
        connectEvents()
    }

    /// Opens the state directory, if the settings name one, and restores the leases in it.
    ///
    /// - Parameter user: The user that the process will become; nil for no change.
    /// - Throws: `RoleFailure` if the directory cannot be used.
    func openState(for user: AccountFile.User?) throws(RoleFailure) {
        guard !settings.stateDirectory.isEmpty else { return }
        let state = try StateKeeper(self, for: user)
        state.readLeases()
        self.state = state
    }

    /// Opens everything visible to other programs: static forwards, the API, the capture.
    ///
    /// `stop` undoes it, also after a failure.
    ///
    /// - Throws: `RoleFailure` with the address that could not be opened.
    func open() throws(RoleFailure) {
        try policy.open()
        addressLoss = HostAddressLoss(engine, dns)
        router?.open()
        try openForwards()
        try openAPI()
        try openPortFiles()
        if !settings.captureFile.isEmpty { try startCapture() }
    }

    private static func makeDNS(
        _ settings: NetworkSettings,
        _ plan: GatewayPlan,
        _ zones: DNSZones,
        _ loop: EventLoop,
        _ log: Logger,
        _ limits: LimitLog,
        _ random: any RandomNumberGenerator
    ) -> DNSService {
        var dns = DNSSettings(hostAlias: plan.hostAlias)
        // The host's resolvers know the host's network.
        let small = plan.mirror.flatMap { Subnet(address: $0.guest, prefixLength: 30) }
        dns.subnet = small ?? plan.subnet
        dns.ipv6 = plan.mirror == nil ? plan.ipv6 : nil
        dns.usesMulticast = settings.usesMulticastDNS
        dns.allowsLinkLocal = settings.allowsLinkLocal
        dns.hostsPath = settings.hosts
        dns.resolverPath = settings.resolvConf
        dns.servers = settings.dnsServers
        return DNSService(
            loop: loop,
            settings: dns,
            zones: zones,
            random: random,
            log: log,
            reporting: limits
        )
    }

    /// The guests' DNS search domains.
    private static func domains(
        _ settings: NetworkSettings,
        _ dns: DNSService,
        _ loop: EventLoop
    ) -> [String] {
        guard settings.dnsSearch.isEmpty, settings.searchesHostDomains else {
            return settings.dnsSearch
        }
        return dns.searchDomains(now: loop.now)
    }

    private static func makeDHCP(
        _ settings: NetworkSettings,
        _ plan: GatewayPlan,
        searching domains: [String]
    ) -> DHCPServer {
        var leases: [MACAddress: IPAddress] = [:]
        for lease in settings.effectiveStaticLeases { leases[lease.mac] = lease.address }
        return DHCPServer(
            DHCPServer.Configuration(
                subnet: plan.subnet,
                gateway: plan.gateway,
                gatewayMAC: plan.gatewayMAC,
                reserved: [plan.hostAlias] + plan.virtualAddresses,
                resolvers: plan.mirror.map { [$0.resolver].compactMap(\.self) },
                mtu: UInt16(truncatingIfNeeded: plan.mtu),
                domainSearch: domains,
                leaseTime: .seconds(settings.leaseTime),
                staticLeases: leases
            )
        )
    }

    /// Connects the leases with the links that their holders are on.
    private func connectLeases() {
        let ethernet = engine.ethernet
        dhcp.isPresent = { [unowned ethernet] in ethernet.isAttached($0) }
        dhcp.link = { [unowned ethernet] in ethernet.linkNumber(of: $0) }
        dhcp.isUsedElsewhere = { [unowned ethernet] address, link in
            ethernet.plan.addresses(of: address).contains {
                ethernet.isUsed($0, elsewhereThan: link)
            }
        }
        dhcp.leased = { [unowned ethernet] in ethernet.leased($0, to: $1) }
        dhcp.impersonated = { [unowned engine] in engine.network.drop(.takenMAC) }
        dhcp.discovered = { [unowned engine] in engine.presence.discovered($0) }
        engine.network.admission.forwardedGuest = { [unowned self] endpoint in
            guard let guest = forwards.guest(at: endpoint) else { return nil }
            return guest.isLoopback
                ? settings.guest : engine.ethernet.routers.neighbor(toward: guest)
        }
        ethernet.leaseHolder = { [unowned self] in dhcp.holder(of: $0, now: loop.now) }
    }

    // MARK: Services

    private func connectServices() {
        if settings.servesLeases {
            serve(67) { [unowned self] datagram in answerDHCP(datagram) }
        }
        guard settings.servesNames else { return }
        serve(53) { [unowned self] datagram in dns.receive(datagram, now: loop.now) }
        engine.tcp.services[53] = { [unowned self] stream, peer in dns.accept(stream, from: peer) }
    }

    /// Passes the datagrams of a gateway port to a service.
    func serve(_ port: UInt16, _ service: @escaping (ServiceDatagram) -> Void) {
        engine.datagramServices[port] = { mac, source, destination, payload in
            let datagram = ServiceDatagram(
                source: source,
                destination: destination,
                sourceMAC: mac,
                payload: Array(payload)
            )
            service(datagram)
        }
    }

    private func answerDHCP(_ datagram: ServiceDatagram) {
        // All other addresses of the host's network belong to its machines.
        guard settings.mirror == nil || datagram.sourceMAC == settings.guestMAC else { return }
        let exhausted = dhcp.statistics.exhausted
        let answer = dhcp.respond(to: datagram, now: loop.now)
        if dhcp.statistics.exhausted != exhausted { poolIsExhausted() }
        guard let response = answer else { return }
        response.octets.withUnsafeBytes { payload in
            engine.network.send(
                payload,
                from: response.source,
                to: response.destination,
                mac: response.destinationMAC,
                on: engine.ethernet.link(of: datagram.sourceMAC)
            )
        }
    }

    /// Reports that a guest found no free address.
    func poolIsExhausted() {
        limits.reached(.leases, maximum: min(LeasePool.capacity, settings.subnet.size))
    }

    func send(_ payload: [UInt8], from source: Endpoint, to destination: Endpoint) {
        payload.withUnsafeBytes { engine.udp.send($0, from: source, to: destination) }
    }

    private func openForwards() throws(RoleFailure) {
        for forward in settings.effectivePortForwards {
            do {
                try forwards.expose(
                    forward.transport,
                    local: forward.local,
                    remote: forward.remote(usualGuest: settings.guest),
                    owner: .configuration
                )
            } catch {
                throw RoleFailure("port-forward \(forward): \(error)")
            }
        }
    }

    // MARK: Closing

    /// Closes listeners, forwards and links, and removes their files.
    func stop() {
        state?.close()
        addressLoss?.close()
        router?.close()
        for listener in listeners { listener.close() }
        for listener in linkListeners { listener.close() }
        portFiles?.close()
        forwards.close()
        policy.stop()
        for server in servers { server.close() }
        engine.stop()
        capture.stop()
        streams.close()
        events.close()
    }
}
