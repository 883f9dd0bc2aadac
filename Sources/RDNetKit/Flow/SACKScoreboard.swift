/// What the guest holds beyond a gap (RFC 2018; RFC 6675, 3): up to eight disjoint ranges in order.
struct SACKScoreboard: Equatable {
    /// More than any option can report; when full, the highest range is given up, which only costs
    /// a resend.
    static let capacity = 8

    private(set) var blocks: [SACKBlock] = []

    var isEmpty: Bool { blocks.isEmpty }

    /// Octets that the guest holds.
    var octets: Int { blocks.reduce(0) { $0 + ($1.end - $1.start) } }

    /// The sequence number behind the last octet held.
    var highest: SequenceNumber? { blocks.last?.end }

    /// Adds a reported block; what lies outside what is in flight is ignored.
    ///
    /// - Parameters:
    ///   - block: As the guest reported it.
    ///   - flight: From the first unacknowledged octet to the next one to be sent.
    mutating func add(_ block: SACKBlock, within flight: SACKBlock) {
        var merged = block
        guard merged.start < merged.end, merged.start >= flight.start, merged.end <= flight.end
        else {
            return
        }
        blocks.removeAll { other in
            guard other.start <= merged.end, other.end >= merged.start else { return false }
            if other.start < merged.start { merged.start = other.start }
            if other.end > merged.end { merged.end = other.end }
            return true
        }
        let index = blocks.firstIndex { $0.start > merged.start } ?? blocks.count
        blocks.insert(merged, at: index)
        if blocks.count > Self.capacity { blocks.removeLast() }
    }

    /// Forgets what lies below the cumulative acknowledgment.
    mutating func acknowledge(_ sequence: SequenceNumber) {
        guard !blocks.isEmpty else { return }
        blocks.removeAll { $0.end <= sequence }
        if let first = blocks.first, first.start < sequence { blocks[0].start = sequence }
    }

    /// Forgets everything: after a timeout the guest may have thrown it away (RFC 2018, 8).
    mutating func clear() {
        blocks.removeAll()
    }

    /// The first gap at or behind a sequence number: where it starts and where the next held range
    /// does.
    func gap(from sequence: SequenceNumber, before limit: SequenceNumber) -> SACKBlock? {
        var start = sequence
        for block in blocks where block.end > start {
            if block.start > start {
                return start < limit ? SACKBlock(start: start, end: min(block.start, limit)) : nil
            }
            start = block.end
        }
        return start < limit ? SACKBlock(start: start, end: limit) : nil
    }

    private func min(_ left: SequenceNumber, _ right: SequenceNumber) -> SequenceNumber {
        left < right ? left : right
    }
}
