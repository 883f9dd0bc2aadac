/// The data that the guest holds beyond a gap (RFC 2018; RFC 6675, 3): up to eight disjoint ordered
/// ranges.
struct SACKScoreboard: Equatable {
    /// More than any option can report; when full, the highest range is discarded, which only costs
    /// a retransmission.
    static let capacity = 8

    private(set) var blocks: [SACKBlock] = []

    var isEmpty: Bool { blocks.isEmpty }

    /// The number of bytes that the guest holds.
    var octets: Int { blocks.reduce(0) { $0 + ($1.end - $1.start) } }

    /// The sequence number after the last byte held.
    var highest: SequenceNumber? { blocks.last?.end }

    /// Adds a reported block; ignores parts outside the data in flight.
    ///
    /// - Parameters:
    ///   - block: From the guest's SACK option.
    ///   - flight: From the first unacknowledged byte to the next one to send.
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

    /// Removes ranges below the cumulative acknowledgment.
    mutating func acknowledge(_ sequence: SequenceNumber) {
        guard !blocks.isEmpty else { return }
        blocks.removeAll { $0.end <= sequence }
        if let first = blocks.first, first.start < sequence { blocks[0].start = sequence }
    }

    /// Removes everything: after a timeout the guest may have discarded its data (RFC 2018, 8).
    mutating func clear() {
        blocks.removeAll()
    }

    /// The first gap at or after a sequence number: its start and the start of the next held range.
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
