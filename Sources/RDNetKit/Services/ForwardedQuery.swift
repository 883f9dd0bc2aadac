/// A query in flight: the servers still to query, the servers already queried, and the receiver of
/// the answer.
final class ForwardedQuery {
    /// One message to one server.
    struct Try {
        let channel: DNSUpstreamChannel
        let id: UInt16
        let start: Instant
        /// Whether `takeMissed` has returned it.
        fileprivate var isMissed = false

        init(channel: DNSUpstreamChannel, id: UInt16, start: Instant) {
            self.channel = channel
            self.id = id
            self.start = start
        }
    }

    /// An answer, and the rank of its server.
    struct Answer {
        let message: [UInt8]
        let rank: Int
    }

    let query: DNSQuery
    /// Identifies a UDP query; nil for a query from a stream.
    let key: DNSForwarder.Key?
    let deadline: Instant
    private(set) var timeout: Duration
    /// Whether a truncated answer is useless.
    let needsWhole: Bool
    /// The answer of a server that failed, used if no better answer arrives.
    var failure: [UInt8]?
    /// Whether a server has answered in part, so that no other server may deny the name.
    var isKnownToExist = false
    /// An answer that gives way to one from a server earlier in the order.
    var held: Answer?
    /// The timer for the current tries, or for the end.
    var timer: TimerWheel.Token?
    private(set) var tries: [Try] = []
    private(set) var isFinished = false
    /// The servers by rank, the first of which decides.
    private var order: [ZonedEndpoint] = []
    private var candidates: [DNSUpstream]
    private var turn = 0
    private var triesLeft: Int
    /// The lowest rank whose server still has time; servers before it have used theirs.
    private var firstPatientRank = 0
    private let reply: ([UInt8]) -> Void
    private unowned let forwarder: DNSForwarder

    /// Creates a query that no server has received yet.
    ///
    /// - Parameters:
    ///   - query: The query as received.
    ///   - key: Identifies a UDP query; nil for a query from a stream.
    ///   - configuration: The timeout and the number of attempts per server.
    ///   - candidates: The servers to query, in this order, and again from the first.
    ///   - deadline: The time at which the query fails.
    ///   - forwarder: Outlives the query.
    ///   - reply: Called once with the answer.
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

    /// Discards all tries and answers, to start again with other servers.
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

    /// The number of servers and transports left to query.
    var candidateCount: Int { candidates.count }

    /// Returns the next server, in turn; nil when all attempts are used.
    func nextCandidate() -> DNSUpstream? {
        guard triesLeft > 0, !candidates.isEmpty else { return nil }
        triesLeft -= 1
        let candidate = candidates[turn % candidates.count]
        turn = (turn + 1) % candidates.count
        return candidate
    }

    /// Removes a server that failed from the rotation.
    func exclude(_ upstream: DNSUpstream) {
        guard let index = candidates.firstIndex(of: upstream) else { return }
        candidates.remove(at: index)
        if index < turn { turn -= 1 }
    }

    /// Returns when to continue if the servers queried last stay silent.
    ///
    /// `limit` is shorter than the configured timeout if a fallback answer is already available.
    func patience(from start: Instant, atMost limit: Duration? = nil) -> Instant {
        min(start + min(timeout, limit ?? timeout), deadline)
    }

    /// Records that the servers queried so far have used their time.
    func endPatience() {
        for attempt in tries { firstPatientRank = max(firstPatientRank, rank(of: attempt) + 1) }
    }

    /// Returns the tries that have had no answer for a time, each of them once.
    func takeMissed(after time: Duration, now: Instant) -> [Try] {
        let missed = tries.indices.filter { !tries[$0].isMissed && now >= tries[$0].start + time }
        for index in missed { tries[index].isMissed = true }
        return missed.map { tries[$0] }
    }

    /// Returns the rank of a queried server; a server that is not in the order ranks last.
    func rank(of attempt: Try) -> Int {
        order.firstIndex(of: attempt.channel.upstream.server) ?? order.count
    }

    /// Whether a server earlier in the order may still answer in time.
    func isOutranked(_ rank: Int) -> Bool {
        tries.contains {
            (firstPatientRank..<max(rank, firstPatientRank)).contains(self.rank(of: $0))
        }
    }

    func remember(_ attempt: Try) {
        tries.append(attempt)
    }

    /// Removes the tries on one channel.
    func forget(_ channel: DNSUpstreamChannel) {
        tries.removeAll { $0.channel === channel }
    }

    /// Removes and returns a try that is over.
    func take(_ channel: DNSUpstreamChannel, id: UInt16) -> Try? {
        tries.firstIndex { $0.channel === channel && $0.id == id }.map { tries.remove(at: $0) }
    }

    /// Sends the answer to the requester, once.
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
