import Glibc
import Testing

@testable import RDNetKit

@Suite("Trimming the heap")
struct HeapTrimmerTests {
    private static let pieces = 8_000
    private static let pieceLength = 3_000
    private static let pageLength = 4_096

    @Test func `what lies between things in use goes back to the system, a while after`() throws {
        let clock = HandMovedClock()
        let loop = try EventLoop(clock: { clock.now })
        let trimmer = HeapTrimmer(loop)
        var pieces = (0..<Self.pieces).compactMap { _ in malloc(Self.pieceLength) }
        for piece in pieces { memset(piece, 1, Self.pieceLength) }
        let pages = Set(pieces.map { UInt(bitPattern: $0) / UInt(Self.pageLength) })
        let kept = stride(from: 0, to: pieces.count, by: 50).map { pieces[$0] }
        for (index, piece) in pieces.enumerated() where index % 50 != 0 { free(piece) }
        pieces = kept
        defer { for piece in pieces { free(piece) } }

        trimmer.memoryWasFreed()
        try loop.turn(waitingAtMost: .zero)
        let before = Self.resident(pages)
        #expect(before > pages.count / 2)
        clock.advance(.seconds(6))
        try loop.turn(waitingAtMost: .zero)
        #expect(Self.resident(pages) < before / 4)
    }

    private static func resident(_ pages: Set<UInt>) -> Int {
        pages.count { page in
            var state: UInt8 = 0
            let address = UnsafeMutableRawPointer(bitPattern: page * UInt(pageLength))
            return mincore(address, pageLength, &state) == 0 && state & 1 == 1
        }
    }
}
