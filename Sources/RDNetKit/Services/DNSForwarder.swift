/// Forwards queries to the host's resolvers and returns their answers unchanged, except for the
/// identifier and the spelling of the name.
///
/// How it works: Every query starts at the first server of the host's resolv.conf, regardless of
/// other queries, because later servers often do not know the names of the first. If a server stays
/// silent for the configured time, the query also goes to the next one; a late answer still counts.
/// If a server fails, refuses or is unreachable, the query goes to the next one at once. When no
/// server is left, the requester gets a server's own failure, or else SERVFAIL. It never gets a
/// "does not exist" that no server sent. A query from a stream goes to each server first over TCP,
/// because its answer may be long, and then over UDP, before it goes to the next server.
///
/// Silent servers: `SilentServers` remembers a silent server for a few seconds. A query still goes
/// to it first, but at the same time to the next server, whose answer is held back. It is held for
/// `headStart`, or, if it is "does not exist", for the full time that the silent server would have
/// had anyway. A server that is down therefore costs little time, and a server that only lost a
/// datagram still decides.
///
/// Sockets: Each query has its own socket and therefore its own random port (RFC 5452, section
/// 9.2), up to `datagramSockets` per server; beyond that, queries share sockets. A socket that has
/// sent `usesPerSocket` queries takes no more.
///
/// Limits: The forwarder limits the queries in flight (the oldest fails to make room), the sockets
/// per server, the tries per query, and the duration of a query.
final class DNSForwarder {
    /// Limits of the forwarder.
    struct Limits {
        var queriesInFlight = 10_000
        /// UDP sockets per server.
        var datagramSockets = 64
        /// TCP connections per server.
        var streamSockets = 8
        /// Queries after which a new socket at another port replaces a socket.
        var usesPerSocket = 500
        /// Replaced sockets that still wait for answers.
        var drainingSockets = 64
        /// The maximum time that a requester waits.
        var lifetime = Duration.seconds(10)
        /// The time that a recently silent server has to answer before the next one's answer
        /// counts.
        var headStart = Duration.milliseconds(500)
    }

    /// The identity of a UDP query: its client, its identifier and its question.
    struct Key: Hashable {
        var source: Endpoint
        var id: UInt16
        var question: ArraySlice<UInt8>
    }

    /// Half of all identifiers.
    private static let queriesPerSocket = 0x8000

    /// Shared by the channels: each one empties it before the next one reads.
    let buffer = ReceiveBuffer()
    private(set) var counters = Counters()
    /// The resolvers; when the servers change, queries in flight restart, because the old servers
    /// may be unreachable now.
    var configuration = ResolverConfiguration() {
        didSet {
            guard configuration.servers != oldValue.servers else { return }
            watch.keep(configuration.servers)
            restart()
        }
    }

    private let loop: EventLoop
    private let limits: Limits
    private let log: Logger
    private let limitLog: LimitLog
    private var random: any RandomNumberGenerator
    private var silent = SilentServers()
    /// What queries to each server have met.
    private(set) var watch: ResolverWatch
    private var byKey: [Key: ForwardedQuery] = [:]
    /// Queries in order of age, oldest first; finished ones stay until the next sweep.
    private var byAge: [ForwardedQuery] = []
    private var oldest = 0
    /// The number of queries that wait for an answer.
    private(set) var inFlight = 0
    private var channels: [DNSUpstream: [DNSUpstreamChannel]] = [:]
    private var draining: [ObjectIdentifier: DNSUpstreamChannel] = [:]

    init(
        loop: EventLoop,
        limits: Limits = Limits(),
        random: any RandomNumberGenerator,
        log: Logger,
        reporting limitLog: LimitLog
    ) {
        self.limitLog = limitLog
        self.loop = loop
        self.limits = limits
        self.random = random
        self.log = log
        watch = ResolverWatch(log)
    }

    /// The number of open sockets.
    var socketCount: Int { channels.values.reduce(draining.count) { $0 + $1.count } }

    // MARK: Towards the servers

    /// Forwards a query.
    ///
    /// - Parameters:
    ///   - query: The query, which is sent unchanged except for its identifier.
    ///   - source: The client of a UDP query; nil for a query from a stream.
    ///   - limit: A shorter time limit than the default.
    ///   - reply: Called once with an answer of any length; not called for a retransmission.
    func forward(
        _ query: DNSQuery,
        from source: Endpoint?,
        within limit: Duration? = nil,
        reply: @escaping ([UInt8]) -> Void
    ) {
        let key = source.map {
            Key(source: $0, id: query.header.id, question: query.questionOctets)
        }
        if let key, byKey[key] != nil {
            counters.retransmissions += 1
            return
        }
        counters.queries += 1
        makeRoom()
        let forwarded = ForwardedQuery(
            query,
            key: key,
            configuration: configuration,
            candidates: candidates(overStream: source == nil),
            deadline: loop.now + min(limits.lifetime, limit ?? limits.lifetime),
            forwarder: self,
            reply: reply
        )
        if let key { byKey[key] = forwarded }
        byAge.append(forwarded)
        inFlight += 1
        advance(forwarded)
    }

