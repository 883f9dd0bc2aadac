/// A flow that takes part of its guest's share of a bounded table.
protocol LinkMember: AnyObject {
    /// The switch port of the guest's link when the flow began; -1 if it was unknown.
    var port: Int { get }
}

/// A bounded set of flows of all links; when it is full, the link with the most flows gives way.
///
/// How it works: each link has a queue of its own. A guest that opens flows without end loses its
/// own ones, whatever the flows of guests on other links do. With links of equal size the new
/// flow's own link gives way. A choice looks at one number per link; everything else costs what the
/// link's own queue costs.
struct LinkShares<Flow: LinkMember, Queue: FlowShare> where Queue.Flow == Flow {
    private let limit: Int
    private let perLink: Int
    private let makeQueue: () -> Queue
    /// One queue for each port, after that of unknown ports.
    private var queues: [Queue] = []
    private(set) var count = 0

    /// Creates an empty set.
    ///
    /// - Parameters:
    ///   - limit: Flows of all links together.
    ///   - perLink: Flows of one link.
    ///   - makeQueue: Creates the queue of one link.
    init(limit: Int, perLink: Int = .max, makeQueue: @escaping () -> Queue) {
        self.limit = limit
        self.perLink = perLink
        self.makeQueue = makeQueue
    }

    /// A flow that had to make room, already removed.
    struct Victim {
        let flow: Flow
        /// Whether its link has reached its own limit, and not all links together theirs.
        let isOverOwnLimit: Bool
        /// The limit that was reached.
        let maximum: Int
    }

    /// Adds a flow that is in no queue.
    ///
    /// - Returns: The flow that had to make room; nil while there is room.
    mutating func append(_ flow: Flow) -> Victim? {
        let own = flow.port + 1
        while queues.count <= own { queues.append(makeQueue()) }
        defer {
            queues[own].insert(flow)
            count += 1
        }
        if queues[own].count >= perLink, let victim = take(own) {
            return Victim(flow: victim, isOverOwnLimit: true, maximum: perLink)
        }
        guard count >= limit, let crowd = crowd(with: own), let victim = take(crowd) else {
            return nil
        }
        return Victim(flow: victim, isOverOwnLimit: false, maximum: limit)
    }

    private mutating func take(_ index: Int) -> Flow? {
        guard let victim = queues[index].next() else { return nil }
        remove(victim)
        return victim
    }

    /// Removes a flow; does nothing if it is not in the set.
    mutating func remove(_ flow: Flow) {
        let own = flow.port + 1
        guard own < queues.count else { return }
        let former = queues[own].count
        queues[own].remove(flow)
        count += queues[own].count - former
    }

    /// The flow that gives way next, and the number of flows of its link; nil if there are none.
    mutating func next() -> (flow: Flow, linkCount: Int)? {
        guard let crowd = crowd(with: nil), let flow = queues[crowd].next() else { return nil }
        return (flow, queues[crowd].count)
    }

    /// The queue with the most flows, among equals `own`; nil without flows.
    private func crowd(with own: Int?) -> Int? {
        var (crowd, most) = (own, own.map { queues[$0].count } ?? 0)
        for index in queues.indices where queues[index].count > most {
            (crowd, most) = (index, queues[index].count)
        }
        return most > 0 ? crowd : nil
    }
}

/// The queue of one link's flows in `LinkShares`.
protocol FlowShare {
    associatedtype Flow: AnyObject
    var count: Int { get }
    /// Adds a flow that is in no queue.
    mutating func insert(_ flow: Flow)
    /// Removes a flow; does nothing if it is not in the queue.
    mutating func remove(_ flow: Flow)
    /// The flow that gives way next, which stays in the queue; nil if there are none.
    mutating func next() -> Flow?
}

/// How many flows each link has.
struct LinkCounts {
    /// The number of each port, after that of unknown ports.
    private var counts: [Int] = []

    /// The number of a port's flows.
    ///
    /// - Parameter port: -1 for unknown ports.
    subscript(port: Int) -> Int {
        get { port + 1 < counts.count ? counts[port + 1] : 0 }
        set {
            while counts.count <= port + 1 { counts.append(0) }
            counts[port + 1] = newValue
        }
    }
}
