/// Recycled buffers of empty queues.
///
/// A socket that fills up does so repeatedly; without recycling, each time would cost an allocation
/// and page faults.
final class SpareBuffers {
    private static let maximumCount = 16
    /// Limit on recycled memory, one window; the rest is freed.
    private static let maximumCapacity = 4 << 20

    private var buffers: [[UInt8]] = []
    private var capacity = 0

    init() {
        buffers.reserveCapacity(Self.maximumCount)
    }

    /// An empty buffer, recycled if possible.
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

/// Bytes waiting for a host socket, first in, first out.
struct OctetQueue {
    private let spare: SpareBuffers
    private var octets: [UInt8] = []
    private var head = 0

    /// An empty queue.
    ///
    /// - Parameter spare: The recycled buffers.
    init(_ spare: SpareBuffers) {
        self.spare = spare
    }

    var count: Int { octets.count - head }
    var isEmpty: Bool { count == 0 }

    /// Appends a copy.
    mutating func append(_ more: UnsafeRawBufferPointer) {
        if octets.isEmpty { octets = spare.take() }
        // The consumed front is compacted before the array would have to grow.
        if head > octets.count / 2 {
            octets.removeFirst(head)
            head = 0
        }
        octets.append(contentsOf: more)
    }

    /// Passes waiting bytes to a closure that returns how many it consumed.
    ///
    /// - Parameters:
    ///   - limit: The most bytes to pass.
    ///   - take: Returns the number of consumed bytes; nil for none.
    /// - Returns: The number of consumed bytes.
    /// - Throws: What `take` throws.
    @discardableResult
    mutating func drain(
        atMost limit: Int = .max,
        _ take: (UnsafeRawBufferPointer) throws(SystemError) -> Int?
    ) throws(SystemError) -> Int {
        let range = head..<(head + min(count, limit))
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
        let taken = try outcome.get() ?? 0
        head += taken
        if isEmpty { clear() }
        return taken
    }

    /// Passes the waiting bytes after an offset to a closure that only reads them.
    func read<Result>(
        from offset: Int,
        _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        // Sound: the pointer is used inside the closure only.
        octets.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[(head + offset)...])) }
    }

    /// Discards everything and frees the memory, so a flow that stalled once does not keep its
    /// window forever.
    mutating func clear() {
        var buffer: [UInt8] = []
        swap(&buffer, &octets)
        head = 0
        spare.giveBack(buffer)
    }
}