    /// The servers to query, in the order of resolv.conf, each over every suitable transport.
    ///
    /// `options rotate` declares the servers equal; only then may another server come first.
    private func candidates(overStream: Bool) -> [DNSUpstream] {
        let transports: [DNSUpstream.Transport] = overStream ? [.stream, .datagram] : [.datagram]
        let servers = configuration.servers
        let isRotated = configuration.rotates && servers.count > 1
        let first = isRotated ? Int.random(in: servers.indices, using: &random) : 0
        let ordered = servers[first...] + servers[..<first]
        return ordered.flatMap { server in
            transports.map { DNSUpstream(server: server, transport: $0) }
        }
    }

    /// Restarts every query in flight, on new sockets, with the current servers.
    func restart() {
        silent = SilentServers()
        for query in byAge[oldest...] where !query.isFinished {
            for attempt in query.tries { release(attempt.id, on: attempt.channel) }
            query.restart(configuration, candidates(overStream: query.key == nil))
            advance(query)
        }
    }

    /// Queries the next server, or finishes the query if no server is left to query or to wait for.
    private func advance(_ query: ForwardedQuery) {
        if let held = query.held {
            if !query.isOutranked(held.rank) { succeed(query, held.message) }
            return
        }
        let now = loop.now
        var asked = 0
        while !query.isFinished, let upstream = query.nextCandidate() {
            guard ask(upstream, query, now: now) else {
                query.exclude(upstream)
                continue
            }
            asked += 1
            let isLast = asked >= query.candidateCount
            if isLast || !silent.contains(upstream.server, now: now) { break }
        }
        if query.isFinished { return }
        if query.tries.isEmpty { return fail(query) }
        wait(query, until: asked > 0 ? query.patience(from: now) : query.deadline)
    }

    private func wait(_ query: ForwardedQuery, until end: Instant) {
        if let timer = query.timer { loop.cancel(timer) }
        query.timer = loop.schedule(end, observer: query)
    }

    private func ask(_ upstream: DNSUpstream, _ query: ForwardedQuery, now: Instant) -> Bool {
        guard let channel = channel(to: upstream), channel.waiting.count < Self.queriesPerSocket
        else {
            return false
        }
        var id = UInt16.random(in: 0...UInt16.max, using: &random)
        // At least every other identifier is free, so the search is short.
        while channel.waiting[id] != nil { id &+= 1 }
        do {
            try channel.send(query, id: id)
        } catch {
            channelFailed(channel, because: error.description, isUsable: false)
            return false
        }
        counters.tries += 1
        watch.asked(upstream.server)
        query.remember(ForwardedQuery.Try(channel: channel, id: id, start: now))
        if channel.uses >= limits.usesPerSocket { retire(channel) }
        return true
    }

    // MARK: From the servers

    /// Handles an answer whose identifier and question match a waiting query.
    func answered(
        _ query: ForwardedQuery,
        by message: [UInt8],
        on channel: DNSUpstreamChannel,
        id: UInt16
    ) {
        silent.heard(from: channel.upstream.server, now: loop.now)
        let attempt = query.take(channel, id: id)
        release(id, on: channel)
        let flags = DNSFlags(rawValue: UInt16(message[2]) << 8 | UInt16(message[3]))
        watch.answered(
            channel.upstream.server,
            isFailure: [.serverFailure, .refused].contains(flags.responseCode),
            after: attempt.map { loop.now - $0.start },
            now: loop.now
        )
        guard let attempt else { return }
        switch flags.responseCode {
        case .serverFailure, .refused:
            query.failure = message
        case _ where query.needsWhole && flags.contains(.truncated):
            // Useless for a stream, but proof that the name exists.
            query.isKnownToExist = true
        case .nameError where query.isKnownToExist:
            break
        case _ where query.isOutranked(query.rank(of: attempt)):
            return hold(query, message, attempt, isDenial: flags.responseCode == .nameError)
        default:
            return succeed(query, message)
        }
        query.exclude(channel.upstream)
        advance(query)
    }

