/// Small payloads of a batch of frames, put together flow by flow: one `send` of 64 KiB costs a
/// third of 45 small pieces.
///
/// How it works: payloads lie one behind the other in the order in which they came, and those of
/// one flow are a chain of pieces; what follows its own flow's octets directly makes the last piece
/// longer. Where many flows send at once their frames come in turns, and are short (a guest that
/// paces sends two segments at a time): each flow still costs one `send` a batch, and one ACK. A
/// payload of 16 KiB or more is cheaper to send from where it lies.
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
    /// Where the pieces of one flow are joined.
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

    /// Whether a payload is better sent together with others.
    @inline(__always)
    static func isWorth(_ payloadCount: Int) -> Bool { payloadCount < largePayload }

    /// Whether a payload that is worth it finds room.
    @inline(__always)
    func hasRoom(_ payloadCount: Int) -> Bool {
        count + payloadCount <= Self.capacity && pieces.count < Self.maximumPieces
    }

    /// Copies a payload behind what is staged of its flow.
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

    /// Hands everything over, each flow's octets in one piece, and is empty.
    ///
    /// - Parameter pass: Lent the octets for the call; stages nothing.
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

/// Which pieces of the stage are a flow's.
struct StagedPieces {
    static let none = -1

    var first = StagedPieces.none
    var last = StagedPieces.none

    var isEmpty: Bool { last == StagedPieces.none }
}
