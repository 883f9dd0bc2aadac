/// A query on its way: which servers to ask, which were asked, and where the answer goes.
final class ForwardedQuery {
    /// One message to one server.
    struct Try {
        let channel: DNSUpstreamChannel
        let id: UInt16
        let start: Instant
    }

    /// An answer, and the place of its server in the order.
    struct Answer {
        let message: [UInt8]
        let rank: Int
    }

    let query: DNSQuery
    /// Names the query among those that came over UDP; nil for a query of a stream.
    let key: DNSForwarder.Key?
    let deadline: Instant
    private(set) var timeout: Duration
    /// Whether a truncated answer is of no use.
    let needsWhole: Bool
    /// What a server that failed has answered: better than nothing.
    var failure: [UInt8]?
    /// Whether a server has answered, though not in full: no other server may deny the name.
    var isKnownToExist = false
    /// An answer that gives way to one from a server further up in the order.
    var held: Answer?
    /// The timer that waits for the current tries, or for the end.
    var timer: TimerWheel.Token?
    private(set) var tries: [Try] = []
    private(set) var isFinished = false
    /// The servers in the order in which they decide.
    private var order: [ZonedEndpoint] = []
    private var candidates: [DNSUpstream]
    private var turn = 0
    private var triesLeft: Int
    /// Servers with a lower rank have had their time.
    private var firstPatientRank = 0
    private let reply: ([UInt8]) -> Void
    private unowned let forwarder: DNSForwarder

    /// A query that no server has been asked yet.
    ///
    /// - Parameters:
    ///   - query: As it came.
    ///   - key: Nil for a query of a stream.
    ///   - configuration: How long to wait for a server, and how often to ask it.
    ///   - candidates: Which servers to ask, in this order, and again from the first.
    ///   - deadline: When the requester is told that there is no answer.
    ///   - forwarder: Outlives the query.
    ///   - reply: Is called once.
    init(
        _ query: DNSQuery,
        key: DNSForwarder.Key?,
        configuration: ResolverConfiguration,
        candidates: [DNSUpstream],
        deadline: Instant,
        forwarder: DNSForwarder,
        reply: @escaping ([UInt8]) -> Void
    ) {
        self.query = query
        self.key = key
        self.candidates = candidates
        self.deadline = deadline
        self.forwarder = forwarder
        self.reply = reply
        needsWhole = key == nil
        timeout = configuration.timeout
        triesLeft = configuration.attempts * candidates.count
        order = Self.servers(of: candidates)
    }

    /// Forgets which servers were asked and what they said, to start with other ones.
    func restart(_ configuration: ResolverConfiguration, _ candidates: [DNSUpstream]) {
        self.candidates = candidates
        timeout = configuration.timeout
        triesLeft = configuration.attempts * candidates.count
        order = Self.servers(of: candidates)
        (turn, firstPatientRank) = (0, 0)
        (tries, failure, isKnownToExist, held) = ([], nil, false, nil)
    }

    private static func servers(of candidates: [DNSUpstream]) -> [ZonedEndpoint] {
        var order: [ZonedEndpoint] = []
        for candidate in candidates where order.last != candidate.server {
            order.append(candidate.server)
        }
        return order
    }

    /// How many servers and transports are left to ask.
    var candidateCount: Int { candidates.count }

    /// Which server to ask next, each in turn; nil when all that is allowed has been done.
    func nextCandidate() -> DNSUpstream? {
        guard triesLeft > 0, !candidates.isEmpty else { return nil }
        triesLeft -= 1
        let candidate = candidates[turn % candidates.count]
        turn = (turn + 1) % candidates.count
        return candidate
    }

    /// Takes a server that failed out of the round.
    func exclude(_ upstream: DNSUpstream) {
        guard let index = candidates.firstIndex(of: upstream) else { return }
        candidates.remove(at: index)
        if index < turn { turn -= 1 }
    }

    /// When to go on if the servers that were asked last stay silent.
    ///
    /// `limit` is shorter than the configured timeout if a fallback answer is already there.
    func patience(from start: Instant, atMost limit: Duration? = nil) -> Instant {
        min(start + min(timeout, limit ?? timeout), deadline)
    }

    /// Takes down that the servers that were asked so far have had their time.
    func endPatience() {
        for attempt in tries { firstPatientRank = max(firstPatientRank, rank(of: attempt) + 1) }
    }

    /// The place in the order of an asked server; behind all others when it is not in the order.
    func rank(of attempt: Try) -> Int {
        order.firstIndex(of: attempt.channel.upstream.server) ?? order.count
    }

    /// Whether a server further up in the order may still answer in time.
    func isOutranked(_ rank: Int) -> Bool {
        tries.contains {
            (firstPatientRank..<max(rank, firstPatientRank)).contains(self.rank(of: $0))
        }
    }

    func remember(_ attempt: Try) {
        tries.append(attempt)
    }

    /// Forgets the tries on one channel.
    func forget(_ channel: DNSUpstreamChannel) {
        tries.removeAll { $0.channel === channel }
    }

    /// Forgets one try, which is over, and returns it.
    func take(_ channel: DNSUpstreamChannel, id: UInt16) -> Try? {
        tries.firstIndex { $0.channel === channel && $0.id == id }.map { tries.remove(at: $0) }
    }

    /// Answers the requester, once.
    func finish(_ answer: [UInt8]) {
        isFinished = true
        tries = []
        reply(answer)
    }
}

extension ForwardedQuery: TimerObserver {
    func timerFired(now: Instant) {
        timer = nil
        forwarder.timedOut(self, now: now)
    }
}