    /// Holds an answer back while a server earlier in the order may still answer.
    private func hold(
        _ query: ForwardedQuery,
        _ message: [UInt8],
        _ attempt: ForwardedQuery.Try,
        isDenial: Bool
    ) {
        let rank = query.rank(of: attempt)
        if let held = query.held, held.rank <= rank { return }
        query.held = ForwardedQuery.Answer(message: message, rank: rank)
        let limit = isDenial ? query.timeout : limits.headStart
        wait(query, until: query.patience(from: attempt.start, atMost: limit))
    }

    /// Counts a message that answers no query.
    func dropped() {
        counters.dropped += 1
    }

    /// Closes a socket and sends its waiting queries elsewhere.
    ///
    /// - Parameters:
    ///   - channel: The channel to close.
    ///   - reason: For the log.
    ///   - isUsable: Whether the same queries may go to its server again.
    func channelFailed(_ channel: DNSUpstreamChannel, because reason: String, isUsable: Bool) {
        log.debug(
            "DNS server does not answer",
            ["server": channel.upstream.server.description, "error": reason]
        )
        // A server may close an idle connection at any time.
        if !isUsable { watch.failed(channel.upstream, because: reason, now: loop.now) }
        let stranded = channel.waiting.values
        discard(channel)
        for query in stranded where !query.isFinished {
            query.forget(channel)
            if !isUsable { query.exclude(channel.upstream) }
            advance(query)
        }
    }

    /// Continues a query whose server has stayed silent.
    func timedOut(_ query: ForwardedQuery, now: Instant) {
        for attempt in query.tries where now >= attempt.start + query.timeout {
            silent.missed(attempt.channel.upstream.server, since: attempt.start, now: now)
        }
        noteMissed(query, after: query.timeout)
        if let held = query.held { return succeed(query, held.message) }
        query.endPatience()
        if now >= query.deadline { fail(query) } else { advance(query) }
    }

    private func noteMissed(_ query: ForwardedQuery, after time: Duration) {
        for attempt in query.takeMissed(after: time, now: loop.now) {
            watch.missed(attempt.channel.upstream.server, since: attempt.start, now: loop.now)
        }
    }

    private func succeed(_ query: ForwardedQuery, _ answer: [UInt8]) {
        counters.answered += 1
        finish(query, answer)
    }

    private func fail(_ query: ForwardedQuery) {
        counters.failed += 1
        finish(query, query.failure ?? query.query.failure(.serverFailure))
    }

    private func finish(_ query: ForwardedQuery, _ answer: [UInt8]) {
        if let timer = query.timer { loop.cancel(timer) }
        if let key = query.key { byKey[key] = nil }
        inFlight -= 1
        // A server that others have outrun has had this long.
        noteMissed(query, after: limits.headStart)
        for attempt in query.tries { release(attempt.id, on: attempt.channel) }
        query.finish(query.query.restoring(answer))
    }

    // MARK: Room

    private func makeRoom() {
        while inFlight >= limits.queriesInFlight, oldest < byAge.count {
            let query = byAge[oldest]
            oldest += 1
            guard !query.isFinished else { continue }
            counters.evicted += 1
            limitLog.reached(.dnsQueries, maximum: limits.queriesInFlight)
            fail(query)
        }
        // Each sweep removes about as many as were added since the last, so its cost per query is
        // constant.
        if byAge.count >= 2 * inFlight + 64 {
            byAge = byAge[oldest...].filter { !$0.isFinished }
            oldest = 0
        }
    }

    private func channel(to upstream: DNSUpstream) -> DNSUpstreamChannel? {
        let open = channels[upstream] ?? []
        let limit =
            switch upstream.transport {
            case .datagram: limits.datagramSockets
            case .stream: limits.streamSockets
            }
        if open.count >= limit { return open.randomElement(using: &random) }
        do {
            let channel = try DNSUpstreamChannel(to: upstream, loop: loop, forwarder: self)
            channels[upstream, default: []].append(channel)
            return channel
        } catch {
            log.debug(
                "DNS server cannot be reached",
                ["server": upstream.server.description, "error": error.description]
            )
            watch.failed(upstream, because: error.description, now: loop.now)
            return open.randomElement(using: &random)
        }
    }

    private func release(_ id: UInt16, on channel: DNSUpstreamChannel) {
        channel.release(id)
        if channel.waiting.isEmpty { discard(channel) }
    }

    private func retire(_ channel: DNSUpstreamChannel) {
        guard draining.count < limits.drainingSockets else { return }
        channels[channel.upstream]?.removeAll { $0 === channel }
        draining[ObjectIdentifier(channel)] = channel
    }

    private func discard(_ channel: DNSUpstreamChannel) {
        channel.close()
        draining[ObjectIdentifier(channel)] = nil
        channels[channel.upstream]?.removeAll { $0 === channel }
        if channels[channel.upstream]?.isEmpty == true { channels[channel.upstream] = nil }
    }
}
