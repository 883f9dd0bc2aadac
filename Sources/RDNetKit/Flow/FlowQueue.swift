/// Flows in the order in which they came, of which only so many may stay: the oldest makes room.
///
/// A flow that leaves by itself leaves its place behind; places without a flow are swept when they are the
/// majority, so every call is constant time on average.
struct FlowQueue {
    private let limit: Int
    private var order: [TCPFlow] = []
    private var head = 0
    private var members: Set<ObjectIdentifier> = []

    /// An empty queue for so many flows.
    init(limit: Int) {
        self.limit = limit
    }

    /// How many flows are in it.
    var count: Int { members.count }

    /// Adds a flow.
    ///
    /// - Parameter flow: Not in the queue.
    /// - Returns: The oldest flow, taken out, when there are too many now.
    mutating func append(_ flow: TCPFlow) -> TCPFlow? {
        sweep()
        order.append(flow)
        members.insert(ObjectIdentifier(flow))
        guard members.count > limit else { return nil }
        while head < order.count {
            let oldest = order[head]
            head += 1
            if members.remove(ObjectIdentifier(oldest)) != nil { return oldest }
        }
        return nil
    }

    /// Takes a flow out; nothing happens when it is not in.
    mutating func remove(_ flow: TCPFlow) {
        members.remove(ObjectIdentifier(flow))
        if members.isEmpty {
            order.removeAll(keepingCapacity: true)
            head = 0
        }
    }

    private mutating func sweep() {
        guard order.count > 2 * members.count + 64 else { return }
        order = order[head...].filter { members.contains(ObjectIdentifier($0)) }
        head = 0
    }
}
