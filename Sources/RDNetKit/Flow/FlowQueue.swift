/// One link's flows in arrival order; the oldest gives way.
///
/// A flow that leaves early leaves an empty slot; empty slots are swept when they are the majority,
/// so every operation is amortized constant time. A flow is in at most one queue, and knows which.
struct FlowQueue: FlowShare {
    /// The fields that a queue stores in its flows.
    enum Name { case handshakes, timeWaits }

    private let name: Name
    private var order: [TCPFlow] = []
    private var head = 0
    /// The number of flows.
    private(set) var count = 0

    /// Creates an empty queue.
    init(_ name: Name) {
        self.name = name
    }

    /// Adds a flow that is in no queue, and was never in this one.
    mutating func insert(_ flow: TCPFlow) {
        sweep()
        order.append(flow)
        flow.queue = name
        count += 1
    }

    mutating func next() -> TCPFlow? {
        while head < order.count {
            if order[head].queue == name { return order[head] }
            head += 1
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
