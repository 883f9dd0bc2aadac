/// A flow that can be asked whether it was used since the last time it was asked.
protocol IdleCandidate: AnyObject {
    /// Set by every use, cleared by the ring.
    var wasUsed: Bool { get set }
    /// Where it stands in the ring.
    var ringIndex: Int { get set }
}

/// A bounded set of flows; when it is full, one that has not been used for longest, nearly, goes.
///
/// The clock algorithm: a hand goes round and takes the first flow that was not used since the hand passed it last.
/// Every call is constant time on average, however hard a guest tries to fill the table.
struct IdleRing<Flow: IdleCandidate> {
    private let limit: Int
    private var flows: [Flow] = []
    private var hand = 0

    /// An empty ring for so many flows.
    init(limit: Int) {
        self.limit = limit
    }

    var count: Int { flows.count }
    var all: [Flow] { flows }

    /// Adds a flow.
    ///
    /// - Parameter flow: Not in the ring.
    /// - Returns: The flow that had to make room, taken out already.
    mutating func append(_ flow: Flow) -> Flow? {
        let victim = flows.count >= limit ? findVictim() : nil
        if let victim { remove(victim) }
        flow.ringIndex = flows.count
        flow.wasUsed = true
        flows.append(flow)
        return victim
    }

    /// Takes a flow out.
    mutating func remove(_ flow: Flow) {
        let index = flow.ringIndex
        guard index < flows.count, flows[index] === flow, let last = flows.popLast() else { return }
        guard last !== flow else { return }
        flows[index] = last
        last.ringIndex = index
    }

    private mutating func findVictim() -> Flow? {
        for _ in 0..<(2 * flows.count) {
            if hand >= flows.count { hand = 0 }
            let flow = flows[hand]
            if !flow.wasUsed { return flow }
            flow.wasUsed = false
            hand += 1
        }
        return flows.first
    }
}
