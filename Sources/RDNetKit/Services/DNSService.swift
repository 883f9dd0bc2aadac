/// The settings of the DNS service.
struct DNSSettings {
    /// The address that stands for the host's loopback.
    var hostAlias: IPAddress
    /// The virtual network; the service answers its reverse zones.
    var subnet = Subnet.standard
    /// The network's IPv6 side; nil if it has none.
    var ipv6: IPv6Plan?
    var hostsPath = "/etc/hosts"
    var resolverPath = "/etc/resolv.conf"
    /// Whether queries for names below `local` also go to the host's links.
    var usesMulticast = true
    /// Whether guests can reach 169.254.0.0/16.
    var allowsLinkLocal = false
    /// Servers to query instead of those in the file; if empty, the file's servers are used.
    var servers: [ZonedEndpoint] = []
    /// Limit on concurrent connections; when it is reached, the oldest idle one makes room.
    var connections = 256
    var connectionLimits = DNSConnection.Limits()
    var forwarderLimits = DNSForwarder.Limits()

    /// Whether an address on the host's links means the same to a guest.
    ///
    /// An address of the virtual network would lead to another guest or, through the host alias, to
    /// the host's own services. An IPv6 link-local address belongs to a link that the guest does
    /// not have.
    func isUsable(_ address: IPAddress) -> Bool {
        if address.isLoopback || address.isUnspecified || address.isMulticast { return false }
        if subnet.contains(address) || address == .broadcastIPv4 { return false }
        if let ipv6, ipv6.prefix.contains(address) { return false }
        return !address.isLinkLocal || address.isIPv4 && allowsLinkLocal
    }

    /// The IPv4 address of the machine that has an IPv6 address of the network; nil if there is
    /// none.
    fileprivate func ipv4(matching address: IPAddress) -> IPAddress? {
        guard let ipv6 else { return nil }
        let own = address == .gatewayLinkLocal ? ipv6.gateway : address
        return ipv6.prefix.ipv4(matching: own, in: subnet)
    }

    /// The IPv6 addresses of the gateway and of the host alias, by their IPv4 addresses.
    fileprivate var twins: [IPAddress: IPAddress] {
        var twins: [IPAddress: IPAddress] = [:]
        for case let address? in [ipv6?.gateway, ipv6?.hostAlias] {
            if let ipv4 = ipv4(matching: address) { twins[ipv4] = address }
        }
        return twins
    }
}

/// The gateway's DNS server: answers zones and the host's names itself, and forwards all other
/// queries to the host's resolvers.
///
/// The first source that knows the name answers. The sources are, in this order: localhost (RFC
/// 6761), the zones in their order, the guests' host names in the first zone, the hosts file, the
/// reverse zones of the virtual network and those that must not leave the network (RFC 6303), the
/// resolvers, and, for names below `local`, the host's links. The service and its parts never block
/// and open no listening socket; the caller passes datagrams and streams in.
final class DNSService {
    /// Sends answers to datagrams; set by the caller that passes the datagrams in.
    weak var sender: (any DatagramSender)?
    /// What guests may resolve; nil for everything.
    var policy: EgressPolicy?
    /// Returns the guests' host names.
    var guestNames: () -> GuestNames = { GuestNames() }
    /// Returns the IPv6 address with the number of a guest's IPv4 address; nil if the guest does
    /// not have it.
    var guestIPv6: (IPAddress) -> IPAddress? = { _ in nil }
    /// Returns the IPv4 address with the number of a guest's leased IPv6 address; nil if the guest
    /// does not have it.
    var guestIPv4: (IPAddress) -> IPAddress? = { _ in nil }
    /// The gateway's own names.
    var zones: DNSZones {
        didSet { zoneNames = nil }
    }
    /// The zones' names by address, built on first use.
    private var zoneNames: [IPAddress: DNSName]?
    /// Shared by the connections: each one empties it before the next one reads.
    let buffer = ReceiveBuffer()

    /// The resolvers' time limit for a name below `local`: a guest gives up after five seconds.
    private static let localPatience = Duration.seconds(3)

    private let loop: EventLoop
    private let settings: DNSSettings
    private let log: Logger
    private let limits: LimitLog
    private let forwarder: DNSForwarder
    private let multicast: MulticastResolver?
    private let reverseZones: ReverseZones
    private let twins: [IPAddress: IPAddress]
    private var hosts: HostsFile
    private var resolvers: HostResolvers
    private var connections: [DNSConnection] = []
    private var counts = DNSCounters()
    /// The names that guests have resolved.
    var names = AnsweredNames()

