/// The gateway as the router of the guests' IPv6 network: router advertisements and DHCPv6.
///
/// A link hears of it once one of its guests has sent IPv6: a guest that knows only IPv4, or a
/// program that stands in for one, notices nothing.
final class GuestRouter: TimerObserver {
    private unowned let network: HostNetwork
    private let plan: IPv6Plan
    private var advertiser: RouterAdvertiser
    private var server: DHCPv6Server
    /// Set by `open`, unless guests always have a default route.
    private var routes: HostRouteWatch?
    private var timer: (token: TimerWheel.Token, deadline: Instant)?
    private var haveLeasesChanged = false
    /// Names of the message that is being answered.
    private var newNames: [(address: IPAddress, label: [UInt8]?)] = []
    /// The numbers of the links on which guests use IPv6.
    private var speakers: Set<Int> = []

    /// Creates the router of a network; nil if the network has no IPv6.
    ///
    /// - Parameters:
    ///   - network: The owner of the router.
    ///   - domains: The domains in which guests look up names.
    ///   - random: The source of delays.
    init?(
        of network: HostNetwork,
        searching domains: [String],
        random: any RandomNumberGenerator
    ) {
        guard let plan = network.engine.plan.ipv6 else { return nil }
        self.network = network
        self.plan = plan
        let settings = network.settings
        let mirror = plan.mirror
        let usual = settings.servesNames ? [plan.gateway] : []
        let resolvers = mirror.map { [$0.resolver].compactMap(\.self) } ?? usual
        let configuration = RouterAdvertiser.Configuration(
            prefix: plan.prefix,
            isAutonomous: mirror?.isAutonomous ?? true,
            mtu: UInt32(settings.mtu),
            gatewayMAC: settings.gatewayMAC,
            resolvers: resolvers,
            searchDomains: domains
        )
        advertiser = RouterAdvertiser(
            configuration,
            isDefaultRouter: settings.ipv6 == .on,
            random: random,
            now: network.loop.now
        )
        server = DHCPv6Server(
            DHCPv6Server.Configuration(
                prefix: plan.prefix,
                subnet: settings.subnet,
                gatewayMAC: settings.gatewayMAC,
                resolvers: resolvers,
                domainSearch: domains,
                leaseTime: .seconds(settings.leaseTime),
                onlyAddress: mirror.map { (settings.guest, $0.guest) }
            )
        )
    }

    /// Begins to serve guests, and to watch the host's default route.
    func open() {
        let engine = network.engine
        server.leased = { [unowned self] address, mac in
            network.engine.ethernet.leased(address, to: mac)
        }
        server.named = { [unowned self] in newNames.append(($0, $1)) }
        server.leasesChanged = { [unowned self] in haveLeasesChanged = true }
        server.link = { [unowned self] in network.engine.ethernet.linkNumber(of: $0) }
        if plan.mirror?.servesLeases ?? true {
            network.serve(DHCPv6Message.serverPort) { [unowned self] in answer($0) }
        }
        guard advertises else { return }
        engine.neighborHeard = { [unowned self] in heard($0) }
        engine.routerSolicited = { [unowned self] address, mac in
            if let number = network.engine.ethernet.linkNumber(of: mac) { speakers.insert(number) }
            advertiser.solicited(by: address, mac, now: network.loop.now)
            arm()
        }
        watchRoutes()
        offer()
        arm()
    }

    private var advertises: Bool { plan.mirror?.advertises ?? true }

    /// What guest ends of this program learn with their IPv4 lease.
    private func offer() {
        // The guest's address has no number there.
        guard plan.mirror == nil else { return }
        network.dhcp.ipv6 = IPv6Offer(
            prefix: plan.prefix,
            hasDefaultRoute: advertiser.isDefaultRouter
        )
    }

    /// Tells guests that the router is gone (RFC 4861, 6.2.5).
    func close() {
        if let timer { network.loop.cancel(timer.token) }
        timer = nil
        routes?.close()
        routes = nil
        network.engine.datagramServices[DHCPv6Message.serverPort] = nil
        network.engine.routerSolicited = { _, _ in }
        network.engine.neighborHeard = { _ in }
        guard advertises else { return }
        send(advertiser.farewell())
        // The links close next.
        network.engine.ethernet.flush(now: network.loop.now)
    }

    /// Announces the router to a link whose guests begin to use IPv6, or use it still after this
    /// program has started again.
    private func heard(_ guest: IPAddress) {
        let ethernet = network.engine.ethernet
        guard let mac = ethernet.neighbors.mac(of: guest),
            let number = ethernet.linkNumber(of: mac), speakers.insert(number).inserted
        else { return }
        advertiser.announce(now: network.loop.now)
        arm()
    }

