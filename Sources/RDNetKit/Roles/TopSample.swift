/// What `ctl top` knows of a network at one moment.
struct TopSample {
    /// A connection, a UDP flow or a series of pings.
    struct Flow {
        var kind: String
        var guest: String
        var remote: String
        var name: String
        var state: String
        /// Bytes so far.
        var up: UInt64
        var down: UInt64
        /// Bytes per second since the previous sample.
        var upRate: UInt64 = 0
        var downRate: UInt64 = 0
        /// Microseconds; nil where it is unknown.
        var roundTrip: UInt64?
        var age: Double
        /// Empty where it is unknown.
        var process: String

        fileprivate var key: String { "\(kind) \(guest) \(remote)" }
        var rate: UInt64 { upRate &+ downRate }
        var total: UInt64 { up &+ down }
        /// The name if there is one, with the port.
        var place: String {
            guard !name.isEmpty else { return remote }
            guard let port = Endpoint(remote)?.port else { return name }
            return "\(name):\(port)"
        }
    }

    /// A guest's link.
    struct Link {
        var number: String
        var name: String
        var received: UInt64
        var sent: UInt64
        var dropped: UInt64
        var receiveRate: UInt64 = 0
        var sendRate: UInt64 = 0
    }

    /// Something that is counted by reason.
    struct Count: Equatable {
        var reason: String
        var count: UInt64
        /// How many of them are new since the previous sample.
        var news: UInt64 = 0
    }

    var time: Instant
    var flows: [Flow] = []
    /// The number of flows, of which the API may list only a part.
    var flowCount = 0
    var links: [Link] = []
    var drops: [Count] = []
    var failures: [Count] = []
    /// The open questions of the policy.
    var questions: [JSON] = []

    /// Reads the API's documents.
    ///
    /// - Parameters:
    ///   - flows: `/flows?details=true`.
    ///   - links: `/links`.
    ///   - statistics: `/stats`.
    ///   - questions: `/policy/pending`.
    ///   - time: When they were asked for.
    ///   - previous: The sample before, for rates; nil for the first.
    init(
        flows: JSON,
        links: JSON,
        statistics: JSON,
        questions: JSON,
        time: Instant,
        since previous: TopSample?
    ) {
        self.time = time
        for kind in ["tcp", "udp", "echo"] {
            let list = flows.member(kind)?.elements ?? []
            self.flows += list.map { Flow(kind, $0) }
            flowCount += Int(flows.member("total")?.text(kind) ?? "") ?? list.count
        }
        self.links = links.elements.map { Link($0) }
        drops = Self.counts(statistics.member("Drops"), since: previous?.drops)
        failures = Self.counts(statistics.member("Failures"), since: previous?.failures)
        self.questions = questions.elements
        if let previous { addRates(since: previous) }
    }

    private static func counts(_ group: JSON?, since previous: [Count]?) -> [Count] {
        (group?.members ?? []).compactMap { member in
            guard let count = UInt64(member.value.text), count > 0 else { return nil }
            let reason = member.name.inWords
            let old = previous?.first { $0.reason == reason }?.count ?? 0
            return Count(reason: reason, count: count, news: previous == nil ? 0 : count &- old)
        }
    }

    private mutating func addRates(since previous: TopSample) {
        let elapsed = max(Double((time - previous.time).wholeNanoseconds) / 1e9, 0.001)
        func rate(_ now: UInt64, _ before: UInt64) -> UInt64 {
            now > before ? UInt64(Double(now - before) / elapsed) : 0
        }
        var old: [String: Int] = [:]
        for (index, flow) in previous.flows.enumerated() { old[flow.key] = index }
        for index in flows.indices {
            let before = old[flows[index].key].map { previous.flows[$0] }
            // A new connection from the same port begins at 0 again.
            let isSame = before.map { $0.total <= flows[index].total } ?? false
            flows[index].upRate = rate(flows[index].up, isSame ? before?.up ?? 0 : 0)
            flows[index].downRate = rate(flows[index].down, isSame ? before?.down ?? 0 : 0)
        }
        for index in links.indices {
            guard let before = previous.links.first(where: { $0.number == links[index].number })
            else { continue }
            links[index].receiveRate = rate(links[index].received, before.received)
            links[index].sendRate = rate(links[index].sent, before.sent)
        }
    }
}

extension TopSample.Flow {
    fileprivate init(_ kind: String, _ flow: JSON) {
        self.kind = kind == "echo" ? "ping" : kind
        guest = flow.text("guest").printable
        remote = flow.text("remote").printable
        name = flow.text("name").printable
        state = flow.text("phase").printable
        up = UInt64(flow.text("bytesToHost")) ?? 0
        down = UInt64(flow.text("bytesToGuest")) ?? 0
        roundTrip = UInt64(flow.text("roundTripMicroseconds"))
        age = Double(flow.text("age")) ?? 0
        process = flow.text("process").printable
    }
}

extension TopSample.Link {
    fileprivate init(_ link: JSON) {
        number = link.text("id").printable
        name = link.text("name").printable
        received = UInt64(link.text("bytesReceived")) ?? 0
        sent = UInt64(link.text("bytesSent")) ?? 0
        dropped = UInt64(link.text("dropped")) ?? 0
    }
}