    init(
        loop: EventLoop,
        settings: DNSSettings,
        zones: DNSZones,
        random: any RandomNumberGenerator,
        log: Logger,
        reporting limitLog: LimitLog = .discarding()
    ) {
        self.loop = loop
        self.settings = settings
        self.zones = zones
        self.log = log
        limits = limitLog
        reverseZones = ReverseZones(subnet: settings.subnet, prefix: settings.ipv6?.prefix)
        twins = settings.twins
        hosts = HostsFile(
            path: settings.hostsPath,
            hostAlias: settings.hostAlias,
            hostAliasIPv6: settings.ipv6?.hostAlias
        )
        resolvers = HostResolvers(path: settings.resolverPath, fixedServers: settings.servers)
        forwarder = DNSForwarder(
            loop: loop,
            limits: settings.forwarderLimits,
            random: random,
            log: log,
            reporting: limitLog
        )
        multicast =
            !settings.usesMulticast
            ? nil
            : MulticastResolver(
                loop: loop,
                buffer: buffer,
                random: random,
                reporting: limitLog,
                isUsable: settings.isUsable
            )
    }

    /// Sends the queries in flight again from new sockets, because the machine has lost an address.
    func addressesLost() {
        forwarder.restart()
    }

    /// The current counters.
    var counters: DNSCounters {
        var counters = counts
        counters.forwarder = forwarder.counters
        counters.multicast = multicast?.counters ?? MulticastResolver.Counters()
        counters.inFlight = UInt64(forwarder.inFlight)
        counters.upstreamSockets = UInt64(forwarder.socketCount + (multicast?.socketCount ?? 0))
        counters.connections = UInt64(connections.count)
        return counters
    }

    /// The host's resolvers in the order of use, and what queries to each have met.
    ///
    /// - Parameter now: The loop's clock.
    /// - Returns: A pair for each server, also for those that were not needed.
    func resolverUses(now: Instant) -> [(server: ZonedEndpoint, use: ResolverUse)] {
        refresh(now: now)
        return resolvers.configuration.servers.map { ($0, forwarder.watch.use(of: $0)) }
    }

    /// Returns the host's search domains, so that guests can use the same ones.
    ///
    /// - Parameter now: The loop's clock.
    /// - Returns: The domains in the order of the host's current resolv.conf.
    func searchDomains(now: Instant) -> [String] {
        refresh(now: now)
        return resolvers.configuration.searchDomains
    }

    /// Handles a datagram that a guest sent to port 53.
    func receive(_ datagram: ServiceDatagram, now: Instant) {
        refresh(now: now)
        let (client, gateway) = (datagram.source, datagram.destination)
        let query: DNSQuery
        do {
            query = try DNSQuery(reading: datagram.payload)
        } catch {
            guard let answer = refusal(error, of: datagram.payload) else { return }
            sender?.send(answer, from: gateway, to: client)
            return
        }
        resolve(query, for: client.address, from: client) { [weak self] answer in
            self?.send(answer, to: query, from: gateway, to: client)
        }
    }

    private func send(
        _ answer: [UInt8],
        to query: DNSQuery,
        from gateway: Endpoint,
        to client: Endpoint
    ) {
        if answer.count > query.datagramLimit { counts.truncated += 1 }
        sender?.send(query.fitted(answer), from: gateway, to: client)
    }

    /// Handles a message from a stream.
    ///
    /// - Parameters:
    ///   - message: The message without its length.
    ///   - peer: The client.
    ///   - reply: Called once, now or later, if there is an answer.
    /// - Returns: Whether there is or will be an answer.
    func receive(
        _ message: [UInt8],
        from peer: Endpoint? = nil,
        reply: @escaping ([UInt8]) -> Void
    ) -> Bool {
        refresh(now: loop.now)
        do {
            let query = try DNSQuery(reading: message)
            counts.streamQueries += 1
            resolve(query, for: peer?.address, from: nil, reply: reply)
        } catch {
            guard let answer = refusal(error, of: message) else { return false }
            reply(answer)
        }
        return true
    }

    private func refusal(_ refusal: DNSRefusal, of message: [UInt8]) -> [UInt8]? {
        switch refusal {
        case .silence:
            counts.dropped += 1
            return nil
        case .answer(let code):
            counts.refused += 1
            return DNSQuery.refusal(code, to: message)
        }
    }

    private func resolve(
        _ query: DNSQuery,
        for guest: IPAddress?,
        from client: Endpoint?,
        reply: @escaping ([UInt8]) -> Void
    ) {
        let screen = policy.map { NameScreen($0, query, for: guest ?? .anyIPv4) }
        counts.queries += 1
        let question = query.question
        log.debug(
            "DNS query",
            ["name": question.name.description, "type": String(question.type.rawValue)]
        )
        if let known = localAnswer(to: question) {
            counts.local += 1
            for case .address(let address) in known.records { names.note(address, question.name) }
            screen?.pin(known)
            return reply(query.answer(known.code, known.records, zone: known.zone))
        }
        if let refusal = screen?.refusal {
            counts.denied += 1
            return reply(refusal)
        }
        // A zone transfer takes many messages; a stub resolver's server has no use for it.
        guard question.type != .axfr else {
            counts.refused += 1
            return reply(query.failure(.notImplemented))
        }
        let noting = { [weak self] (answer: [UInt8]) in
            self?.names.note(answer, to: question)
            reply(answer)
        }
        let reply = screen.map { screen in { noting(screen.screened($0)) } } ?? noting
        guard let multicast, MulticastDNS.serves(question) else {
            return forwarder.forward(query, from: client, reply: reply)
        }
        forwarder.forward(query, from: client, within: Self.localPatience) { answer in
            multicast.complete(answer, to: query, reply: reply)
        }
    }

