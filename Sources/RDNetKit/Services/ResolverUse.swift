/// What queries to one of the host's resolvers have met.
struct ResolverUse: Equatable {
    /// Queries sent, with repetitions.
    var queries: UInt64 = 0
    /// Answers, failures included.
    var answers: UInt64 = 0
    /// Answers that are SERVFAIL or REFUSED.
    var failures: UInt64 = 0
    /// Queries without an answer in time.
    var timeouts: UInt64 = 0
    /// Sockets that failed: a closed port, or no route.
    var errors: UInt64 = 0
    /// The smoothed time until an answer.
    var latency: Duration?
    /// When the latest answer came.
    var lastAnswer: Instant?
    /// Why the server counts as down; nil while it answers, or was not needed.
    var fault: String?

    /// Queries in a row that the server did not answer.
    fileprivate var missed = 0
    /// When the log last reported that the server is down; nil if it did not.
    fileprivate var reported: Instant?
    /// Whether the log has reported that and not yet the end of it.
    fileprivate var isReported = false

    /// The declared numbers; each has the server as its label.
    static let metrics: [(family: MetricFamily, value: @Sendable (ResolverUse) -> UInt64)] = [
        (family("Queries", "Queries sent to a resolver, with repetitions."), { $0.queries }),
        (family("Answers", "Answers of a resolver, failures included."), { $0.answers }),
        (
            family("Failures", "Answers of a resolver that are SERVFAIL or REFUSED."),
            { $0.failures }
        ),
        (family("Timeouts", "Queries that a resolver did not answer in time."), { $0.timeouts }),
        (family("Errors", "Sockets to a resolver that failed."), { $0.errors }),
        (
            family("Up", kind: .gauge, "Whether a resolver answers, as far as is known."),
            { $0.fault == nil ? 1 : 0 }
        ),
        (
            family(
                "LatencyMicroseconds",
                kind: .gauge,
                "The smoothed time until a resolver's answer, in microseconds."
            ),
            { UInt64(max($0.latency?.wholeNanoseconds ?? 0, 0)) / 1_000 }
        ),
    ]

    private static func family(
        _ name: String,
        kind: MetricFamily.Kind = .counter,
        _ help: String
    ) -> MetricFamily {
        MetricFamily("DNS.Server.\(name)", kind: kind, label: "server", help)
    }
}

/// What queries to each of the host's resolvers have met; reports once when one stops answering and
/// once when it answers again.
struct ResolverWatch {
    /// Queries in a row without an answer after which a server counts as down.
    static let patience = 2
    /// The least time between two reports that the same server is down.
    static let quiet: Duration = .seconds(60)

    private let log: Logger
    private var uses: [ZonedEndpoint: ResolverUse] = [:]

    init(_ log: Logger) {
        self.log = log
    }

    /// What queries to a server have met; nothing for an unused one.
    func use(of server: ZonedEndpoint) -> ResolverUse { uses[server] ?? ResolverUse() }

    /// Forgets the servers that are no longer used.
    mutating func keep(_ servers: [ZonedEndpoint]) {
        uses = uses.filter { servers.contains($0.key) }
    }

    mutating func asked(_ server: ZonedEndpoint) {
        uses[server, default: ResolverUse()].queries &+= 1
    }

    /// Records an answer.
    ///
    /// - Parameters:
    ///   - server: Who answered.
    ///   - isFailure: Whether the answer is SERVFAIL or REFUSED.
    ///   - latency: How long it took; nil if the query was given up before.
    ///   - now: The loop's clock.
    mutating func answered(
        _ server: ZonedEndpoint,
        isFailure: Bool,
        after latency: Duration?,
        now: Instant
    ) {
        guard var use = uses[server] else { return }
        use.answers &+= 1
        if isFailure { use.failures &+= 1 }
        if let latency { use.latency = use.latency.map { ($0 * 7 + latency) / 8 } ?? latency }
        if use.isReported {
            let silence = use.reported.map { (now - $0).components.seconds } ?? 0
            log.warning(
                "DNS server answers again",
                ["server": "\(server)", "seconds": "\(silence)"]
            )
        }
        (use.lastAnswer, use.missed, use.fault, use.isReported) = (now, 0, nil, false)
        uses[server] = use
    }

    /// Records that a server has not answered a query in time.
    ///
    /// - Parameters:
    ///   - server: The server.
    ///   - start: When the query was sent; a later answer to another query means that the server
    ///     is only slow.
    ///   - now: The loop's clock.
    mutating func missed(_ server: ZonedEndpoint, since start: Instant, now: Instant) {
        guard var use = uses[server] else { return }
        use.timeouts &+= 1
        if use.lastAnswer.map({ $0 < start }) ?? true { use.missed += 1 }
        uses[server] = use
        if use.missed >= Self.patience { isDown(server, because: "no answer", now: now) }
    }

    /// Records that a server cannot be reached.
    ///
    /// - Parameters:
    ///   - upstream: The server; that it has no TCP port does not mean that it is down.
    ///   - reason: The error.
    ///   - now: The loop's clock.
    mutating func failed(_ upstream: DNSUpstream, because reason: String, now: Instant) {
        uses[upstream.server, default: ResolverUse()].errors &+= 1
        guard case .datagram = upstream.transport else { return }
        isDown(upstream.server, because: reason, now: now)
    }

    private mutating func isDown(_ server: ZonedEndpoint, because reason: String, now: Instant) {
        guard var use = uses[server] else { return }
        use.fault = reason
        if !use.isReported, use.reported.map({ now - $0 >= Self.quiet }) ?? true {
            log.warning(
                "DNS server does not answer",
                [
                    "server": "\(server)", "cause": reason,
                    "next": "check the VPN and the host's resolv.conf; rdnet ctl dns",
                ]
            )
            (use.reported, use.isReported) = (now, true)
        }
        uses[server] = use
    }
}

extension ResolverUse {
    /// The samples of several servers, those of one family in sequence.
    static func samples(of servers: [(name: String, use: ResolverUse)]) -> [MetricSample] {
        metrics.flatMap { metric in
            servers.map { server in
                MetricSample(
                    family: metric.family,
                    member: server.name,
                    value: metric.value(server.use)
                )
            }
        }
    }

    /// The state in a word.
    private var state: String {
        if fault != nil { return "down" }
        if missed > 0 { return "silent" }
        if lastAnswer != nil { return "up" }
        return queries == 0 ? "unused" : "waiting"
    }

    /// One line of `ctl dns`.
    func json(_ server: ZonedEndpoint, now: Instant) -> JSON {
        var members = [
            JSON.Member("server", .string("\(server)")),
            JSON.Member("state", .string(state)),
            JSON.Member("queries", .integer(queries)), JSON.Member("answers", .integer(answers)),
            JSON.Member("failures", .integer(failures)),
            JSON.Member("timeouts", .integer(timeouts)), JSON.Member("errors", .integer(errors)),
        ]
        if let latency {
            let microseconds = UInt64(max(latency.wholeNanoseconds, 0)) / 1_000
            members.append(JSON.Member("latencyMicroseconds", .integer(microseconds)))
        }
        if let lastAnswer { members.append(JSON.Member("lastAnswer", .seconds(now - lastAnswer))) }
        if let fault { members.append(JSON.Member("fault", .string(fault))) }
        return .object(members)
    }
}
