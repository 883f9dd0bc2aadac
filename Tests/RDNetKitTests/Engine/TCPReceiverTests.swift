import Testing

@testable import RDNetKit

@Suite("TCP receiver")
struct TCPReceiverTests {
    private func take(
        _ receiver: inout TCPReceiver,
        _ first: SequenceNumber,
        _ data: [UInt8],
        _ range: Range<Int>,
        fin: Bool,
        into delivered: inout [UInt8]
    ) -> TCPReceiver.Verdict {
        let verdict = data[range].withUnsafeBytes {
            receiver.receive(first + range.lowerBound, $0, fin: fin)
        }
        if case .inOrder(let skip, let take) = verdict {
            let start = range.lowerBound + skip
            delivered += data[start..<(start + take)]
            while let early = receiver.takeEarly() { delivered += early }
        }
        return verdict
    }

    @Test(
        "delivers what an array of arrived octets says, over any segments",
        arguments: [UInt64](1...40)
    )
    func model(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let first = SequenceNumber(UInt32.random(in: .min ... .max, using: &random))
        let data = (0..<6000).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ $0 >> 8) }
        let scale = UInt8.random(in: 0...7, using: &random)
        var receiver = TCPReceiver(first: first, offered: 1000, scale: scale)
        var arrived = [Bool](repeating: false, count: data.count)
        var contiguous = 0
        var finArrived = false
        var delivered: [UInt8] = []
        var rounds = 0
        while !receiver.isFinished, rounds < 20_000 {
            rounds += 1
            let edge = receiver.edge - first
            // Segments near the next expected byte, some of them far beyond the offer.
            let low = max(0, contiguous - 200)
            let start = Int.random(in: low...min(data.count, contiguous + 1500), using: &random)
            let end = min(data.count, start + Int.random(in: 0...300, using: &random))
            let fin = end == data.count
            let accepted = receiver.accepts(first + start, length: end - start + (fin ? 1 : 0))
            let verdict = take(&receiver, first, data, start..<end, fin: fin, into: &delivered)
            #expect((verdict == .unacceptable) == !accepted)
            if accepted {
                for index in start..<max(start, min(end, edge)) { arrived[index] = true }
                if fin, end <= edge { finArrived = true }
            }
            while contiguous < data.count, arrived[contiguous] { contiguous += 1 }
            let isWhole = contiguous == data.count && finArrived
            #expect(receiver.next - first == contiguous + (isWhole ? 1 : 0))
            #expect(delivered.count == contiguous)
            #expect(receiver.isFinished == isWhole)
            expectBlocks(receiver, first, arrived, contiguous)
            if Int.random(in: 0..<3, using: &random) == 0 {
                let room = Int.random(in: 0...2000, using: &random)
                let before = receiver.edge
                let field = receiver.offer(room)
                #expect(receiver.edge >= before, "an offer is never taken back")
                #expect(receiver.next + Int(field) << Int(scale) == receiver.edge)
                #expect(receiver.offered >= room || field == 0xffff)
            }
        }
        #expect(receiver.isFinished)
        #expect(delivered == data)
        #expect(receiver.earlyOctets == 0)
    }

    private func expectBlocks(
        _ receiver: TCPReceiver,
        _ first: SequenceNumber,
        _ arrived: [Bool],
        _ contiguous: Int
    ) {
        let blocks = receiver.blocks()
        #expect(blocks.count <= 4)
        for block in blocks {
            let (start, end) = (block.start - first, block.end - first)
            #expect(start > contiguous && start < end && end <= arrived.count)
            #expect(arrived[start..<end].allSatisfy { $0 })
            // The block is isolated: its neighboring bytes have not arrived (RFC 2018, 3).
            #expect(!arrived[start - 1])
            #expect(end == arrived.count || !arrived[end])
        }
    }

    @Test func `pieces are bounded; what is dropped comes again`() {
        let first = SequenceNumber(1)
        let data = [UInt8](repeating: 9, count: 2000)
        var receiver = TCPReceiver(first: first, offered: 5000, scale: 0)
        var delivered: [UInt8] = []
        for index in stride(from: 1, to: 2000, by: 2) {
            _ = take(&receiver, first, data, index..<(index + 1), fin: false, into: &delivered)
        }
        #expect(receiver.earlyOctets == TCPReceiver.maximumPieces)
        _ = take(&receiver, first, data, 0..<2000, fin: false, into: &delivered)
        #expect(delivered.count == 2000)
        #expect(receiver.earlyOctets == 0)
    }

    @Test("the four cases of acceptability (RFC 9293, 3.10.7.4)")
    func acceptability() {
        let next = SequenceNumber(0xffff_fff0)
        let open = TCPReceiver(first: next, offered: 100, scale: 0)
        let shut = TCPReceiver(first: next, offered: 0, scale: 0)
        let cases: [(sequence: Int, length: Int, open: Bool, shut: Bool)] = [
            (0, 0, true, true), (-1, 0, false, false), (1, 0, true, false), (100, 0, true, false),
            (101, 0, false, false), (0, 1, true, false), (-1, 1, false, false),
            (99, 5, true, false), (100, 1, false, false),
            // A segment larger than the window is trimmed, like any other that overlaps it.
            (-1, 2, true, true), (-50, 500, true, true),
        ]
        for (sequence, length, isOpen, isShut) in cases {
            #expect(
                open.accepts(next + sequence, length: length) == isOpen,
                "\(sequence) \(length)"
            )
            #expect(
                shut.accepts(next + sequence, length: length) == isShut,
                "\(sequence) \(length)"
            )
        }
    }

    @Test func `a FIN in front of octets that are here already is not believed`() {
        let first = SequenceNumber(1)
        let data = [UInt8](repeating: 9, count: 100)
        var receiver = TCPReceiver(first: first, offered: 5000, scale: 0)
        var delivered: [UInt8] = []
        _ = take(&receiver, first, data, 50..<100, fin: false, into: &delivered)
        _ = take(&receiver, first, data, 0..<20, fin: true, into: &delivered)
        #expect(!receiver.isFinished)
        _ = take(&receiver, first, data, 20..<100, fin: true, into: &delivered)
        #expect(receiver.isFinished)
        #expect(delivered.count == 100)
    }
}