    private func localAnswer(to question: DNSQuestion) -> DNSLocalAnswer? {
        let isInternet = [DNSQuestion.internet, DNSQuestion.anyClass].contains(question.recordClass)
        guard isInternet else { return nil }
        return HostsTable.localhostAnswer(to: question) ?? zoneAnswer(to: question)
            ?? hosts.table.answer(to: question)
            ?? reverseZones.answer(to: question, naming: name(of:))
    }

    /// Returns the zones' answer; a name that the first zone lacks may be a guest's host name.
    private func zoneAnswer(to question: DNSQuestion) -> DNSLocalAnswer? {
        guard let answer = zones.answer(to: question, adding: twins) else { return nil }
        guard answer.code == .nameError, let domain = zones.firstDomain,
            let offset = question.name.offset(of: domain),
            let label = question.name.prefix(before: offset).onlyLabel,
            let address = guestNames().address(of: label, now: loop.now)
        else { return answer }
        let twin = address.isIPv4 ? guestIPv6(address) : guestIPv4(address)
        let addresses = [address, twin].compactMap(\.self)
        return .addresses(addresses, for: question, zone: offset)
    }

    /// Returns the name of an address in the virtual network.
    private func name(of address: IPAddress) -> DNSName? {
        let names = zoneNames ?? zones.namesByAddress
        zoneNames = names
        if let name = names[address] { return name }
        var machine = address
        if !address.isIPv4 {
            guard let ipv4 = settings.ipv4(matching: address) else { return nil }
            if twins[ipv4] != nil { return names[ipv4] }
            if guestIPv6(ipv4) == address { machine = ipv4 }
        }
        let guests = guestNames()
        let label =
            guests.name(of: machine, now: loop.now) ?? guests.name(of: address, now: loop.now)
        guard let guest = label.flatMap({ DNSName($0) }) else { return nil }
        guard let domain = zones.firstDomain else { return guest }
        // A guest cannot take over a name that a zone has defined.
        return guest.below(domain).flatMap { zones.hasRecord(of: $0) ? nil : $0 }
    }

    private func refresh(now: Instant) {
        if hosts.refresh(now: now) {
            log.debug("hosts file read", ["file": settings.hostsPath])
            if hosts.isCut { limits.reached(.hostsBytes, maximum: HostsFile.limit) }
            if hosts.table.isCut { limits.reached(.hostsNames, maximum: HostsTable.nameLimit) }
        }
        guard resolvers.refresh(now: now) else { return }
        let configuration = resolvers.configuration
        reportIgnored(configuration)
        forwarder.configuration = configuration
        let servers = configuration.servers.map(\.description).joined(separator: " ")
        if servers.isEmpty {
            log.warning("no DNS server", ["file": settings.resolverPath])
        } else {
            log.info("DNS servers", ["servers": servers])
        }
    }

    private func reportIgnored(_ configuration: ResolverConfiguration) {
        if resolvers.isCut { limits.reached(.resolverBytes, maximum: HostResolvers.limit) }
        let (servers, domains) = (configuration.ignoredServers, configuration.ignoredDomains)
        if servers > 0, settings.servers.isEmpty {
            let maximum = ResolverConfiguration.serverLimit
            limits.reached(.resolvers, maximum: maximum, count: servers)
        }
        if domains > 0 {
            let maximum = ResolverConfiguration.searchLimit
            limits.reached(.searchDomains, maximum: maximum, count: domains)
        }
    }
}

extension DNSService: StreamService {
    func accept(_ stream: consuming OwnedDescriptor, from peer: Endpoint?) {
        if connections.count >= settings.connections {
            limits.reached(.dnsConnections, maximum: settings.connections)
            counts.refusedConnections += 1
            guard let idle = connections.first(where: \.isIdle) else { return }
            idle.close()
        }
        do {
            connections.append(
                try DNSConnection(
                    stream,
                    from: peer,
                    loop: loop,
                    service: self,
                    limits: settings.connectionLimits
                )
            )
        } catch {
            counts.refusedConnections += 1
            log.warning("DNS connection refused", ["error": error.description])
        }
    }

    /// Removes a closed connection.
    func connectionClosed(_ connection: DNSConnection) {
        connections.removeAll { $0 === connection }
    }
}
