/// A bounded queue of flows in arrival order; when full, the oldest makes room.
///
/// A flow that leaves early leaves an empty slot; empty slots are swept when they are the majority,
/// so every operation is amortized constant time. A flow is in at most one queue, and knows which.
struct FlowQueue {
    /// The fields that a queue stores in its flows.
    enum Name { case handshakes, timeWaits }

    private let name: Name
    private let limit: Int
    private var order: [TCPFlow] = []
    private var head = 0
    /// The number of flows.
    private(set) var count = 0

    /// Creates an empty queue with a limit.
    init(_ name: Name, limit: Int) {
        self.name = name
        self.limit = limit
    }

    /// Adds a flow.
    ///
    /// - Parameter flow: Not in any queue, and never in this one before.
    /// - Returns: The oldest flow, already removed, if the limit is exceeded.
    mutating func append(_ flow: TCPFlow) -> TCPFlow? {
        sweep()
        order.append(flow)
        flow.queue = name
        count += 1
        guard count > limit else { return nil }
        while head < order.count {
            let oldest = order[head]
            head += 1
            if take(oldest) { return oldest }
        }
        return nil
    }

    /// Removes a flow; does nothing if it is not in the queue.
    mutating func remove(_ flow: TCPFlow) {
        guard take(flow), count == 0 else { return }
        order.removeAll(keepingCapacity: true)
        head = 0
    }

    private mutating func take(_ flow: TCPFlow) -> Bool {
        guard flow.queue == name else { return false }
        flow.queue = nil
        count -= 1
        return true
    }

    private mutating func sweep() {
        guard order.count > 2 * count + 64 else { return }
        order = order[head...].filter { $0.queue == name }
        head = 0
    }
}