    private func watchRoutes() {
        guard network.settings.ipv6 == .auto else { return }
        do {
            let routes = try HostRouteWatch(loop: network.loop) { [unowned self] hasRoute in
                routesChanged(hasRoute)
            }
            self.routes = routes
            routesChanged(routes.hasRoute)
        } catch {
            network.log.warning("cannot watch the host's routes", ["cause": "\(error)"])
        }
    }

    private func routesChanged(_ hasRoute: Bool) {
        guard hasRoute != advertiser.isDefaultRouter else { return }
        network.log.info("IPv6 default route", ["state": hasRoute ? "present" : "absent"])
        advertiser.setDefaultRouter(hasRoute, now: network.loop.now)
        offer()
        callForRenewals()
        arm()
    }

    private func callForRenewals() {
        let source = Endpoint(address: network.engine.plan.gateway, port: DHCPMessage.serverPort)
        for (message, client) in network.dhcp.renewalCalls(now: network.loop.now) {
            let destination = Endpoint(address: client, port: DHCPMessage.clientPort)
            network.send(message.octets, from: source, to: destination)
        }
    }

    // MARK: Router advertisements

    func timerFired(now: Instant) {
        timer = nil
        for transmission in advertiser.transmissions(now: now) { send(transmission) }
        arm()
    }

    private func arm() {
        // Nobody hears a router without guests that use IPv6.
        guard !speakers.isEmpty else { return }
        let deadline = advertiser.nextDeadline
        if let timer {
            guard deadline < timer.deadline else { return }
            network.loop.cancel(timer.token)
        }
        timer = (network.loop.schedule(deadline, observer: self), deadline)
    }

    private func send(_ transmission: RouterAdvertiser.Transmission) {
        let ethernet = network.engine.ethernet
        guard transmission.destination.isMulticast else {
            if let link = ethernet.link(of: transmission.destinationMAC) {
                send(transmission, on: link)
            }
            return
        }
        let links = ethernet.numbered.filter { speakers.contains($0.number) }
        speakers = Set(links.map(\.number))
        for (_, link) in links { send(transmission, on: link) }
    }

    private func send(_ transmission: RouterAdvertiser.Transmission, on link: any FrameLink) {
        network.engine.network.writer.sendOnLink(
            transmission.octets,
            from: plan.linkLocal,
            to: transmission.destination,
            mac: transmission.destinationMAC,
            on: link
        )
    }

    // MARK: DHCPv6

    private func answer(_ datagram: ServiceDatagram) {
        // All other addresses of the host's network belong to its machines.
        guard plan.mirror == nil || datagram.sourceMAC == network.settings.guestMAC else { return }
        let exhausted = server.statistics.exhausted
        haveLeasesChanged = false
        let now = network.loop.now
        let answer = server.respond(to: datagram, leasing: &network.dhcp.pool, now: now)
        if server.statistics.exhausted != exhausted { network.poolIsExhausted() }
        for (address, label) in newNames {
            let end = now + server.configuration.leaseTime
            network.dhcp.guestNames.set(label, of: address, until: end, now: now)
        }
        newNames = []
        if haveLeasesChanged { network.dhcp.leasesChanged() }
        guard let answer else { return }
        answer.withUnsafeBytes { payload in
            network.engine.network.send(
                payload,
                from: Endpoint(address: plan.linkLocal, port: DHCPv6Message.serverPort),
                to: datagram.source,
                mac: datagram.sourceMAC,
                on: network.engine.ethernet.link(of: datagram.sourceMAC)
            )
        }
    }

    /// Counts of DHCPv6 messages.
    var statistics: DHCPv6Server.Counters { server.statistics }

    /// The currently bound addresses.
    func leases(now: Instant) -> [DHCPv6Server.Lease] {
        server.leases(in: network.dhcp.pool, now: now)
    }

    /// Every lease, also those that have lapsed.
    var records: [DHCPv6Server.Lease] { server.records(in: network.dhcp.pool) }

    /// Adds a lease of an earlier run with its holder's host name.
    ///
    /// - Returns: Whether its holder may still have the address.
    func restore(_ lease: DHCPv6Server.Lease, name: String?) -> Bool {
        let now = network.loop.now
        guard server.restore(lease, in: &network.dhcp.pool, now: now) else { return false }
        let end = min(lease.expires, now + server.configuration.leaseTime)
        let name = name.map { Array($0.utf8) }
        network.dhcp.guestNames.set(name, of: lease.address, until: end, now: now)
        return true
    }
}
