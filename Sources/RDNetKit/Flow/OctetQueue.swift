/// Memory of queues that are empty, for the next one that is not.
///
/// Sockets that fall short do so again and again: without this every time would cost an allocation
/// and its page faults.
final class SpareBuffers {
    private static let maximumCount = 16
    /// Octets of all of them: one whole window; what is more goes back to the system.
    private static let maximumCapacity = 4 << 20

    private var buffers: [[UInt8]] = []
    private var capacity = 0

    init() {
        buffers.reserveCapacity(Self.maximumCount)
    }

    /// An empty buffer, with room where one is spare.
    fileprivate func take() -> [UInt8] {
        guard let buffer = buffers.popLast() else { return [] }
        capacity -= buffer.capacity
        return buffer
    }

    fileprivate func giveBack(_ buffer: consuming [UInt8]) {
        guard buffer.capacity > 0, buffers.count < Self.maximumCount,
            capacity + buffer.capacity <= Self.maximumCapacity
        else { return }
        capacity += buffer.capacity
        buffer.removeAll(keepingCapacity: true)
        buffers.append(buffer)
    }
}

/// Octets that wait for a host socket, first in, first out.
struct OctetQueue {
    private let spare: SpareBuffers
    private var octets: [UInt8] = []
    private var head = 0

    /// An empty queue.
    ///
    /// - Parameter spare: Where memory comes from and goes back to.
    init(_ spare: SpareBuffers) {
        self.spare = spare
    }

    var count: Int { octets.count - head }
    var isEmpty: Bool { count == 0 }

    /// Appends a copy.
    mutating func append(_ more: UnsafeRawBufferPointer) {
        if octets.isEmpty { octets = spare.take() }
        // What is gone in front is given up before the array would have to grow for it.
        if head > octets.count / 2 {
            octets.removeFirst(head)
            head = 0
        }
        octets.append(contentsOf: more)
    }

    /// Lends all that waits to a call that says how much it took.
    ///
    /// - Parameter take: Returns how many octets it took, nil for none.
    /// - Throws: What `take` throws.
    mutating func drain(
        _ take: (UnsafeRawBufferPointer) throws(SystemError) -> Int?
    ) throws(SystemError) {
        let range = head..<octets.count
        // Through a Result, as the closure's typed error does not survive `withUnsafeBytes`. Sound:
        // the pointer is used inside the closure only.
        let outcome: Result<Int?, SystemError> = octets.withUnsafeBytes { whole in
            let waiting = UnsafeRawBufferPointer(rebasing: whole[range])
            do throws(SystemError) {
                return .success(try take(waiting))
            } catch {
                return .failure(error)
            }
        }
        let taken = try outcome.get()
        head += taken ?? 0
        if isEmpty { clear() }
    }
    /// Forgets everything: the memory goes back, as a flow that stalled once must not hold its
    /// window for ever.
    mutating func clear() {
        var buffer: [UInt8] = []
        swap(&buffer, &octets)
        head = 0
        spare.giveBack(buffer)
    }
}
