/// A query on its way: who is to be asked, who has been, and where the answer goes.
final class ForwardedQuery {
    /// One asking of one server.
    struct Try {
        let channel: DNSUpstreamChannel
        let id: UInt16
    }

    let query: DNSQuery
    /// Names it among the queries that came over UDP; nil for a stream's.
    let key: DNSForwarder.Key?
    let deadline: Instant
    private let timeout: Duration
    /// Whether an answer that is cut is of no use.
    let needsWhole: Bool
    /// What a server that failed has answered: better than nothing.
    var failure: [UInt8]?
    /// The timer that waits for the current try, or for the end.
    var timer: TimerWheel.Token?
    private(set) var tries: [Try] = []
    private(set) var isFinished = false
    private var candidates: [DNSUpstream]
    private var turn = 0
    private var triesLeft: Int
    private let reply: ([UInt8]) -> Void
    private unowned let forwarder: DNSForwarder

    /// A query that nobody has been asked yet.
    ///
    /// - Parameters:
    ///   - query: As it came.
    ///   - key: Nil for a query of a stream.
    ///   - configuration: How patiently servers are asked.
    ///   - candidates: Whom to ask, in this order and round again.
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
    }

    /// Whom to ask next, each in turn; nil when all that is allowed has been done.
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

    /// When to ask the next server if this one stays silent.
    func patience(from now: Instant) -> Instant {
        min(now + timeout, deadline)
    }

    func remember(_ attempt: Try) {
        tries.append(attempt)
    }

    /// Forgets the askings of one channel, or of one identifier on it.
    func forget(_ channel: DNSUpstreamChannel, id: UInt16? = nil) {
        tries.removeAll { $0.channel === channel && (id == nil || $0.id == id) }
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
