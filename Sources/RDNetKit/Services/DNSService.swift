/// What the DNS service needs to know.
struct DNSSettings {
    /// The address that stands for the host's loopback.
    var hostAlias: IPAddress
    /// The virtual network, whose reverse zones are answered here.
    var subnet = Subnet.standard
    var hostsPath = "/etc/hosts"
    var resolverPath = "/etc/resolv.conf"
    /// Servers to ask instead of those in the file; none leaves it to the file.
    var servers: [ZonedEndpoint] = []
    /// Connections at a time; beyond, the oldest idle one makes room.
    var connections = 256
    var connectionLimits = DNSConnection.Limits()
    var forwarderLimits = DNSForwarder.Limits()
}

/// What the DNS service has done so far.
struct DNSCounters: Equatable {
    /// Queries that were taken, over UDP and streams.
    var queries = 0
    /// Of these, over streams.
    var streamQueries = 0
    /// Answered from localhost, the zones and the hosts file.
    var local = 0
    /// Answered with an error code because of the message itself.
    var refused = 0
    /// Messages without an answer: shorter than a header, or answers themselves.
    var dropped = 0
    /// Answers cut to the client's UDP limit.
    var truncated = 0
    /// Streams closed at once, or early, for want of room.
    var refusedConnections = 0
    /// Those of the way to the host's resolvers.
    var forwarder = DNSForwarder.Counters()
    /// At this moment: queries that wait for a resolver.
    var inFlight = 0
    /// At this moment: sockets open towards resolvers.
    var upstreamSockets = 0
    /// At this moment: clients' streams.
    var connections = 0
}

/// The gateway's DNS server: it answers zones and the host's names itself, and all else by the
/// host's resolvers.
///
/// The first that knows a question's name answers: localhost (RFC 6761), the zones in their order,
/// the guests' host names in the first zone, the hosts file, the reverse zones of the virtual
/// network and those that no server should be asked about (RFC 6303), the resolvers. Neither this
/// nor what it uses waits for anything or opens a listening socket: datagrams and streams are
/// handed in.
final class DNSService {
    /// Where answers to datagrams go; set by whoever hands the datagrams in.
    weak var sender: (any DatagramSender)?
    /// Gives the guests' host names.
    var guestNames: () -> GuestNames = { GuestNames() }
    /// The gateway's own names.
    var zones: DNSZones {
        didSet { zoneNames = nil }
    }
    /// The zones' names by address, made when somebody asks for one.
    private var zoneNames: [IPAddress: DNSName]?
    /// Shared by the connections: each empties it before the next reads.
    let buffer = ReceiveBuffer()

    private let loop: EventLoop
    private let settings: DNSSettings
    private let log: Logger
    private let limits: LimitLog
    private let forwarder: DNSForwarder
    private let reverseZones: ReverseZones
    private var hosts: HostsFile
    private var resolvers: HostResolvers
    private var connections: [DNSConnection] = []
    private var counts = DNSCounters()

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
        reverseZones = ReverseZones(subnet: settings.subnet)
        hosts = HostsFile(path: settings.hostsPath, hostAlias: settings.hostAlias)
        resolvers = HostResolvers(path: settings.resolverPath, fixedServers: settings.servers)
        forwarder = DNSForwarder(
            loop: loop,
            limits: settings.forwarderLimits,
            random: random,
            log: log,
            reporting: limitLog
        )
    }

    /// What has happened so far.
    var counters: DNSCounters {
        var counters = counts
        counters.forwarder = forwarder.counters
        counters.inFlight = forwarder.inFlight
        counters.upstreamSockets = forwarder.socketCount
        counters.connections = connections.count
        return counters
    }

    /// The domains that the host looks its short names up in, for guests to do the same.
    ///
    /// - Parameter now: The loop's clock.
    /// - Returns: In the order of the host's resolv.conf, as it is now.
    func searchDomains(now: Instant) -> [String] {
        refresh(now: now)
        return resolvers.configuration.searchDomains
    }

    /// Takes a datagram that a guest sent to port 53.
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
        resolve(query, from: client) { [weak self] answer in
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

    /// Takes a message that came over a stream.
    ///
    /// - Parameters:
    ///   - message: Without its length.
    ///   - reply: Is called once, now or later, if there is an answer.
    /// - Returns: Whether there is or will be one.
    func receive(_ message: [UInt8], reply: @escaping ([UInt8]) -> Void) -> Bool {
        refresh(now: loop.now)
        do {
            let query = try DNSQuery(reading: message)
            counts.streamQueries += 1
            resolve(query, from: nil, reply: reply)
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
        from client: Endpoint?,
        reply: @escaping ([UInt8]) -> Void
    ) {
        counts.queries += 1
        let question = query.question
        log.debug(
            "DNS query",
            ["name": question.name.description, "type": String(question.type.rawValue)]
        )
        if let known = localAnswer(to: question) {
            counts.local += 1
            return reply(query.answer(known.code, known.records, zone: known.zone))
        }
        // A zone transfer answers with many messages; a stub's server has no use for it.
        guard question.type != .axfr else {
            counts.refused += 1
            return reply(query.failure(.notImplemented))
        }
        forwarder.forward(query, from: client, reply: reply)
    }

    private func localAnswer(to question: DNSQuestion) -> DNSLocalAnswer? {
        let isInternet = [DNSQuestion.internet, DNSQuestion.anyClass].contains(question.recordClass)
        guard isInternet else { return nil }
        return HostsTable.localhostAnswer(to: question) ?? zoneAnswer(to: question)
            ?? hosts.table.answer(to: question)
            ?? reverseZones.answer(to: question, naming: name(of:))
    }

    /// The zones' answer; names that the first zone does not have may be the guests'.
    private func zoneAnswer(to question: DNSQuestion) -> DNSLocalAnswer? {
        guard let answer = zones.answer(to: question) else { return nil }
        guard answer.code == .nameError, let domain = zones.firstDomain,
            let offset = question.name.offset(of: domain),
            let label = question.name.prefix(before: offset).onlyLabel,
            let address = guestNames().address(of: label, now: loop.now)
        else { return answer }
        return .addresses([address], for: question, zone: offset)
    }

    /// What an address of the virtual network is called.
    private func name(of address: IPAddress) -> DNSName? {
        let names = zoneNames ?? zones.namesByAddress
        zoneNames = names
        if let name = names[address] { return name }
        let guest = guestNames().name(of: address, now: loop.now).flatMap { DNSName($0) }
        guard let guest else {
            return nil
        }
        guard let domain = zones.firstDomain else { return guest }
        // A guest does not take a name that a zone has given.
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

    /// Forgets a connection that has ended.
    func connectionClosed(_ connection: DNSConnection) {
        connections.removeAll { $0 === connection }
    }
}
