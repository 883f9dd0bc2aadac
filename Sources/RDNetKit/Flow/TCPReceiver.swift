/// The receiving half of a guest connection: what arrived in order, what arrived early, what may
/// still come.
///
/// How it works: pure. `next` is the first octet not yet there, `edge` the first one never offered.
/// An offer is never taken back, so everything below `edge` is kept: in order it goes to the caller
/// at once, early it waits here in non-overlapping pieces, whose number is bounded (each may cost
/// an allocation) and whose octets the offer bounds. A FIN counts when everything before it has
/// arrived.
struct TCPReceiver {
    /// Pieces kept early; more are dropped and come again.
    static let maximumPieces = 256
    /// Blocks in one SACK option; three where timestamps take their room (RFC 2018, 3).
    static let maximumBlocks = 4

    private struct Piece {
        var start: SequenceNumber
        var octets: [UInt8]
        var end: SequenceNumber { start + octets.count }
    }

    /// RCV.NXT: behind everything that arrived in order, the FIN included.
    private(set) var next: SequenceNumber
    /// RCV.NXT + RCV.WND: the right edge of what was ever offered.
    private(set) var edge: SequenceNumber
    /// Whether the guest's FIN and everything before it has arrived.
    private(set) var isFinished = false
    /// Octets that wait early.
    private(set) var earlyOctets = 0

    private let scale: UInt8
    private var pieces: [Piece] = []
    private var finish: SequenceNumber?
    private var latest: SequenceNumber

    /// What came of a segment.
    enum Verdict: Equatable {
        /// In order: `skip` octets of the payload are old, the next `take` are new; then call
        /// `takeEarly`.
        case inOrder(skip: Int, take: Int)
        /// Kept, or nothing new in it, or dropped for want of pieces: to be acknowledged at once
        /// (RFC 5681, 4.2).
        case acknowledgeOnly
        /// No part of it is inside the offer (RFC 9293, 3.10.7.4): an ACK, and nothing else of it
        /// counts.
        case unacceptable
    }

    /// A receiver behind a SYN.
    ///
    /// - Parameters:
    ///   - first: The first octet's sequence number.
    ///   - offered: Octets offered in the handshake.
    ///   - scale: The shift of every later offer.
    init(first: SequenceNumber, offered: Int, scale: UInt8) {
        next = first
        edge = first + offered
        latest = first
        self.scale = scale
    }

    // MARK: Inwards

    /// Whether any of a segment lies inside the offer (RFC 9293, 3.10.7.4, the table of four
    /// cases).
    @inline(__always)
    func accepts(_ sequence: SequenceNumber, length: Int) -> Bool {
        if length == 0 { return sequence >= next && sequence <= edge }
        return sequence < edge && sequence + length > next
    }

    /// Takes a segment's place in the stream.
    ///
    /// - Parameters:
    ///   - sequence: The first payload octet's sequence number.
    ///   - payload: The octets; copied only when they are early.
    ///   - fin: Whether a FIN follows them.
    /// - Returns: What to do with the payload.
    mutating func receive(
        _ sequence: SequenceNumber,
        _ payload: UnsafeRawBufferPointer,
        fin: Bool
    ) -> Verdict {
        guard accepts(sequence, length: payload.count + (fin ? 1 : 0)) else { return .unacceptable }
        let end = sequence + payload.count
        var visible = end <= edge ? payload.count : edge - sequence
        // The FIN takes no room, so it is welcome even right at the edge. One in front of octets
        // that are here already contradicts them.
        if fin, visible == payload.count, finish == nil, pieces.last.map({ $0.end <= end }) ?? true
        {
            finish = end
        }
        // Nothing follows a FIN (RFC 9293, 3.10.7.4, seventh: ignore the text).
        if let finish, sequence + visible > finish { visible = max(finish - sequence, 0) }
        if sequence > next {
            keep(sequence, UnsafeRawBufferPointer(rebasing: payload[..<visible]))
            return .acknowledgeOnly
        }
        let skip = next - sequence
        guard visible > skip else {
            finishIfComplete()
            return .acknowledgeOnly
        }
        next += visible - skip
        return .inOrder(skip: skip, take: visible - skip)
    }

    /// Takes out the next octets that were early and are in order now; call until nil, then the
    /// stream may be finished.
    mutating func takeEarly() -> ArraySlice<UInt8>? {
        while let piece = pieces.first, piece.start <= next {
            pieces.removeFirst()
            earlyOctets -= piece.octets.count
            let skip = next - piece.start
            guard skip < piece.octets.count else { continue }
            next = piece.end
            return piece.octets[skip...]
        }
        finishIfComplete()
        return nil
    }

    private mutating func finishIfComplete() {
        guard finish == next, !isFinished else { return }
        isFinished = true
        next += 1
        // The FIN stood right behind the offer: it has been accepted, so the edge is behind it.
        if edge < next { edge = next }
    }

    private mutating func keep(_ sequence: SequenceNumber, _ payload: UnsafeRawBufferPointer) {
        latest = sequence
        var start = sequence
        let end = sequence + payload.count
        var index = 0
        // Only what no other piece holds, so that pieces never overlap.
        while start < end {
            while index < pieces.count, pieces[index].end <= start { index += 1 }
            let isInside = index < pieces.count && pieces[index].start <= start
            if isInside {
                start = pieces[index].end
                continue
            }
            var stop = end
            if index < pieces.count, pieces[index].start < end { stop = pieces[index].start }
            guard pieces.count < Self.maximumPieces else { return }
            let range = (start - sequence)..<(stop - sequence)
            pieces.insert(Piece(start: start, octets: Array(payload[range])), at: index)
            earlyOctets += range.count
            start = stop
        }
    }

    // MARK: Outwards

    /// The out-of-order data as SACK blocks, the most recent first (RFC 2018, 4).
    func blocks(atMost limit: Int = maximumBlocks) -> [SACKBlock] {
        guard !pieces.isEmpty else { return [] }
        var runs: [SACKBlock] = []
        for piece in pieces {
            if let last = runs.last, last.end == piece.start {
                runs[runs.count - 1].end = piece.end
            } else {
                runs.append(SACKBlock(start: piece.start, end: piece.end))
            }
        }
        if let index = runs.firstIndex(where: { $0.start <= latest && latest < $0.end }) {
            runs.insert(runs.remove(at: index), at: 0)
        }
        return Array(runs.prefix(limit))
    }

    /// The window that the guest currently sees.
    var offered: Int { max(edge - next, 0) }

    /// Advertises room after `next`, or the previous right edge if that is further.
    ///
    /// - Parameter room: Bytes that can be buffered or forwarded.
    /// - Returns: The window field, scaled.
    mutating func offer(_ room: Int) -> UInt16 {
        let unit = 1 << Int(scale)
        let wanted = max(room, edge - next, 0)
        // Rounded up: rounding down would look like a withdrawn window (RFC 7323, 2.4).
        let field = min((wanted + unit - 1) >> Int(scale), 0xffff)
        let shown = next + field << Int(scale)
        if shown > edge { edge = shown }
        return UInt16(field)
    }
}
