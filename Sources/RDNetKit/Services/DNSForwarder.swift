/// Passes queries to the host's resolvers and their answers back, octet for octet.
///
/// How it works: a query goes out under a random identifier to the server that answered last. While there
/// are few queries each has a socket of its own, hence a random port of its own (RFC 5452, 9.2), closed
/// with its answer; from `datagramSockets` a server on, queries share them, and a socket that has been
/// used often is left to drain. A server that is silent for the configured time is joined by the next
/// one, and may still answer; one that refuses, fails or cannot be reached is followed by the next one at
/// once. When nobody is left, the requester gets a server's own failure, else SERVFAIL: never a "does not
/// exist" that nobody said. Queries of a stream are asked over a stream first, since their answers may be
/// long, and over UDP where a server has no TCP.
/// Limits: queries in flight (the oldest is failed to make room), sockets a server, tries a query, life time.
final class DNSForwarder {
    /// How much is kept at a time.
    struct Limits {
        var queriesInFlight = 10_000
        /// Sockets towards one server.
        var datagramSockets = 64
        /// Connections to one server.
        var streamSockets = 8
        /// Queries after which a socket is given up for a new one, at another port.
        var usesPerSocket = 500
        /// Given-up sockets that still wait for answers.
        var drainingSockets = 64
        /// How long a requester waits at most.
        var lifetime = Duration.seconds(10)
    }

    /// What makes two UDP queries one: the client, its identifier and its question.
    struct Key: Hashable {
        var source: Endpoint
        var id: UInt16
        var question: ArraySlice<UInt8>
    }

    /// What has happened so far.
    struct Counters: Equatable {
        /// Queries taken, retransmissions not counted.
        var queries = 0
        /// Times that a server was asked.
        var tries = 0
        /// Answers passed back, failures not counted.
        var answered = 0
        /// Queries that ended in failure, evictions counted.
        var failed = 0
        /// Queries failed to make room for others.
        var evicted = 0
        /// Retransmissions of queries in flight.
        var retransmissions = 0
        /// Messages from servers that answer no query.
        var dropped = 0
    }

    /// Half of the identifiers.
    private static let queriesPerSocket = 0x8000

    /// Shared by the channels: each empties it before the next reads.
    let buffer = ReceiveBuffer()
    private(set) var counters = Counters()
    /// The servers of queries to come; queries in flight stay with theirs.
    var configuration = ResolverConfiguration() {
        didSet { preferred = nil }
    }

    private let loop: EventLoop
    private let limits: Limits
    private let log: Logger
    private let limitLog: LimitLog
    private var random: any RandomNumberGenerator
    private var preferred: Endpoint?
    private var byKey: [Key: ForwardedQuery] = [:]
    /// Oldest first; finished ones stay until the next sweep.
    private var byAge: [ForwardedQuery] = []
    private var oldest = 0
    /// How many queries wait for an answer.
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
    }

    /// Sockets open at the moment.
    var socketCount: Int { channels.values.reduce(draining.count) { $0 + $1.count } }

    // MARK: Towards the servers

    /// Takes a query.
    ///
    /// - Parameters:
    ///   - query: Goes out as it is but for its identifier.
    ///   - source: The client of a UDP query; nil for a query of a stream.
    ///   - reply: Is called once with an answer of any length; not for a retransmission.
    func forward(_ query: DNSQuery, from source: Endpoint?, reply: @escaping ([UInt8]) -> Void) {
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
            deadline: loop.now + limits.lifetime,
            forwarder: self,
            reply: reply
        )
        if let key { byKey[key] = forwarded }
        byAge.append(forwarded)
        inFlight += 1
        advance(forwarded)
    }

    private func candidates(overStream: Bool) -> [DNSUpstream] {
        let servers = configuration.servers
        let first = preferred.flatMap { servers.firstIndex(of: $0) } ?? 0
        let ordered = servers[first...] + servers[..<first]
        let datagrams = ordered.map { DNSUpstream(server: $0, transport: .datagram) }
        guard overStream else { return datagrams }
        return ordered.map { DNSUpstream(server: $0, transport: .stream) } + datagrams
    }

    /// Asks the next server, or ends the query when nobody is left to ask or to wait for.
    private func advance(_ query: ForwardedQuery) {
        if let timer = query.timer { loop.cancel(timer) }
        query.timer = nil
        while !query.isFinished, let upstream = query.nextCandidate() {
            if ask(upstream, query) {
                query.timer = loop.schedule(query.patience(from: loop.now), observer: query)
                return
            }
            query.exclude(upstream)
        }
        if query.isFinished { return }
        if query.tries.isEmpty { return fail(query) }
        query.timer = loop.schedule(query.deadline, observer: query)
    }

    private func ask(_ upstream: DNSUpstream, _ query: ForwardedQuery) -> Bool {
        guard let channel = channel(to: upstream), channel.waiting.count < Self.queriesPerSocket
        else {
            return false
        }
        var id = UInt16.random(in: 0...UInt16.max, using: &random)
        // At least every other identifier is free: the search is short.
        while channel.waiting[id] != nil { id &+= 1 }
        do {
            try channel.send(query, id: id)
        } catch {
            channelFailed(channel, because: error.description, isUsable: false)
            return false
        }
        counters.tries += 1
        query.remember(ForwardedQuery.Try(channel: channel, id: id))
        if channel.uses >= limits.usesPerSocket { retire(channel) }
        return true
    }

    // MARK: From the servers

    /// Takes an answer whose identifier and question are a waiting query's.
    func answered(
        _ query: ForwardedQuery,
        by message: [UInt8],
        on channel: DNSUpstreamChannel,
        id: UInt16
    ) {
        query.forget(channel, id: id)
        release(id, on: channel)
        let flags = DNSFlags(rawValue: UInt16(message[2]) << 8 | UInt16(message[3]))
        let code = flags.responseCode
        if code == .serverFailure || code == .refused {
            query.failure = message
        } else if !query.needsWhole || !flags.contains(.truncated) {
            preferred = channel.upstream.server
            counters.answered += 1
            return finish(query, message)
        }
        query.exclude(channel.upstream)
        advance(query)
    }

    /// Counts a message that answers no query.
    func dropped() {
        counters.dropped += 1
    }

    /// Gives up a socket; the queries that wait on it are asked elsewhere.
    ///
    /// - Parameters:
    ///   - channel: Is closed.
    ///   - reason: For the log.
    ///   - isUsable: Whether its server may be asked again for the same queries.
    func channelFailed(_ channel: DNSUpstreamChannel, because reason: String, isUsable: Bool) {
        log.debug(
            "DNS server does not answer",
            ["server": channel.upstream.server.description, "error": reason]
        )
        let stranded = channel.waiting.values
        discard(channel)
        for query in stranded where !query.isFinished {
            query.forget(channel)
            if !isUsable { query.exclude(channel.upstream) }
            advance(query)
        }
    }

    /// Goes on with a query whose server stays silent.
    func timedOut(_ query: ForwardedQuery, now: Instant) {
        if now >= query.deadline { fail(query) } else { advance(query) }
    }

    private func fail(_ query: ForwardedQuery) {
        counters.failed += 1
        finish(query, query.failure ?? query.query.failure(.serverFailure))
    }

    private func finish(_ query: ForwardedQuery, _ answer: [UInt8]) {
        if let timer = query.timer { loop.cancel(timer) }
        if let key = query.key { byKey[key] = nil }
        inFlight -= 1
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
        // Sweeping as many as were added since costs each query a constant.
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
