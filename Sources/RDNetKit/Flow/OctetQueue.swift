/// Octets that wait for a host socket, first in, first out.
struct OctetQueue {
    private var octets: [UInt8] = []
    private var head = 0

    var count: Int { octets.count - head }
    var isEmpty: Bool { count == 0 }

    /// Appends a copy.
    mutating func append(_ more: UnsafeRawBufferPointer) {
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
        // Through a Result, as the closure's typed error does not survive `withUnsafeBytes`. Sound: the
        // pointer is used inside the closure only.
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
        if isEmpty {
            // The memory goes back: a flow that stalled once must not hold its window for ever.
            octets = []
            head = 0
        }
    }
}
