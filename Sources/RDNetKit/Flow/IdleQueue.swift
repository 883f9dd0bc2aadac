/// A flow that knows when it was last used.
protocol IdleCandidate: AnyObject {
    /// When a packet last went either way.
    var lastUsed: Instant { get }
    /// Its place in the queue; owned by the queue.
    var queueIndex: Int { get set }
}

/// A bounded set of flows; when it is full, the longest-idle one gives way.
///
/// A heap of the times at which the queue last looked at each flow: a packet costs it nothing. When
/// a flow must give way, the queue refreshes the top until its time is current. Each refresh
/// follows at least one use of that flow, so a packet costs a logarithm at most on average, however
/// hard a guest tries.
struct IdleQueue<Flow: IdleCandidate> {
    private struct Entry {
        let flow: Flow
        /// The flow's `lastUsed` when the queue last looked.
        var seen: Instant
    }

    private let limit: Int
    private var heap: [Entry] = []

    /// Creates an empty queue with a limit.
    init(limit: Int = .max) {
        self.limit = limit
    }

    var count: Int { heap.count }
    var all: [Flow] { heap.map(\.flow) }

    /// Adds a flow.
    ///
    /// - Parameter flow: Not in the queue.
    /// - Returns: The flow that had to make room, taken out already.
    mutating func append(_ flow: Flow) -> Flow? {
        let victim = heap.count >= limit ? idlest() : nil
        if let victim { remove(victim) }
        flow.queueIndex = heap.count
        heap.append(Entry(flow: flow, seen: flow.lastUsed))
        raise(flow.queueIndex)
        return victim
    }

    /// Takes a flow out.
    mutating func remove(_ flow: Flow) {
        let index = flow.queueIndex
        guard index < heap.count, heap[index].flow === flow, let last = heap.popLast() else {
            return
        }
        guard last.flow !== flow else { return }
        place(last, at: index)
        raise(index)
        lower(last.flow.queueIndex)
    }

    /// The flow that gives way next, which stays in the queue; nil when there is none.
    mutating func idlest() -> Flow? {
        while let top = heap.first {
            let used = top.flow.lastUsed
            if used <= top.seen { return top.flow }
            heap[0].seen = used
            lower(0)
        }
        return nil
    }

    private mutating func raise(_ start: Int) {
        var index = start
        let entry = heap[index]
        while index > 0, entry.seen < heap[(index - 1) / 2].seen {
            place(heap[(index - 1) / 2], at: index)
            index = (index - 1) / 2
        }
        place(entry, at: index)
    }

    private mutating func lower(_ start: Int) {
        var index = start
        let entry = heap[index]
        while true {
            var child = 2 * index + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].seen < heap[child].seen { child += 1 }
            guard heap[child].seen < entry.seen else { break }
            place(heap[child], at: index)
            index = child
        }
        place(entry, at: index)
    }

    private mutating func place(_ entry: Entry, at index: Int) {
        heap[index] = entry
        entry.flow.queueIndex = index
    }
}

extension IdleQueue: FlowShare {
    mutating func insert(_ flow: Flow) { _ = append(flow) }

    mutating func next() -> Flow? { idlest() }
}
