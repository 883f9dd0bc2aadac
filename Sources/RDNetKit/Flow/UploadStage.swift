/// Combines small payloads of a batch of frames by flow: one `send` of 64 KiB costs a third of 45
/// small ones.
///
/// How it works: payloads are stored consecutively in arrival order, and those of one flow form a
/// chain of pieces; a payload directly after its own flow's data extends the last piece. When many
/// flows send at once, their short frames interleave (a pacing guest sends two segments at a time),
/// and each flow still costs one `send` and one ACK per batch. A payload of 16 KiB or more is
/// cheaper to send from its frame.
struct UploadStage: ~Copyable {
    private static let capacity = 1 << 20
    private static let maximumPieces = 1024
    private static let largePayload = 1 << 14

    private struct Piece {
        var offset: Int
        var count: Int
        /// The flow's next piece, or `StagedPieces.none`.
        var next: Int
    }

    private let buffer: UnsafeMutableRawBufferPointer
    /// The buffer in which the pieces of one flow are joined.
    private let joined: UnsafeMutableRawBufferPointer
    private var pieces: [Piece] = []
    private var owners: [TCPFlow] = []
    private var count = 0

    init() {
        buffer = .allocate(byteCount: Self.capacity, alignment: 64)
        joined = .allocate(byteCount: Self.capacity, alignment: 64)
    }

    deinit {
        buffer.deallocate()
        joined.deallocate()
    }

    /// Whether a payload should be combined with others.
    @inline(__always)
    static func isWorth(_ payloadCount: Int) -> Bool { payloadCount < largePayload }

    /// Whether there is room for a payload.
    @inline(__always)
    func hasRoom(_ payloadCount: Int) -> Bool {
        count + payloadCount <= Self.capacity && pieces.count < Self.maximumPieces
    }

    /// Appends a payload to its flow's chain.
    @inline(__always)
    mutating func append(_ payload: UnsafeRawBufferPointer, of owner: TCPFlow) {
        UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(from: payload)
        defer { count += payload.count }
        let last = owner.staged.last
        if last == pieces.count - 1, last != StagedPieces.none {
            pieces[last].count += payload.count
            return
        }
        if last == StagedPieces.none {
            owner.staged.first = pieces.count
            owners.append(owner)
        } else {
            pieces[last].next = pieces.count
        }
        owner.staged.last = pieces.count
        pieces.append(Piece(offset: count, count: payload.count, next: StagedPieces.none))
    }

    /// Passes on each flow's data in one piece, and empties the stage.
    ///
    /// - Parameter pass: The bytes are valid only during the call; it must not stage anything.
    mutating func flush(_ pass: (TCPFlow, UnsafeRawBufferPointer) -> Void) {
        guard count > 0 else { return }
        for owner in owners {
            let octets = octets(from: owner.staged.first)
            owner.staged = StagedPieces()
            pass(owner, octets)
        }
        owners.removeAll(keepingCapacity: true)
        pieces.removeAll(keepingCapacity: true)
        count = 0
    }

    private func octets(from first: Int) -> UnsafeRawBufferPointer {
        let piece = pieces[first]
        if piece.next == StagedPieces.none { return octets(of: piece) }
        var length = 0
        var index = first
        while index != StagedPieces.none {
            let part = octets(of: pieces[index])
            UnsafeMutableRawBufferPointer(rebasing: joined[length...]).copyMemory(from: part)
            length += part.count
            index = pieces[index].next
        }
        return UnsafeRawBufferPointer(rebasing: joined[..<length])
    }

    private func octets(of piece: Piece) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: buffer[piece.offset..<(piece.offset + piece.count)])
    }
}

/// A flow's pieces in the stage.
struct StagedPieces {
    static let none = -1

    var first = StagedPieces.none
    var last = StagedPieces.none

    var isEmpty: Bool { last == StagedPieces.none }
}
