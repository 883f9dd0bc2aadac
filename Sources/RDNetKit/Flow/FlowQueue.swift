/// Flows in the order in which they came, of which only so many may stay: the oldest makes room.
///
/// A flow that leaves by itself leaves its place behind; places without a flow are swept when they
/// are the majority, so every call is constant time on average. A flow is in one queue at a time,
/// and knows in which.
struct FlowQueue {
    /// What the flows of a queue have in common.
    enum Name { case handshakes, timeWaits }

    private let name: Name
    private let limit: Int
    private var order: [TCPFlow] = []
    private var head = 0
    /// How many flows are in it.
    private(set) var count = 0

    /// An empty queue for so many flows.
    init(_ name: Name, limit: Int) {
        self.name = name
        self.limit = limit
    }

    /// Adds a flow.
    ///
    /// - Parameter flow: In no queue, and never in this one before.
    /// - Returns: The oldest flow, taken out, when there are too many now.
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

    /// Takes a flow out; nothing happens when it is not in.
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
